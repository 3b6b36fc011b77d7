"""Layers with weights: signals are multiplied by them in one of several ways, made for one call or for many."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy.typing as npt

from ._inference import choose
from ._layer import Layer
from ._prepared import Prepared


class Weighted(Layer):
    """A layer whose answer is its weights' `product` with signals, and what follows from it."""

    weighted = True

    def forward(self, x: npt.NDArray, training: bool = False, *, inference: str = "dense") -> npt.NDArray:
        """Map signals by the weights, which are made for this call, or in another of the ways, as `choose` has them.

        In training, and in layers without places, it is always by the weights.
        """
        way = "dense" if training or inference == "dense" else self._way(inference, self.columns(x.shape))
        return self.answer(self.product(way), x, training)

    def answer(self, product: Callable, x: npt.NDArray, training: bool = False) -> npt.NDArray:
        """Map signals by one of the layer's products."""
        raise NotImplementedError(f"{type(self).__name__} has no answer.")

    def keep(self, inference: str, columns: int) -> Prepared:
        """Make the prepared layer of this one, which must not be used otherwise from now on."""
        way = self._way(inference, columns, kept=True)
        return Prepared(self, partial(self.answer, self.product(way)), way)

    def _way(self, inference, columns, kept=False):
        if not self.placed or (self.by_weights and inference == "auto"):
            return "dense"
        way = choose(inference, self.kernel, **self.sizes(columns), kept=kept)
        return "dense" if self.by_weights else way
