"""Products of weights (n, m) with signals, made once for many signals: dense, a tile at a time, or without weights.

Signals are (m, s): rows are long and contiguous. Each product is a function of signals and bias, of type (n, s), and
has the `shape` (n, m) of the matrix.
"""

from __future__ import annotations

import numpy as np

from dynsim.kernels import SortedProduct, relation

TILE = 2**22  # weights of one tile, 16 MiB in float32


class DenseProduct:
    """With the weights, which are kept."""

    def __init__(self, weights):
        self.weights, self.shape = weights, weights.shape

    def __call__(self, signals, bias):
        return _plus(self.weights @ signals, bias)


class TiledProduct:
    """With the weights of a part of the targets at a time."""

    def __init__(self, kernel, sources, targets, strengths):
        self.shape = targets.shape[1], sources.shape[1]
        self._relation = kernel, sources[None], targets, strengths[None, None]

    def __call__(self, signals, bias):
        kernel, sources, targets, strengths = self._relation
        n, m = self.shape
        y = np.empty((n, signals.shape[1]), np.result_type(sources, signals))
        rows = max(1, TILE // max(1, m))
        for start in range(0, n, rows):
            tile = np.ascontiguousarray(targets[None, :, start : start + rows])
            np.matmul(relation(kernel, sources, tile, strengths)[0, 0], signals, out=y[start : start + rows])
        return _plus(y, bias)


class SortedCopies:
    """Without weights: a sorted sum for every copy."""

    def __init__(self, kernel, sources, targets, strengths):
        self.shape = targets.shape[1], sources.shape[1]
        self._dtype = sources.dtype
        self._copies = [
            SortedProduct(*places, scale=kernel.scale * float(strength))
            for *places, strength in zip(sources, targets, strengths, strict=True)
        ]

    def __call__(self, signals, bias):
        parts = (copy.forward(signals) for copy in self._copies)
        y = next(parts, None)
        if y is None:
            y = np.zeros((self.shape[0], signals.shape[1]), np.result_type(self._dtype, signals))
        for part in parts:
            y += part
        return _plus(y, bias)


def _plus(y, bias):
    if bias is not None:
        y += bias[:, None]
    return y
