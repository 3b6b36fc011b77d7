"""The sorted product on a CUDA device, by CuPy's sort, scan and search; sums and places in float64."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from dynsim._check import as_array, as_number, as_signals

from ._backend import find_backend
from ._sorted_sides import EPS, middle


class CudaSortedProduct:
    """As `SortedProduct`, on the device; arrays of NumPy come in and go out.

    Raises
    ------
    ValueError, TypeError
        As `SortedProduct`; or if CuPy or a device is missing.
    """

    def __init__(self, sources: npt.ArrayLike, targets: npt.ArrayLike, *, scale: float = 1.0):
        find_backend("cupy")
        import cupy

        self._cupy, self.scale = cupy, as_number(scale, "scale")
        self.update(sources, targets)

    def update(self, sources, targets):
        """Take over new places; a device sorts faster than it repairs."""
        cp = self._cupy
        sources = as_array(sources, "sources", ("m", "d"))
        targets = as_array(targets, "targets", ("n", sources.shape[1]))
        self.dtype, self.shape = np.result_type(sources, targets), (len(targets), len(sources))
        steps = max(self.shape) + sources.shape[1]  # as many additions in float64 at most, before the last rounding
        self.error = float(np.finfo(self.dtype).eps) * 4 + 4 * EPS * steps
        center = middle(sources if len(sources) else targets)
        sides = [cp.asarray(side.T, dtype=cp.float64) for side in (sources, targets)]
        orders = [cp.argsort(axes, axis=1) for axes in sides]
        lines = [cp.take_along_axis(axes, order, axis=1) for axes, order in zip(sides, orders, strict=True)]
        shifted = [cp.asarray((side - center).T, dtype=cp.float64) for side in (sources, targets)]
        # of each side: its axes, order and sorted axes, and for the other side's axes the ranks in it
        self._sides = []
        for axes, order, line, other in zip(shifted, orders, lines, sides[::-1], strict=True):
            ranks = [
                [cp.searchsorted(row, place, side=end) for row, place in zip(line, other, strict=True)]
                for end in ("left", "right")
            ]
            self._sides.append((axes, order, cp.take_along_axis(axes, order, axis=1), *ranks))

    def forward(self, x):
        """y_o = sum_i phi(q_i, q_o) x_i for x (m,) or (m, s); returns (n,) or (n, s)."""
        return self._product(0, x, "x")

    def transposed(self, y):
        """x_i = sum_o phi(q_i, q_o) y_o for y (n,) or (n, s)."""
        return self._product(1, y, "y")

    def forces(self, x, y):
        """Gradients of sum_oi y_o . x_i phi(q_i, q_o) in the sources' (m, d) and targets' places (n, d)."""
        x = as_signals(x, "x", self.shape[1])
        y = as_signals(y, "y", self.shape[0], x.shape[1:])
        dtype = np.result_type(self.dtype, x, y)
        return tuple(self._force(*pair).astype(dtype, copy=False) for pair in ((1, y, x), (0, x, y)))

    def _product(self, number, x, name):
        cp = self._cupy
        x = as_signals(x, name, self.shape[1 - number])
        axes = self._sides[1 - number][0]
        _, order, line, _, upto = self._sides[number]
        values = cp.asarray(x[:, None] if x.ndim == 1 else x, dtype=cp.float64)
        y = cp.zeros((axes.shape[1], values.shape[1]))
        for k in range(len(axes)):
            ordered = values[order[k]]
            C, S = _sums(cp, ordered), _sums(cp, ordered * line[k][:, None])
            p = upto[k]
            y += axes[k][:, None] * (2 * C[p] - C[-1]) + S[-1] - 2 * S[p]
        y = cp.asnumpy(self.scale * y).astype(np.result_type(self.dtype, x), copy=False)
        return y[:, 0] if x.ndim == 1 else y

    def _force(self, number, x, mine):
        cp = self._cupy
        _, order, _, less, upto = self._sides[number]
        values, mine = (
            cp.asarray(array[:, None] if array.ndim == 1 else array, dtype=cp.float64) for array in (x, mine)
        )
        force = cp.empty((len(mine), len(order)))
        for k in range(len(order)):
            C = _sums(cp, values[order[k]])
            force[:, k] = (mine * (C[less[k]] + C[upto[k]] - C[-1])).sum(axis=1)
        return cp.asnumpy(self.scale * force)


def _sums(cp, ordered):
    """Sums over the first 0, 1, ... rows."""
    return cp.concatenate([cp.zeros((1, ordered.shape[1])), cp.cumsum(ordered, axis=0)])
