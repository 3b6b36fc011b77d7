"""Products with the l1 linear kernel by sorted sums: exact, without the pairs.

On each axis k, with the sources sorted along it, p the number of sources at or below q_o, and C_p and S_p the sums of
x_i and x_i q_ik over the first p of them (Indyk & Silwal, NeurIPS 2022)::

    sum_i |q_ok - q_ik| x_i = q_ok (2 C_p - C_n) + S_n - 2 S_p
    sum_i sign(q_ok - q_ik) x_i = C_less + C_p - C_n,    C_less: the sum over the sources strictly below

so a product of m sources and n targets costs O((m + n) d) once both are sorted. Sums are kept in float64 and
coordinates are counted from the sources' middle, since the terms cancel. All splits are fixed: results have the same
bits on any number of threads.
"""

from __future__ import annotations

import numpy as np

from dynsim._check import as_array, as_number, as_signals

from ._side import Side, middle
from ._sorted_force import force
from ._sorted_many import many
from ._sorted_one import one


class SortedProduct:
    """The pairs of m sources and n targets under phi = scale |q_o - q_i|_1, sorted once, multiplied often.

    Parameters
    ----------
    sources : array_like, (m, d)
    targets : array_like, (n, d)
    scale : float
        c of the kernel.

    Raises
    ------
    ValueError, TypeError
        If shapes do not fit or a number is not finite.

    References
    ----------
    Indyk & Silwal, "Faster linear algebra for distance matrices", NeurIPS 2022.

    Examples
    --------
    >>> product = SortedProduct([[0.0, 0.0], [3.0, 1.0]], [[1.0, 0.0]])
    >>> product.forward([1.0, 2.0])
    array([7.])
    """

    error = 0.0

    def __init__(self, sources, targets, scale=1.0):
        self.scale = as_number(scale, "scale")
        self._sources = self._targets = None
        self.update(sources, targets)

    def update(self, sources, targets):
        """Take over new places; an old order is repaired where the numbers stay, linear if little moved."""
        sources = as_array(sources, "sources", ("m", "d"))
        targets = as_array(targets, "targets", ("n", sources.shape[1]))
        self.dtype = np.result_type(sources, targets)
        center = middle(sources if len(sources) else targets)
        self._sources = Side(sources - center, self._sources)
        self._targets = Side(targets - center, self._targets)
        # Ranks in the order of the own side, for sweeps, and in the order of the arrays, for a single vector.
        self._targets.rank(self._sources)
        self._sources.rank(self._targets)

    @property
    def shape(self):
        """(n, m), as of the matrix that is not there."""
        return self._targets.count, self._sources.count

    def forward(self, x):
        """y_o = sum_i phi(q_i, q_o) x_i for x (m,) or (m, s); returns (n,) or (n, s)."""
        return self._product(self._sources, self._targets, x, "x")

    def transposed(self, y):
        """x_i = sum_o phi(q_i, q_o) y_o for y (n,) or (n, s); the gradient in x is this of the gradient in y."""
        return self._product(self._targets, self._sources, y, "y")

    def forces(self, x, y):
        """Gradients of sum_oi y_o . x_i phi(q_i, q_o) in the sources' (m, d) and targets' places (n, d).

        Where two neurons have a coordinate in common its gradient is taken as 0, the middle of its two sides.
        """
        x = as_signals(x, "x", self._sources.count)
        y = as_signals(y, "y", self._targets.count, x.shape[1:])
        on_targets = force(self._sources, self._targets, x, y)
        on_sources = force(self._targets, self._sources, y, x)
        dtype = np.result_type(self.dtype, x, y)
        return tuple((self.scale * force).astype(dtype, copy=False) for force in (on_sources, on_targets))

    def _product(self, sources, targets, x, name):
        signals = as_signals(x, name, sources.count, finite=False)
        dtype = np.result_type(self.dtype, signals)
        if signals.ndim == 2 and signals.shape[1] != 1:
            y, finite = many(sources, targets, signals, self.scale, dtype)
        else:
            y, finite = one(sources, targets, signals.reshape(-1), self.scale, dtype)
        if not finite:  # a sum is not finite if one of its terms is not: only then these are looked through
            as_signals(x, name, sources.count)
        return y.reshape(targets.count, *signals.shape[1:])
