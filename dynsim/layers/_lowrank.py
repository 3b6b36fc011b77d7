"""Low-rank layers, W = U V: what many compress networks to; for comparison."""

from __future__ import annotations

import numpy as np

from dynsim._check import as_array, as_count

from ._linear import Convolution, Linear
from ._parameter import as_parameter


class LowRankFull(Linear):
    """A full layer of rank r: W = U V with U (n, r), V (r, m).

    Examples
    --------
    >>> import numpy as np
    >>> LowRankFull(np.ones((2, 1)), np.ones((1, 3))).materialize().shape
    (2, 3)
    """

    def __init__(self, left, right, bias=None):
        self.left, self.right = as_parameter(left, "weights"), as_parameter(right, "weights")
        n, rank = as_array(self.left.value, "left", ("n", "r")).shape
        as_array(self.right.value, "right", (rank, "m"))
        if bias is not None:
            self.bias = as_parameter(bias, "bias")
            as_array(self.bias.value, "bias", (n,))

    @property
    def parameters(self):
        """Everything learning moves, by name."""
        named = {"left": self.left, "right": self.right}
        return named if self.bias is None else {**named, "bias": self.bias}

    def materialize(self):
        """Return the weights (n, m)."""
        return self.left.value @ self.right.value

    def add_weight_gradient(self, gradient):
        """Turn dL/dW into the factors' gradients."""
        self.left.add(gradient @ self.right.value.T)
        self.right.add(self.left.value.T @ gradient)


class LowRankConv(Convolution):
    """A convolution of rank r: its weights as an (n_out, n_in k k) matrix are U V.

    Examples
    --------
    >>> import numpy as np
    >>> LowRankConv(np.ones((4, 1)), np.ones((1, 18)), 2).materialize().shape
    (4, 2, 3, 3)
    """

    def __init__(self, left, right, n_in, bias=None):
        self.flat = LowRankFull(left, right, bias)
        self.bias = self.flat.bias
        n_in = as_count(n_in, "n_in")
        k = round((self.flat.right.value.shape[1] / n_in) ** 0.5)
        if n_in * k * k != self.flat.right.value.shape[1]:
            raise ValueError(f"right: got shape {self.flat.right.value.shape}; expected (r, {n_in} k k).")
        self.shape = (len(self.flat.left.value), n_in, k, k)

    @property
    def parameters(self):
        """Everything learning moves, by name."""
        return self.flat.parameters

    def materialize(self):
        """Return the weights (n_out, n_in, k, k)."""
        return np.ascontiguousarray(self.flat.materialize().reshape(self.shape))

    def add_weight_gradient(self, gradient):
        """Turn dL/dW into the factors' gradients."""
        self.flat.add_weight_gradient(gradient.reshape(len(gradient), -1))
