"""Layer normalisation: every token's signals to mean 0 and variance 1, then a factor and an offset each.

The width lies first in memory and tokens last, so the inner loops run along tokens; a token belongs to one thread, and
so does a factor's gradient.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from numba import njit, prange

from dynsim._check import as_count, as_float_type, as_number, refusal
from dynsim.kernels import lane_sum, launch

from ._layer import FAST_MATH, Layer, Parameter

BLOCK = 512  # tokens of one task


class LayerNorm(Layer):
    """Layer normalisation over the last axis; Ba, Kiros & Hinton, arXiv:1607.06450.

    y = scale (x - mean) / sqrt(variance + epsilon) + shift, with the biased variance.

    Parameters
    ----------
    width : int
    epsilon : float
    dtype : dtype

    Raises
    ------
    ValueError
        If signals do not fit.

    Examples
    --------
    >>> import numpy as np
    >>> LayerNorm(2).forward(np.array([[0.0, 2.0], [5.0, 5.0]])).round(3)
    array([[-1.,  1.],
           [ 0.,  0.]])
    """

    word = "norm"

    def __init__(self, width: int, *, epsilon: float = 1e-5, dtype: npt.DTypeLike = np.float64):
        width, dtype = as_count(width, "width"), as_float_type(dtype, "dtype")
        self.scale = Parameter(np.ones(width, dtype), "norm")
        self.shift = Parameter(np.zeros(width, dtype), "norm")
        self.epsilon = as_number(epsilon, "epsilon", above=0)

    def forward(self, x: npt.NDArray, training: bool = False) -> npt.NDArray:
        """Normalise (..., width)."""
        width = len(self.scale.value)
        if x.ndim < 2 or x.shape[-1] != width:
            raise refusal("x", f"shape {x.shape}", f"(..., {width})")
        signals = np.ascontiguousarray(x.reshape(-1, width).T)
        normal, y = np.empty_like(signals), np.empty_like(signals)
        inverse = np.empty(signals.shape[1], x.dtype)
        numbers = self.scale.value.astype(x.dtype, copy=False), self.shift.value.astype(x.dtype, copy=False)
        launch(_normalise, 3 * signals.size, signals, *numbers, self.epsilon, normal, inverse, y)
        if training:
            self.memory = normal, inverse
        return y.T.reshape(x.shape)

    def backward(self, dy: npt.NDArray) -> npt.NDArray:
        """Return dL/dx and add the gradients of scale and shift."""
        normal, inverse = self.memory
        signal = np.ascontiguousarray(dy.reshape(-1, len(normal)).T)
        scale, dx = self.scale.value.astype(dy.dtype, copy=False), np.empty_like(signal)
        dscale, dshift = np.empty(len(normal)), np.empty(len(normal))
        launch(_back, 3 * signal.size, normal, inverse, signal, scale, dx)
        launch(_back_numbers, signal.size, normal, signal, dscale, dshift)
        self.scale.add(dscale.astype(dy.dtype))
        self.shift.add(dshift.astype(dy.dtype))
        return dx.T.reshape(dy.shape)

    def to_onnx(self, graph, x: str) -> str:
        """ONNX's own layer normalisation."""
        numbers = map(graph.constant, (self.scale.value, self.shift.value))
        return graph.add("LayerNormalization", x, *numbers, axis=-1, epsilon=self.epsilon)


@njit(cache=True, parallel=True, fastmath=FAST_MATH)
def _normalise(x, scale, shift, epsilon, normal, inverse, y):
    width, tokens = x.shape
    for block in prange((tokens + BLOCK - 1) // BLOCK):
        start, stop = block * BLOCK, min(tokens, (block + 1) * BLOCK)
        mean, square = np.zeros(stop - start), np.zeros(stop - start)
        for c in range(width):
            row = x[c, start:stop]
            for j in range(len(row)):
                mean[j] += row[j]
        mean /= width
        for c in range(width):
            row = x[c, start:stop]
            for j in range(len(row)):
                square[j] += (row[j] - mean[j]) ** 2
        middle, size = np.empty(stop - start, x.dtype), inverse[start:stop]
        for j in range(stop - start):
            middle[j] = mean[j]
            size[j] = 1 / np.sqrt(square[j] / width + epsilon)
        for c in range(width):
            row, unit, out, factor, offset = (
                x[c, start:stop],
                normal[c, start:stop],
                y[c, start:stop],
                scale[c],
                shift[c],
            )
            for j in range(len(row)):
                value = (row[j] - middle[j]) * size[j]
                unit[j] = value
                out[j] = value * factor + offset


@njit(cache=True, parallel=True, fastmath=FAST_MATH)
def _back(normal, inverse, dy, scale, dx):
    width, tokens = normal.shape
    for block in prange((tokens + BLOCK - 1) // BLOCK):
        start, stop = block * BLOCK, min(tokens, (block + 1) * BLOCK)
        sums, products = np.zeros(stop - start), np.zeros(stop - start)
        for c in range(width):
            unit, signal, factor = normal[c, start:stop], dy[c, start:stop], scale[c]
            for j in range(len(unit)):
                force = signal[j] * factor
                sums[j] += force
                products[j] += force * unit[j]
        mean, share, size = np.empty(stop - start, dx.dtype), np.empty(stop - start, dx.dtype), inverse[start:stop]
        for j in range(stop - start):
            mean[j] = sums[j] / width
            share[j] = products[j] / width
        for c in range(width):
            unit, signal, out, factor = normal[c, start:stop], dy[c, start:stop], dx[c, start:stop], scale[c]
            for j in range(len(unit)):
                out[j] = (signal[j] * factor - mean[j] - unit[j] * share[j]) * size[j]


@njit(cache=True, parallel=True, fastmath=FAST_MATH)
def _back_numbers(normal, dy, dscale, dshift):
    for c in prange(len(normal)):
        unit, signal = normal[c], dy[c]
        products, sums = np.zeros(BLOCK), np.zeros(BLOCK)
        for start in range(0, len(unit), BLOCK):
            some, given = unit[start : start + BLOCK], signal[start : start + BLOCK]
            for j in range(len(some)):
                sums[j] += given[j]
                products[j] += given[j] * some[j]
        dscale[c], dshift[c] = lane_sum(products, BLOCK), lane_sum(sums, BLOCK)
