"""Convolutions: between sets of particles, and with ordinary weights."""

from __future__ import annotations

import numpy as np

from dynsim._check import as_array, as_choice, as_instance
from dynsim.kernels import Kernel, SortedProduct, relation, relation_forces

from ._convolve import convolve
from ._linear import Convolution
from ._parameter import as_parameter
from ._plan import choose

SETS = ("half", "full")


class Conv(Convolution):
    """A k x k convolution without weights.

    With half sets there is one set of output places for each kernel row and one of input places for each column::

        W[o, i, r, c] = sum_h lambda[r, c, h] phi(q_out[r, h, o], q_in[c, h, i])

    With full sets both axes have both; the second relation goes from the rows' inputs to the columns' outputs::

        W[o, i, r, c] = sum_h lambda[0, r, c, h] phi(q_out[0, r, h, o], q_in[0, c, h, i])
                            + lambda[1, c, r, h] phi(q_out[1, c, h, o], q_in[1, r, h, i])

    Parameters
    ----------
    places_in : array_like (k, H, n_in, d), full (2, k, H, n_in, d), or Parameter
    places_out : array_like (k, H, n_out, d), full (2, k, H, n_out, d), or Parameter
    strengths : array_like (k, k, H), full (2, k, k, H), or Parameter
    kernel : Kernel, optional
    bias : array_like (n_out,), or Parameter, optional
    sets : {"half", "full"}
        k (n_in + n_out) or 2 k (n_in + n_out) neurons a copy.

    Raises
    ------
    ValueError, TypeError
        If shapes do not fit.

    Examples
    --------
    >>> import numpy as np
    >>> layer = Conv(np.zeros((2, 1, 1, 1)), np.ones((2, 1, 3, 1)), np.ones((2, 2, 1)), Kernel("linear"))
    >>> layer.materialize().shape, layer.forward(np.ones((1, 1, 4, 4)))[0, 0, 0, 0].item()
    ((3, 1, 2, 2), 4.0)
    """

    def __init__(self, places_in, places_out, strengths, kernel=None, bias=None, sets="half"):
        as_choice(sets, SETS, "sets")
        self.places_in = as_parameter(places_in, "places")
        self.places_out = as_parameter(places_out, "places")
        self.strengths = as_parameter(strengths, "strengths")
        self.kernel, self.sets = Kernel() if kernel is None else as_instance(kernel, Kernel, "kernel"), sets
        axes = () if sets == "half" else (2,)
        *_, k, copies, _, d = as_array(self.places_in.value, "places_in", (*axes, "k", "H", "n_in", "d")).shape
        n_out = as_array(self.places_out.value, "places_out", (*axes, k, copies, "n_out", d)).shape[-2]
        as_array(self.strengths.value, "strengths", (*axes, k, k, copies))
        if bias is not None:
            self.bias = as_parameter(bias, "bias")
            as_array(self.bias.value, "bias", (n_out,))

    @property
    def parameters(self):
        """Everything learning moves, by name."""
        named = {"places_in": self.places_in, "places_out": self.places_out, "strengths": self.strengths}
        return named if self.bias is None else {**named, "bias": self.bias}

    def materialize(self):
        """Return the weights (n_out, n_in, k, k) that the places stand for."""
        weights = sum(relation(self.kernel, *subsystem).transpose(order) for subsystem, order in self._relations())
        return np.ascontiguousarray(weights)

    def add_weight_gradient(self, gradient):
        """Turn dL/dW (n_out, n_in, k, k) into forces on the neurons (their gradient) and on lambda."""
        forces = []
        for subsystem, order in self._relations():
            on_weights = np.ascontiguousarray(gradient.transpose(np.argsort(order)))
            forces.append(relation_forces(self.kernel, *subsystem, on_weights))
        for number, parameter in enumerate((self.places_in, self.places_out, self.strengths)):
            parts = [force[number] for force in forces]
            parameter.add(parts[0] if self.sets == "half" else np.stack(parts))

    def product(self, x, inference="auto"):
        """Return W * x without the bias: dense, tiled (a part of the outputs at a time) or weight-free.

        Weight-free, every offset (r, c) of the kernel and every copy is one sorted product over the image shifted by
        it; neither weights nor patches are made.

        Raises
        ------
        ValueError
            If x does not fit, or weight-free is asked of a kernel that cannot.
        """
        arrays = [parameter.value for parameter in (self.places_in, self.places_out, self.strengths)]
        *_, k, _, n_in, _ = arrays[0].shape
        n_out = arrays[1].shape[-2]
        x = as_array(x, "x", ("batch", n_in, "height", "width"), dtype=np.result_type(x, arrays[0]))
        images = np.ascontiguousarray(np.moveaxis(x, 0, -1))
        height, width, batch = images.shape[1] - k + 1, images.shape[2] - k + 1, images.shape[3]
        if min(height, width) < 1:
            raise ValueError(f"x: got shape {x.shape}; expected (batch, {n_in}, at least {k}, at least {k}).")
        how = choose(inference, self.kernel, **self.sizes(x.shape))
        if how != "weight-free":  # the weights of a convolution are few: all of them are one tile
            y = convolve(images, self.materialize().astype(x.dtype, copy=False), np.zeros(n_out, x.dtype))
            return np.moveaxis(y, -1, 0)
        y = np.zeros((n_out, height * width * batch), x.dtype)
        for (sources, targets, strengths), order in self._relations():
            for t, s, h in np.ndindex(strengths.shape):
                r, c = (t, s) if order[2] == 0 else (s, t)
                shifted = images[:, r : r + height, c : c + width].reshape(n_in, -1)
                y += strengths[t, s, h] * SortedProduct(sources[s, h], targets[t, h], self.kernel.scale).forward(
                    shifted
                )
        return np.moveaxis(y.reshape(n_out, height, width, batch), -1, 0)

    def sizes(self, shape):
        """What the planner (`choose`, `costs`) asks of this layer for images (batch, n_in, height, width)."""
        *_, k, _, n_in, d = self.places_in.value.shape
        windows = shape[0] * (shape[2] - k + 1) * (shape[3] - k + 1)
        copies = self.strengths.value.size // (k * k)
        n_out = self.places_out.value.shape[-2]
        return {"m": n_in, "n": n_out, "d": d, "copies": copies, "columns": windows, "offsets": k * k}

    def _relations(self):
        """Sources, targets and lambda of each relation, and the order of its axes [t, s, o, i] in W[o, i, r, c]."""
        arrays = (self.places_in.value, self.places_out.value, self.strengths.value)
        rows_out, columns_out = (2, 3, 0, 1), (2, 3, 1, 0)
        if self.sets == "half":
            return [(arrays, rows_out)]
        return [(tuple(array[axis] for array in arrays), order) for axis, order in enumerate((rows_out, columns_out))]


class PlainConv(Convolution):
    """The ordinary convolution, weights (n_out, n_in, k, k).

    Examples
    --------
    >>> import numpy as np
    >>> PlainConv(np.ones((1, 1, 2, 2))).forward(np.ones((1, 1, 2, 2))).item()
    4.0
    """

    def __init__(self, weights, bias=None):
        self.weights = as_parameter(weights, "weights")
        shape = as_array(self.weights.value, "weights", ("n_out", "n_in", "k", "k")).shape
        if shape[2] != shape[3]:
            raise ValueError(f"weights: got a kernel of {shape[2]} x {shape[3]}; expected a square one.")
        if bias is not None:
            self.bias = as_parameter(bias, "bias")
            as_array(self.bias.value, "bias", (shape[0],))

    @property
    def parameters(self):
        """Everything learning moves, by name."""
        return {"weights": self.weights} if self.bias is None else {"weights": self.weights, "bias": self.bias}

    def materialize(self):
        """Return the weights (n_out, n_in, k, k)."""
        return self.weights.value

    def add_weight_gradient(self, gradient):
        """Add dL/dW (n_out, n_in, k, k)."""
        self.weights.add(gradient)
