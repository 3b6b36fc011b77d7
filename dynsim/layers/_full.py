"""Full layers: between two subsystems of particles, and with ordinary weights as a baseline."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy.typing as npt

from dynsim._check import refusal
from dynsim.kernels import Kernel, relation, relation_forces

from ._layer import ParameterLike, as_bias, as_kernel, as_parameter
from ._linear_products import DenseProduct, SortedCopies, TiledProduct
from ._weighted import Weighted


class Linear(Weighted):
    """y = W x + bias with W (n, m) from `materialize()`; a subclass says where a gradient in W goes.

    Signals are (batch, ...) arrays to the outside; in memory the batch lies last, so that rows are long and contiguous.
    """

    word = "fc"

    def product(self, inference: str = "dense") -> Callable:
        """Return the product with the weights: a function of signals (m, s) and bias, as `product(signals, None)`."""
        return DenseProduct(self.materialize())

    def answer(self, product: Callable, x: npt.NDArray, training: bool = False) -> npt.NDArray:
        """Map signals (..., m), such as (batch, m) or (batch, tokens, m), to (..., n)."""
        if x.ndim < 2 or x.shape[-1] != product.shape[1]:
            m = product.shape[1]
            raise refusal("x", f"shape {x.shape}", f"(batch, {m}) or (batch, tokens, {m})")
        rows = x.reshape(-1, x.shape[-1])
        y = product(rows.T, None if self.bias is None else self.bias.value)
        if training:
            self.memory = product.weights, rows
        return y.T.reshape(*x.shape[:-1], len(y))

    def backward(self, dy: npt.NDArray) -> npt.NDArray:
        """Take dL/dy (..., n), add the parameters' gradients and return dL/dx (..., m)."""
        self.add_gradients(dy)
        weights, rows, *_ = self.memory
        signal = dy.reshape(-1, dy.shape[-1])
        return (weights.T @ signal.T).T.reshape(*dy.shape[:-1], rows.shape[1])

    def add_gradients(self, dy: npt.NDArray):
        """Add the gradients of the weights and of the bias."""
        _, rows, *_ = self.memory
        signal = dy.reshape(-1, dy.shape[-1])
        self.add_weight_gradient(signal.T @ rows)
        if self.bias is not None:
            self.bias.add(signal.sum(axis=0))

    def columns(self, shape: tuple[int, ...]) -> int:
        """How many vectors are multiplied by the weights for signals of this shape, (..., m)."""
        return math.prod(shape[:-1])

    def to_onnx(self, graph, x: str) -> str:
        """A product with the materialised weights, and the bias."""
        y = graph.add("MatMul", x, graph.constant(self.materialize().T))
        return y if self.bias is None else graph.add("Add", y, graph.constant(self.bias.value))


class Full(Linear):
    """A full layer without weights: W[o, i] = sum_h lambda_h phi(q_in[h, i], q_out[h, o]).

    Parameters
    ----------
    places_in : array_like (H, m, d), or Parameter
        Places of the m input neurons, H copies each; pass the previous layer's `places_out` to share its neurons.
    places_out : array_like (H, n, d), or Parameter
    strengths : array_like (H,), or Parameter
        lambda_h.
    kernel : Kernel, optional
    bias : array_like (n,), or Parameter, optional

    Raises
    ------
    ValueError, TypeError
        If shapes do not fit.

    Examples
    --------
    >>> import numpy as np
    >>> layer = Full(np.array([[[0.0], [3.0]]]), np.array([[[1.0]]]), [2.0], Kernel("linear"))
    >>> layer.materialize()
    array([[2., 4.]])
    >>> layer.forward(np.array([[1.0, 1.0]]))
    array([[6.]])
    """

    placed = True

    def __init__(
        self,
        places_in: ParameterLike,
        places_out: ParameterLike,
        strengths: ParameterLike,
        kernel: Kernel | None = None,
        *,
        bias: ParameterLike | None = None,
    ):
        self.places_in = as_parameter(places_in, "places", "places_in", ("H", "m", "d"))
        copies, _, d = self.places_in.value.shape
        self.places_out = as_parameter(places_out, "places", "places_out", (copies, "n", d))
        self.strengths = as_parameter(strengths, "strengths", "strengths", (copies,))
        self.kernel = as_kernel(kernel)
        self.bias = as_bias(bias, self.places_out.value.shape[1])

    def materialize(self) -> npt.NDArray:
        """Return the weights (n, m) that follow from the places."""
        return relation(self.kernel, *self._subsystems())[0, 0]

    def add_weight_gradient(self, gradient: npt.NDArray):
        """Turn dL/dW (n, m) into forces on the neurons (their gradient) and on lambda."""
        dsources, dtargets, dstrengths = relation_forces(self.kernel, *self._subsystems(), gradient[None, None])
        self.places_in.add(dsources[0])
        self.places_out.add(dtargets[0])
        self.strengths.add(dstrengths[0, 0])

    def product(self, inference: str = "dense") -> Callable:
        """Return the product with the weights: dense, tiled (a part of the outputs at a time) or weight-free.

        It is a function of signals (m, s) and a bias, or None.

        Examples
        --------
        >>> import numpy as np
        >>> layer = Full(np.array([[[0.0], [3.0]]]), np.array([[[1.0]]]), [2.0], Kernel("linear", "l1"))
        >>> layer.product("weight-free")(np.array([[1.0], [1.0]]), None)
        array([[6.]])
        """
        if inference == "dense":
            return DenseProduct(self.materialize())
        parts = (parameter.value for parameter in (self.places_in, self.places_out, self.strengths))
        return (SortedCopies if inference == "weight-free" else TiledProduct)(self.kernel, *parts)

    def sizes(self, columns: int) -> dict[str, int]:
        """What the planner (`choose`, `costs`) asks of this layer for so many vectors."""
        copies, m, d = self.places_in.value.shape
        n = self.places_out.value.shape[1]
        return {"m": m, "n": n, "d": d, "copies": copies, "columns": columns}

    def _subsystems(self):
        return self.places_in.value[None], self.places_out.value[None], self.strengths.value[None, None]


class PlainFull(Linear):
    """The ordinary full layer, weights (n, m), for comparison.

    Examples
    --------
    >>> import numpy as np
    >>> PlainFull(np.eye(2), np.ones(2)).forward(np.zeros((1, 2)))
    array([[1., 1.]])
    """

    def __init__(self, weights: ParameterLike, bias: ParameterLike | None = None):
        self.weights = as_parameter(weights, "weights", "weights", ("n", "m"))
        self.bias = as_bias(bias, len(self.weights.value))

    def materialize(self) -> npt.NDArray:
        """Return the weights (n, m)."""
        return self.weights.value

    def add_weight_gradient(self, gradient: npt.NDArray):
        """Add dL/dW (n, m)."""
        self.weights.add(gradient)
