"""Full layers: between two subsystems of particles, and with ordinary weights as a baseline."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from dynsim._check import as_array, refusal
from dynsim.kernels import Kernel, SortedProduct, relation, relation_forces

from ._inference import TILE, choose
from ._layer import Layer, ParameterLike, as_bias, as_kernel, as_parameter


class Linear(Layer):
    """y = W x + bias with W (n, m) from `materialize()`; a subclass says where a gradient in W goes.

    Signals are (batch, ...) arrays to the outside; in memory the batch lies last, so that rows are long and contiguous.
    """

    word = "fc"
    weighted = True

    def forward(self, x: npt.NDArray, training: bool = False, *, inference: str = "dense") -> npt.NDArray:
        """Map signals (..., m), such as (batch, m) or (batch, tokens, m), to (..., n).

        Without training, a layer of particles can compute its product in other ways than with its weights.
        """
        if x.ndim < 2:
            raise refusal("x", f"shape {x.shape}", "(batch, m) or (batch, tokens, m)")
        rows = x.reshape(-1, x.shape[-1])
        if self.placed and not training and inference != "dense":
            y = self.product(rows, inference)
            y = y if self.bias is None else y + self.bias.value
            return y.reshape(*x.shape[:-1], y.shape[1])
        weights = self.materialize()
        if rows.shape[1] != weights.shape[1]:
            raise refusal("x", f"shape {x.shape}", f"(..., {weights.shape[1]})")
        y = weights @ rows.T
        if self.bias is not None:
            y += self.bias.value[:, None]
        if training:
            self.memory = weights, rows
        return y.T.reshape(*x.shape[:-1], len(y))

    def backward(self, dy: npt.NDArray) -> npt.NDArray:
        """Take dL/dy (..., n), add the parameters' gradients and return dL/dx (..., m)."""
        self.add_gradients(dy)
        weights, rows = self.memory
        signal = dy.reshape(-1, dy.shape[-1])
        return (weights.T @ signal.T).T.reshape(*dy.shape[:-1], rows.shape[1])

    def add_gradients(self, dy: npt.NDArray):
        """Add the gradients of the weights and of the bias."""
        _, rows = self.memory
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

    def product(self, x: npt.ArrayLike, inference: str = "auto") -> npt.NDArray:
        """Return x W^T for x (batch, m), without bias: dense, tiled (a part of the outputs at a time) or weight-free.

        Raises
        ------
        ValueError
            If x does not fit, or weight-free is asked of a kernel that cannot.

        Examples
        --------
        >>> import numpy as np
        >>> layer = Full(np.array([[[0.0], [3.0]]]), np.array([[[1.0]]]), [2.0], Kernel("linear", "l1"))
        >>> layer.product(np.array([[1.0, 1.0]]), "weight-free")
        array([[6.]])
        """
        sources, targets, strengths = self.places_in.value, self.places_out.value, self.strengths.value
        copies, m, _ = sources.shape
        n = targets.shape[1]
        x = as_array(x, "x", ("batch", m), dtype=np.result_type(x, sources))
        how = choose(inference, self.kernel, **self.sizes(x.shape))
        if how == "dense":
            return x @ self.materialize().T
        if how == "weight-free":
            y = np.zeros((n, len(x)), x.dtype)
            for h in range(copies):
                y += strengths[h] * SortedProduct(sources[h], targets[h], scale=self.kernel.scale).forward(x.T)
            return y.T
        y = np.empty((len(x), n), x.dtype)
        rows = max(1, TILE // m)
        for start in range(0, n, rows):
            tile = np.ascontiguousarray(targets[:, start : start + rows])
            y[:, start : start + rows] = (
                x @ relation(self.kernel, sources[None], tile[None], strengths[None, None])[0, 0].T
            )
        return y

    def sizes(self, shape: tuple[int, ...]) -> dict[str, int]:
        """What the planner (`choose`, `costs`) asks of this layer for signals of this shape, (..., m)."""
        copies, m, d = self.places_in.value.shape
        n = self.places_out.value.shape[1]
        return {"m": m, "n": n, "d": d, "copies": copies, "columns": self.columns(shape)}

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
