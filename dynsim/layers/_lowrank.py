"""Layers of low rank, W = U V, a common way to compress networks, for comparison."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from dynsim._check import as_count, refusal

from ._conv import Convolution, as_margin
from ._full import Linear
from ._layer import ParameterLike, as_bias, as_parameter


class LowRankFull(Linear):
    """A full layer of rank r: W = U V with U (n, r), V (r, m).

    Examples
    --------
    >>> import numpy as np
    >>> LowRankFull(np.ones((2, 1)), np.ones((1, 3))).materialize().shape
    (2, 3)
    """

    def __init__(self, left: ParameterLike, right: ParameterLike, *, bias: ParameterLike | None = None):
        self.left = as_parameter(left, "weights", "left", ("n", "r"))
        self.right = as_parameter(right, "weights", "right", (self.left.value.shape[1], "m"))
        self.bias = as_bias(bias, len(self.left.value))

    def materialize(self) -> npt.NDArray:
        """Return the weights (n, m)."""
        return self.left.value @ self.right.value

    def add_weight_gradient(self, gradient: npt.NDArray):
        """Turn dL/dW into the factors' gradients."""
        self.left.add(gradient @ self.right.value.T)
        self.right.add(self.left.value.T @ gradient)


class LowRankConv(Convolution):
    """A convolution of rank r: its weights as an (n_out, n_in k k) matrix are U V; `margin` as of `PlainConv`.

    Examples
    --------
    >>> import numpy as np
    >>> LowRankConv(np.ones((4, 1)), np.ones((1, 18)), n_in=2).materialize().shape
    (4, 2, 3, 3)
    """

    def __init__(
        self,
        left: ParameterLike,
        right: ParameterLike,
        *,
        n_in: int,
        bias: ParameterLike | None = None,
        margin: int = 0,
    ):
        self.flat = LowRankFull(left, right, bias=bias)
        self.left, self.right, self.bias = self.flat.left, self.flat.right, self.flat.bias
        n_in, columns = as_count(n_in, "n_in"), self.right.value.shape[1]
        k = round((columns / n_in) ** 0.5)
        if n_in * k * k != columns:
            raise refusal("right", f"shape {self.right.value.shape}", f"(r, {n_in} k k)")
        self.margin = as_margin(margin, k)
        self.side, self.shape = k, (len(self.left.value), n_in, k, k)

    def materialize(self) -> npt.NDArray:
        """Return the weights (n_out, n_in, k, k)."""
        return np.ascontiguousarray(self.flat.materialize().reshape(self.shape))

    def add_weight_gradient(self, gradient: npt.NDArray):
        """Turn dL/dW into the factors' gradients."""
        self.flat.add_weight_gradient(gradient.reshape(len(gradient), -1))
