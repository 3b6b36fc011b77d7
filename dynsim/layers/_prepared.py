"""Layers that answer again and again: what they multiply signals by is made once, and kept."""

from __future__ import annotations

from collections.abc import Callable

import numpy.typing as npt


class Prepared:
    """A frozen layer, as `prepare` returns it: what changes the layer afterwards does not change this one.

    Attributes
    ----------
    inference : str or None
        "dense": the weights are kept; "weight-free": the order of the places; "tiled": the places, of which a part of
        the weights is made at a time (of a convolution, the weights, which are few). None for a layer without weights.

    Examples
    --------
    >>> import numpy as np
    >>> from dynsim.kernels import Kernel
    >>> from dynsim.layers import Full
    >>> layer = Full(np.zeros((1, 2, 1)), np.ones((1, 1, 1)), [2.0], Kernel("linear", "l1"))
    >>> prepared = layer.prepare("weight-free")
    >>> layer.places_out.value += 1
    >>> prepared(np.ones((1, 2))), layer.forward(np.ones((1, 2)))
    (array([[4.]]), array([[8.]]))
    """

    def __init__(self, layer, answer: Callable, inference: str | None = None, *, bypassed: bool = False):
        self._layer, self._answer, self.inference, self._bypassed = layer, answer, inference, bypassed

    def __repr__(self):
        return f"Prepared({type(self._layer).__name__}{f', {self.inference}' if self.inference else ''})"

    def __call__(self, x: npt.NDArray, bypass: dict | None = None) -> npt.NDArray:
        """Return the layer's signals for the signals x; `bypass` holds what the layers of one call pass by others."""
        return self._answer(x, {} if bypass is None else bypass) if self._bypassed else self._answer(x)
