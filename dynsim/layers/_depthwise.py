"""Depthwise convolutions, a k x k kernel for each channel: of particles, and with ordinary weights.

With a convolution of 1 x 1 behind it one has far fewer weights than a convolution of k x k (Howard et al., MobileNets,
arXiv:1704.04861).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from dynsim._check import refusal
from dynsim.kernels import Kernel, relation, relation_forces

from . import _depthwise_loops
from ._conv import Convolution, as_margin
from ._layer import ParameterLike, as_bias, as_kernel, as_parameter


class DepthwiseConvolution(Convolution):
    """y[o] = W[o] * x[o] + bias[o] (stride 1) for each channel o, W (channels, k, k) from `materialize()`."""

    word = "depthwise"
    loops = _depthwise_loops

    def to_onnx(self, graph, x: str) -> str:
        """A convolution in as many groups as there are channels."""
        weights = self.materialize()
        return self.onnx_node(graph, x, weights[:, None], group=len(weights))


class Depthwise(DepthwiseConvolution):
    """A depthwise convolution without weights: channels are neurons, and so are the k k offsets of the kernel::

        W[o, r, c] = sum_h lambda[h] phi(offsets[h, r k + c], places[h, o])

    The places may be those from which a `Conv` of 1 x 1 behind it starts: a `Parameter` as its `places_in`. The weights
    are few and each is used with one channel, so they are always made, whatever `inference` says: there is no sum over
    neurons that could be sorted. He's start is `start_strengths(kernel, offsets, places)`, whose sum is over the
    offsets.

    Parameters
    ----------
    places : array_like (1, H, channels, d), or Parameter
    offsets : array_like (1, H, k k, d), or Parameter
    strengths : array_like (1, 1, H), or Parameter
        lambda.
    kernel : Kernel, optional
    bias : array_like (channels,), or Parameter, optional
    margin : int
        As of `Conv`.

    Raises
    ------
    ValueError, TypeError
        If shapes do not fit, the number of offsets is no square, or the margin is not from 0 to k - 1.

    Examples
    --------
    >>> import numpy as np
    >>> layer = Depthwise(np.zeros((1, 1, 3, 2)), np.ones((1, 1, 9, 2)), [[[1.0]]], Kernel("linear", "l1"), margin=1)
    >>> layer.materialize().shape, layer.forward(np.ones((1, 3, 4, 4)))[0, 0, :2, :2].tolist()
    ((3, 3, 3), [[8.0, 12.0], [12.0, 18.0]])
    """

    placed = by_weights = True

    def __init__(
        self,
        places: ParameterLike,
        offsets: ParameterLike,
        strengths: ParameterLike,
        kernel: Kernel | None = None,
        *,
        bias: ParameterLike | None = None,
        margin: int = 0,
    ):
        self.places = as_parameter(places, "places", "places", (1, "H", "channels", "d"))
        _, copies, channels, d = self.places.value.shape
        self.offsets = as_parameter(offsets, "places", "offsets", (1, copies, "k k", d))
        count = self.offsets.value.shape[2]
        self.side = round(count**0.5)
        if self.side**2 != count or count == 0:
            raise refusal("offsets", f"shape {self.offsets.value.shape}", f"(1, {copies}, k k, {d})")
        self.strengths = as_parameter(strengths, "strengths", "strengths", (1, 1, copies))
        self.margin = as_margin(margin, self.side)
        self.kernel = as_kernel(kernel)
        self.bias = as_bias(bias, channels)

    def materialize(self) -> npt.NDArray:
        """Return the weights (channels, k, k) that follow from the places."""
        weights = relation(self.kernel, *self._subsystem)[0, 0]
        return np.ascontiguousarray(weights.T).reshape(-1, self.side, self.side)

    def add_weight_gradient(self, gradient: npt.NDArray):
        """Turn dL/dW (channels, k, k) into forces on channels and offsets (their gradient) and on lambda."""
        on_weights = np.ascontiguousarray(gradient.reshape(len(gradient), -1).T)[None, None]
        forces = relation_forces(self.kernel, *self._subsystem, on_weights)
        for parameter, force in zip((self.places, self.offsets, self.strengths), forces, strict=True):
            parameter.add(force)

    def sizes(self, columns: int) -> dict[str, int]:
        """The relation between m channels and n offsets, and the number of windows."""
        _, copies, channels, d = self.places.value.shape
        return {"m": channels, "n": self.side**2, "d": d, "copies": copies, "columns": columns}

    @property
    def _subsystem(self):
        return self.places.value, self.offsets.value, self.strengths.value


class PlainDepthwise(DepthwiseConvolution):
    """The ordinary depthwise convolution, weights (channels, k, k), with `margin` (0 to k - 1) zeros around the images.

    Examples
    --------
    >>> import numpy as np
    >>> PlainDepthwise(np.ones((2, 2, 2))).forward(np.ones((1, 2, 2, 2))).tolist()
    [[[[4.0]], [[4.0]]]]
    """

    def __init__(self, weights: ParameterLike, bias: ParameterLike | None = None, *, margin: int = 0):
        self.weights = as_parameter(weights, "weights", "weights", ("channels", "k", "k"))
        shape = self.weights.value.shape
        if shape[1] != shape[2]:
            raise refusal("weights", f"a kernel of {shape[1]} x {shape[2]}", "a square one")
        self.side, self.margin = shape[1], as_margin(margin, shape[1])
        self.bias = as_bias(bias, shape[0])

    def materialize(self) -> npt.NDArray:
        """Return the weights (channels, k, k)."""
        return self.weights.value

    def add_weight_gradient(self, gradient: npt.NDArray):
        """Add dL/dW (channels, k, k)."""
        self.weights.add(gradient)
