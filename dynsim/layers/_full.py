"""Full layers: between two subsystems of particles, and with ordinary weights as a baseline."""

from __future__ import annotations

import math

import numpy as np

from dynsim._check import as_array, as_instance
from dynsim.kernels import Kernel, SortedProduct, relation, relation_forces

from ._linear import Linear
from ._parameter import as_parameter
from ._plan import TILE, choose


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

    def __init__(self, places_in, places_out, strengths, kernel=None, bias=None):
        self.places_in = as_parameter(places_in, "places")
        self.places_out = as_parameter(places_out, "places")
        self.strengths = as_parameter(strengths, "strengths")
        self.kernel = Kernel() if kernel is None else as_instance(kernel, Kernel, "kernel")
        copies, _, d = as_array(self.places_in.value, "places_in", ("H", "m", "d")).shape
        n = as_array(self.places_out.value, "places_out", (copies, "n", d)).shape[1]
        as_array(self.strengths.value, "strengths", (copies,))
        if bias is not None:
            self.bias = as_parameter(bias, "bias")
            as_array(self.bias.value, "bias", (n,))

    @property
    def parameters(self):
        """Everything learning moves, by name."""
        named = {"places_in": self.places_in, "places_out": self.places_out, "strengths": self.strengths}
        return named if self.bias is None else {**named, "bias": self.bias}

    def materialize(self):
        """Return the weights (n, m) that the places stand for."""
        return relation(self.kernel, *self._subsystems())[0, 0]

    def add_weight_gradient(self, gradient):
        """Turn dL/dW (n, m) into forces on the neurons (their gradient) and on lambda."""
        dsources, dtargets, dstrengths = relation_forces(self.kernel, *self._subsystems(), gradient[None, None])
        self.places_in.add(dsources[0])
        self.places_out.add(dtargets[0])
        self.strengths.add(dstrengths[0, 0])

    def product(self, x, inference="auto"):
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
                y += strengths[h] * SortedProduct(sources[h], targets[h], self.kernel.scale).forward(x.T)
            return y.T
        y = np.empty((len(x), n), x.dtype)
        rows = max(1, TILE // m)
        for start in range(0, n, rows):
            tile = np.ascontiguousarray(targets[:, start : start + rows])
            y[:, start : start + rows] = (
                x @ relation(self.kernel, sources[None], tile[None], strengths[None, None])[0, 0].T
            )
        return y

    def sizes(self, shape):
        """What the planner (`choose`, `costs`) asks of this layer for signals of this shape, (..., m)."""
        copies, m, d = self.places_in.value.shape
        return {"m": m, "n": self.places_out.value.shape[1], "d": d, "copies": copies, "columns": math.prod(shape[:-1])}

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

    def __init__(self, weights, bias=None):
        self.weights = as_parameter(weights, "weights")
        shape = as_array(self.weights.value, "weights", ("n", "m")).shape
        if bias is not None:
            self.bias = as_parameter(bias, "bias")
            as_array(self.bias.value, "bias", (shape[0],))

    @property
    def parameters(self):
        """Everything learning moves, by name."""
        return {"weights": self.weights} if self.bias is None else {"weights": self.weights, "bias": self.bias}

    def materialize(self):
        """Return the weights (n, m)."""
        return self.weights.value

    def add_weight_gradient(self, gradient):
        """Add dL/dW (n, m)."""
        self.weights.add(gradient)
