"""Convolutions: between sets of particles, and with ordinary weights.

Images are (batch, channels, height, width) to the outside; in memory the batch lies last.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from dynsim._check import as_choice, as_count, refusal
from dynsim.kernels import Kernel, relation, relation_forces, shared_relation, shared_relation_forces

from . import _convolution_loops
from ._aligned import contiguous
from ._convolution_loops import widened
from ._layer import ParameterLike, as_bias, as_kernel, as_parameter
from ._linear_products import SortedCopies
from ._weighted import Weighted

SETS = ("half", "full")  # with places of their own for every row and column
CONV_SETS = (*SETS, "one")


class Convolution(Weighted):
    """y = W * x + bias (stride 1), W (n_out, n_in, k, k) from `materialize()`; `side` is k.

    `margin` rows and columns of zeros surround the images; without them (0) the convolution is valid.
    """

    word = "conv"
    convolves = True
    side: int
    margin = 0
    loops = _convolution_loops  # or another module with convolve, convolve_input and convolve_weights

    def product(self, inference: str = "dense") -> Callable:
        """Return the convolution with the weights: a function of images (n_in, height, width, batch) and bias.

        The images have the margin's columns already; its rows are not there.
        """
        return DenseConvolution(self.materialize(), self.margin, self.loops)

    def answer(self, product: Callable, x: npt.NDArray, training: bool = False) -> npt.NDArray:
        """Map images (batch, n_in, height, width) to (batch, n_out, height - k + 1, width - k + 1) plus 2 margin."""
        self._expect(x.shape, product.shape[-3])
        images = contiguous(np.moveaxis(x, 0, -1), np.result_type(x, product.dtype))
        images = widened(images, self.margin)
        y = product(images, None if self.bias is None else self.bias.value)
        if training:
            self.memory = product.weights, images
        return np.moveaxis(y, -1, 0)

    def backward(self, dy: npt.NDArray) -> npt.NDArray:
        """Take dL/dy, add the parameters' gradients and return dL/dx."""
        signal = self.add_gradients(dy)
        weights, images = self.memory
        weights = weights.astype(images.dtype, copy=False)
        return np.moveaxis(self.loops.convolve_input(signal, weights, self.margin), -1, 0)

    def add_gradients(self, dy: npt.NDArray) -> npt.NDArray:
        """Add the gradients of the weights and of the bias; returns dL/dy with the batch last."""
        _, images = self.memory
        signal = contiguous(np.moveaxis(dy, 0, -1), images.dtype)
        self.add_weight_gradient(self.loops.convolve_weights(images, signal, self.side, self.margin))
        if self.bias is not None:
            self.bias.add(signal.reshape(len(signal), -1).sum(axis=1))
        return signal

    def columns(self, shape: tuple[int, ...]) -> int:
        """How many windows of images (batch, n_in, height, width) the weights are applied to."""
        self._expect(shape)
        more = 2 * self.margin - self.side + 1
        return shape[0] * (shape[2] + more) * (shape[3] + more)

    def _expect(self, shape, n_in=None):
        least = max(1, self.side - 2 * self.margin)
        if len(shape) != 4 or n_in not in (None, shape[1]) or min(shape[2:]) < least:
            wanted = f"(batch, {'n_in' if n_in is None else n_in}, at least {least}, at least {least})"
            raise refusal("x", f"shape {shape}", wanted)

    def to_onnx(self, graph, x: str) -> str:
        """A convolution with the materialised weights and the bias."""
        return self.onnx_node(graph, x, self.materialize())

    def onnx_node(self, graph, x: str, weights: npt.NDArray, **attributes) -> str:
        """ONNX's convolution with these weights, the bias and the margin."""
        bias = [] if self.bias is None else [graph.constant(self.bias.value)]
        attributes |= {"pads": 4 * [self.margin]} if self.margin else {}
        return graph.add("Conv", x, graph.constant(weights), *bias, **attributes)


class Conv(Convolution):
    """A k x k convolution without weights.

    With half sets there is one set of output places for each kernel row and one of input places for each column::

        W[o, i, r, c] = sum_h lambda[r, c, h] phi(q_out[r, h, o], q_in[c, h, i])

    With full sets both axes have both; the second relation goes from the rows' inputs to the columns' outputs::

        W[o, i, r, c] = sum_h lambda[0, r, c, h] phi(q_out[0, r, h, o], q_in[0, c, h, i])
                            + lambda[1, c, r, h] phi(q_out[1, c, h, o], q_in[1, r, h, i])

    With one set every neuron has one place in each copy, whatever the offset; only lambda depends on that. Layers with
    as many channels can then share all their places, and differ in lambda alone::

        W[o, i, r, c] = sum_h lambda[r, c, h] phi(q_out[0, h, o], q_in[0, h, i])

    Parameters
    ----------
    places_in : array_like (k, H, n_in, d), full (2, k, H, n_in, d), one (1, H, n_in, d), or Parameter
    places_out : array_like (k, H, n_out, d), full (2, k, H, n_out, d), one (1, H, n_out, d), or Parameter
    strengths : array_like (k, k, H), full (2, k, k, H), or Parameter
    kernel : Kernel, optional
    bias : array_like (n_out,), or Parameter, optional
    sets : {"half", "full", "one"}
        k (n_in + n_out), 2 k (n_in + n_out) or n_in + n_out neurons a copy.
    margin : int
        Rows and columns of zeros around the images, fewer than k; (k - 1) / 2 of them keep the images' size.

    Raises
    ------
    ValueError, TypeError
        If shapes do not fit, or the margin is not from 0 to k - 1.

    Examples
    --------
    >>> import numpy as np
    >>> layer = Conv(np.zeros((2, 1, 1, 1)), np.ones((2, 1, 3, 1)), np.ones((2, 2, 1)), Kernel("linear"))
    >>> layer.materialize().shape, layer.forward(np.ones((1, 1, 4, 4)))[0, 0, 0, 0].item()
    ((3, 1, 2, 2), 4.0)
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
        sets: str = "half",
        margin: int = 0,
    ):
        self.sets = as_choice(sets, CONV_SETS, "sets")
        axes, rows = (2,) if sets == "full" else (), 1 if sets == "one" else "k"
        self.places_in = as_parameter(places_in, "places", "places_in", (*axes, rows, "H", "n_in", "d"))
        *_, rows, copies, _, d = self.places_in.value.shape
        self.places_out = as_parameter(places_out, "places", "places_out", (*axes, rows, copies, "n_out", d))
        k = "k" if sets == "one" else rows
        self.strengths = as_parameter(strengths, "strengths", "strengths", (*axes, k, k, copies))
        k = self.side = self.strengths.value.shape[-2]
        self.margin = as_margin(margin, k)
        self.kernel = as_kernel(kernel)
        self.bias = as_bias(bias, self.places_out.value.shape[-2])

    def materialize(self) -> npt.NDArray:
        """Return the weights (n_out, n_in, k, k) that follow from the places."""
        if self.sets == "one":
            weights = shared_relation(self.kernel, *self._shared())
            return np.ascontiguousarray(weights.transpose(1, 2, 0)).reshape(*weights.shape[1:], self.side, self.side)
        weights = sum(relation(self.kernel, *subsystem).transpose(order) for subsystem, order in self._relations())
        return np.ascontiguousarray(weights)

    def add_weight_gradient(self, gradient: npt.NDArray):
        """Turn dL/dW (n_out, n_in, k, k) into forces on the neurons (their gradient) and on lambda."""
        if self.sets == "one":
            on_weights = np.ascontiguousarray(gradient.transpose(2, 3, 0, 1)).reshape(-1, *gradient.shape[:2])
            forces = shared_relation_forces(self.kernel, *self._shared(), on_weights)
            for parameter, force in zip((self.places_in, self.places_out, self.strengths), forces, strict=True):
                parameter.add(force.reshape(parameter.value.shape))
            return
        forces = []
        for subsystem, order in self._relations():
            on_weights = np.ascontiguousarray(gradient.transpose(np.argsort(order)))
            forces.append(relation_forces(self.kernel, *subsystem, on_weights))
        for number, parameter in enumerate((self.places_in, self.places_out, self.strengths)):
            parts = [force[number] for force in forces]
            parameter.add(np.stack(parts) if self.sets == "full" else parts[0])

    def product(self, inference: str = "dense") -> Callable:
        """Return the convolution with the weights: dense, tiled (which is the same) or weight-free.

        It is a function of images (n_in, height, width, batch), which have the margin's columns but not its rows, and
        of a bias, or None. Weight-free, every offset (r, c) of the kernel and every copy is one sorted product over the
        image shifted by it; neither weights nor patches are made.
        """
        if inference != "weight-free":  # the weights of a convolution are few: all of them are one tile
            return super().product()
        parts = []
        for (sources, targets, strengths), order in self._relations():
            for t, s in np.ndindex(strengths.shape[:2]):
                r, c = (t, s) if order[2] == 0 else (s, t)
                parts.append((r, c, SortedCopies(self.kernel, sources[s], targets[t], strengths[t, s])))
        return SortedConvolution(self.side, parts, self.margin, self.places_in.value.dtype)

    def sizes(self, columns: int) -> dict[str, int]:
        """What the planner (`choose`, `costs`) asks of this layer for so many windows."""
        k, (*_, n_in, d) = self.side, self.places_in.value.shape
        copies = self.strengths.value.size // (k * k)
        n_out = self.places_out.value.shape[-2]
        return {"m": n_in, "n": n_out, "d": d, "copies": copies, "columns": columns, "offsets": k * k}

    def _shared(self):
        """Sources, targets and lambda of the relations of all offsets, where they have the same places."""
        copies = self.strengths.value.shape[-1]
        return self.places_in.value[0], self.places_out.value[0], self.strengths.value.reshape(-1, copies)

    def _relations(self):
        """Sources, targets and lambda of each relation, and the order of its axes [t, s, o, i] in W[o, i, r, c]."""
        arrays = (self.places_in.value, self.places_out.value, self.strengths.value)
        rows_out, columns_out = (2, 3, 0, 1), (2, 3, 1, 0)
        if self.sets == "one":
            arrays = *(np.broadcast_to(places, (self.side, *places.shape[1:])) for places in arrays[:2]), arrays[2]
        if self.sets != "full":
            return [(arrays, rows_out)]
        return [(tuple(array[axis] for array in arrays), order) for axis, order in enumerate((rows_out, columns_out))]


class PlainConv(Convolution):
    """The ordinary convolution, weights (n_out, n_in, k, k), with `margin` (0 to k - 1) zeros around the images.

    Examples
    --------
    >>> import numpy as np
    >>> PlainConv(np.ones((1, 1, 2, 2))).forward(np.ones((1, 1, 2, 2))).item()
    4.0
    """

    def __init__(self, weights: ParameterLike, bias: ParameterLike | None = None, *, margin: int = 0):
        self.weights = as_parameter(weights, "weights", "weights", ("n_out", "n_in", "k", "k"))
        shape = self.weights.value.shape
        if shape[2] != shape[3]:
            raise refusal("weights", f"a kernel of {shape[2]} x {shape[3]}", "a square one")
        self.side, self.margin = shape[2], as_margin(margin, shape[2])
        self.bias = as_bias(bias, shape[0])

    def materialize(self) -> npt.NDArray:
        """Return the weights (n_out, n_in, k, k)."""
        return self.weights.value

    def add_weight_gradient(self, gradient: npt.NDArray):
        """Add dL/dW (n_out, n_in, k, k)."""
        self.weights.add(gradient)


class DenseConvolution:
    """With the weights, which are kept."""

    def __init__(self, weights, margin, loops):
        self.weights, self.shape, self.dtype = weights, weights.shape, weights.dtype
        self._margin, self._convolve = margin, loops.convolve

    def __call__(self, images, bias):
        bias = None if bias is None else bias.astype(images.dtype, copy=False)
        return self._convolve(images, self.weights.astype(images.dtype, copy=False), bias, self._margin)


class SortedConvolution:
    """Without weights: (r, c, product) of every offset of the kernel, added up."""

    def __init__(self, side, parts, margin, dtype):
        self._parts, self._margin, self.dtype = parts, margin, dtype
        self.shape = (*parts[0][2].shape, side, side)

    def __call__(self, images, bias):
        n_out, n_in, k, _ = self.shape
        images = np.pad(images, ((0, 0), (self._margin, self._margin), (0, 0), (0, 0))) if self._margin else images
        height, width, batch = images.shape[1] - k + 1, images.shape[2] - k + 1, images.shape[3]
        y = np.zeros((n_out, height * width * batch), images.dtype)
        if bias is not None:
            y += bias[:, None]
        for r, c, product in self._parts:
            y += product(images[:, r : r + height, c : c + width].reshape(n_in, -1), None)
        return y.reshape(n_out, height, width, batch)


def as_margin(value, k):
    """Return `value` as the margin of a k x k kernel: from 0 to k - 1, so that every window sees something."""
    if (margin := as_count(value, "margin", minimum=0)) >= k:
        raise refusal("margin", margin, f"a whole number from 0 to {k - 1} with a kernel of {k} x {k}")
    return margin
