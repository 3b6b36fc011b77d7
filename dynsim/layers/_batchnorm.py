"""Batch normalisation, with ReLU and pooling in the same pass where a network has them in a row.

Signals lie channel by channel, the batch last, so every channel is one thread's and results do not depend on the number
of threads.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from numba import njit, prange

from dynsim._check import as_count, as_flag, as_float_type, as_number, refusal
from dynsim.kernels import lane_sum, launch

from ._aligned import aligned_empty, contiguous
from ._layer import FAST_MATH, Layer, Parameter

LANES = 256  # sums of a row that are kept apart, so that their order is fixed and vectors can be added


class BatchNorm(Layer):
    """Batch normalisation over all axes but the channels' (axis 1); Ioffe & Szegedy, ICML 2015.

    In training the batch's mean and (biased) variance are used and running averages kept (momentum 0.1, unbiased
    variance); otherwise the running averages are used. With `relu` what is normalised is cut at 0, with `pool` the
    largest of every 2 x 2 square is kept (of equal ones the first takes the whole signal back): the same numbers as
    `ReLU` and `MaxPool` after it, in one pass.

    Parameters
    ----------
    channels : int
    epsilon, momentum : float
    dtype : dtype
    relu, pool : bool
        `pool` needs images (batch, channels, even height, even width) and `relu`.

    Raises
    ------
    ValueError
        If signals do not fit, or `pool` is asked for without `relu`.

    Examples
    --------
    >>> import numpy as np
    >>> BatchNorm(2).forward(np.array([[0.0], [2.0]]).repeat(2, axis=1), training=True).round(3)
    array([[-1., -1.],
           [ 1.,  1.]])
    """

    word = "norm"
    averaged = True

    def __init__(
        self,
        channels: int,
        *,
        epsilon: float = 1e-5,
        momentum: float = 0.1,
        dtype: npt.DTypeLike = np.float64,
        relu: bool = False,
        pool: bool = False,
    ):
        channels, epsilon = as_count(channels, "channels"), as_number(epsilon, "epsilon", minimum=0)
        momentum, relu, pool = as_number(momentum, "momentum", minimum=0), as_flag(relu, "relu"), as_flag(pool, "pool")
        dtype = as_float_type(dtype, "dtype")
        if pool and not relu:
            raise refusal("pool", "True without relu", "both, or a MaxPool layer of its own")
        self.scale = Parameter(np.ones(channels, dtype), "norm")
        self.shift = Parameter(np.zeros(channels, dtype), "norm")
        self.mean, self.variance = np.zeros(channels, dtype), np.ones(channels, dtype)
        self.epsilon, self.momentum, self.relu, self.pool = epsilon, momentum, relu, pool

    @property
    def buffers(self) -> dict[str, npt.NDArray]:
        """Running averages: stored, not learned."""
        return {"mean": self.mean, "variance": self.variance}

    def forward(self, x: npt.NDArray, training: bool = False) -> npt.NDArray:
        """Normalise (batch, channels, ...)."""
        signals = contiguous(np.moveaxis(x, 0, -1))
        channels = len(self.mean)
        if x.ndim < 2 or len(signals) != channels or (self.pool and (x.ndim != 4 or x.shape[2] % 2 or x.shape[3] % 2)):
            wanted = f"(batch, {channels}, even height, even width)" if self.pool else f"(batch, {channels}, ...)"
            raise refusal("x", f"shape {x.shape}", wanted)
        mean, variance = self.mean.astype(np.float64), self.variance.astype(np.float64)
        if training:
            count = signals[0].size
            mean, variance = np.empty(channels), np.empty(channels)
            launch(_moments, signals.size, signals.reshape(channels, -1), mean, variance)
            self.mean += self.momentum * (mean - self.mean)
            self.variance += self.momentum * (variance * count / max(1, count - 1) - self.variance)
        inverse = 1 / np.sqrt(variance + self.epsilon)
        factor = self.scale.value * inverse
        offset = self.shift.value - mean * factor
        factor, offset = factor.astype(x.dtype), offset.astype(x.dtype)
        shape = signals.shape
        if self.pool:
            shape = (channels, shape[1] // 2, shape[2] // 2, shape[3])
        y, choice = aligned_empty(shape, x.dtype), aligned_empty(shape, np.uint8) if self.pool else None
        if self.pool:
            launch(_pooled, signals.size, signals, factor, offset, y, choice)
        else:
            flat = signals.reshape(channels, -1), factor, offset, self.relu, y.reshape(channels, -1)
            launch(_scaled, signals.size, *flat)
        if training:
            self.memory = signals, mean, inverse, y, choice
        return np.moveaxis(y, -1, 0)

    def backward(self, dy: npt.NDArray) -> npt.NDArray:
        """Return dL/dx and add the gradients of scale and shift."""
        signals, mean, inverse, y, choice = self.memory
        channels = len(mean)
        dtype = dy.dtype
        signal = contiguous(np.moveaxis(dy, 0, -1))
        dx, dscale, dshift = aligned_empty(signals.shape, signals.dtype), np.empty(channels), np.empty(channels)
        numbers = mean.astype(dtype), inverse.astype(dtype), self.scale.value.astype(dtype)
        if self.pool:
            launch(_back_pooled, 4 * signals.size, signals, signal, y, choice, *numbers, dx, dscale, dshift)
        else:
            flat = [array.reshape(channels, -1) for array in (signals, signal, y, dx)]
            launch(_back, 2 * signals.size, *flat[:3], self.relu, *numbers, flat[3], dscale, dshift)
        self.scale.add(dscale.astype(dtype))
        self.shift.add(dshift.astype(dtype))
        return np.moveaxis(dx, -1, 0)

    def to_onnx(self, graph, x: str) -> str:
        """A normalisation with the running averages, then ReLU and pooling."""
        numbers = (self.scale.value, self.shift.value, self.mean, self.variance)
        x = graph.add("BatchNormalization", x, *map(graph.constant, numbers), epsilon=self.epsilon)
        if self.relu:
            x = graph.add("Relu", x)
        return graph.add("MaxPool", x, kernel_shape=[2, 2], strides=[2, 2]) if self.pool else x


@njit(cache=True, parallel=True, fastmath=FAST_MATH)
def _moments(x, mean, variance):
    for c in prange(len(x)):
        row = x[c]
        sums = np.zeros(2 * LANES)
        totals, squares = sums[:LANES], sums[LANES:]
        for start in range(0, len(row), LANES):
            part = row[start : start + LANES]
            for j in range(len(part)):
                totals[j] += part[j]
        middle = lane_sum(totals, LANES) / len(row)
        for start in range(0, len(row), LANES):
            part = row[start : start + LANES]
            for j in range(len(part)):
                squares[j] += (part[j] - middle) ** 2
        mean[c], variance[c] = middle, lane_sum(squares, LANES) / len(row)


@njit(cache=True, parallel=True, fastmath=FAST_MATH)
def _scaled(x, factor, offset, relu, y):
    for c in prange(len(x)):
        a, b, zero = factor[c], offset[c], factor[c] * 0
        row, out = x[c], y[c]
        if relu:
            for j in range(len(row)):
                value = row[j] * a + b
                out[j] = value if value > zero else zero
        else:
            for j in range(len(row)):
                out[j] = row[j] * a + b


@njit(cache=True, parallel=True, fastmath=FAST_MATH)
def _pooled(x, factor, offset, y, choice):
    channels, rows, columns, batch = y.shape
    for task in prange(channels * rows):
        c, r = task // rows, task % rows
        a, b, zero = factor[c], offset[c], factor[c] * 0
        for s in range(columns):
            first, second = x[c, 2 * r, 2 * s], x[c, 2 * r, 2 * s + 1]
            third, fourth = x[c, 2 * r + 1, 2 * s], x[c, 2 * r + 1, 2 * s + 1]
            out, chosen = y[c, r, s], choice[c, r, s]
            for j in range(batch):
                p, q, u, v = first[j] * a + b, second[j] * a + b, third[j] * a + b, fourth[j] * a + b
                upper, lower = max(p, q), max(u, v)
                out[j] = max(max(upper, lower), zero)
                left = np.uint8(0) if p >= q else np.uint8(1)
                right = np.uint8(2) if u >= v else np.uint8(3)
                chosen[j] = left if upper >= lower else right


@njit(cache=True, fastmath=FAST_MATH, inline="always")
def _add_products(forces, values, middle, size, sums, products):
    """Add forces and forces times normalised values to sums in float64, one for each element."""
    for j in range(len(forces)):
        sums[j] += forces[j]
        products[j] += forces[j] * ((values[j] - middle) * size)


@njit(cache=True, parallel=True, fastmath=FAST_MATH)
def _back(x, dy, y, relu, mean, inverse, scale, dx, dscale, dshift):
    for c in prange(len(x)):
        row, signal, seen, out = x[c], dy[c], y[c], dx[c]
        middle, size, zero = mean[c], inverse[c], mean[c] * 0
        lanes, more = np.zeros(LANES), np.zeros(LANES)
        for j in range(len(row)):
            out[j] = signal[j] if (not relu or seen[j] > zero) else zero
        for start in range(0, len(row), LANES):
            _add_products(out[start : start + LANES], row[start : start + LANES], middle, size, lanes, more)
        sums, products = lane_sum(lanes, LANES), lane_sum(more, LANES)
        dshift[c], dscale[c] = sums, products
        factor = scale[c] * size
        pair = np.empty(2, x.dtype)  # in the working precision
        pair[0], pair[1] = products / len(row), sums / len(row)
        a, b = pair[0], pair[1]
        for j in range(len(row)):
            out[j] = factor * (out[j] - (row[j] - middle) * size * a - b)


@njit(cache=True, parallel=True, fastmath=FAST_MATH)
def _back_pooled(x, dy, y, choice, mean, inverse, scale, dx, dscale, dshift):
    channels, rows, columns, batch = dy.shape
    count = x.shape[1] * x.shape[2] * x.shape[3]
    for c in prange(channels):
        middle, size, zero = mean[c], inverse[c], mean[c] * 0
        lanes, more = np.zeros(batch), np.zeros(batch)
        forces, values = np.empty(batch, x.dtype), np.empty(batch, x.dtype)
        for r in range(rows):
            for s in range(columns):
                signal, seen, chosen = dy[c, r, s], y[c, r, s], choice[c, r, s]
                first, second = x[c, 2 * r, 2 * s], x[c, 2 * r, 2 * s + 1]
                third, fourth = x[c, 2 * r + 1, 2 * s], x[c, 2 * r + 1, 2 * s + 1]
                for j in range(batch):
                    forces[j] = signal[j] if seen[j] > zero else zero
                for j in range(batch):
                    upper = first[j] if chosen[j] == 0 else second[j]
                    lower = third[j] if chosen[j] == 2 else fourth[j]
                    values[j] = upper if chosen[j] < 2 else lower
                _add_products(forces, values, middle, size, lanes, more)
        sums, products = lane_sum(lanes, batch), lane_sum(more, batch)
        dshift[c], dscale[c] = sums, products
        pair = np.empty(2, x.dtype)  # in the working precision
        pair[0], pair[1] = products / count, sums / count
        a, b, factor = pair[0], pair[1], scale[c] * size
        for r in range(rows):
            for s in range(columns):
                signal, seen, chosen = dy[c, r, s], y[c, r, s], choice[c, r, s]
                for corner in range(4):
                    row = x[c, 2 * r + corner // 2, 2 * s + corner % 2]
                    out = dx[c, 2 * r + corner // 2, 2 * s + corner % 2]
                    for j in range(batch):
                        force = signal[j] if (seen[j] > zero and chosen[j] == corner) else zero
                        out[j] = factor * (force - (row[j] - middle) * size * a - b)
