"""Convolutions: between sets of particles, and with ordinary weights."""

from __future__ import annotations

import numpy as np

from dynsim.kernels import Kernel, as_array, relation, relation_forces

from ._linear import Convolution
from ._parameter import as_parameter


class Conv(Convolution):
    """A k x k convolution without weights: W[o, i, r, c] = sum_h lambda[r, c, h] phi(q_out[r, h, o], q_in[c, h, i]).

    Parameters
    ----------
    places_in : array_like (k, H, n_in, d), or Parameter
        One set of input places per kernel column.
    places_out : array_like (k, H, n_out, d), or Parameter
        One set of output places per kernel row.
    strengths : array_like (k, k, H), or Parameter
        lambda[r, c, h].
    kernel : Kernel, optional
    bias : array_like (n_out,), or Parameter, optional

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

    def __init__(self, places_in, places_out, strengths, kernel=None, bias=None):
        self.places_in = as_parameter(places_in, "places")
        self.places_out = as_parameter(places_out, "places")
        self.strengths = as_parameter(strengths, "strengths")
        self.kernel = kernel or Kernel()
        k, copies, _, d = as_array(self.places_in.value, "places_in", ("k", "H", "n_in", "d")).shape
        n_out = as_array(self.places_out.value, "places_out", (k, copies, "n_out", d)).shape[2]
        as_array(self.strengths.value, "strengths", (k, k, copies))
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
        weights = relation(self.kernel, self.places_in.value, self.places_out.value, self.strengths.value)
        return np.ascontiguousarray(weights.transpose(2, 3, 0, 1))

    def add_weight_gradient(self, gradient):
        """Turn dL/dW (n_out, n_in, k, k) into forces on the neurons (their gradient) and on lambda."""
        forces = relation_forces(
            self.kernel,
            self.places_in.value,
            self.places_out.value,
            self.strengths.value,
            np.ascontiguousarray(gradient.transpose(2, 3, 0, 1)),
        )
        for parameter, force in zip((self.places_in, self.places_out, self.strengths), forces, strict=True):
            parameter.add(force)


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
