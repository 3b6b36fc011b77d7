"""Places on a grid of 2^bits values an axis: trained so, they lose nothing when they are packed."""

from __future__ import annotations

import numpy as np

from dynsim._check import as_count, as_like, refusal
from dynsim.models import Model

REACH = 2.6  # standard deviations on both sides of the mean that a grid covers


class Quantiser:
    """Hold the exact places of a model beside those on the grid, for training with straight-through gradients.

    The model computes with places on the grid; forces move the exact ones (Bengio et al., arXiv:1308.3432). The grid
    of each subsystem covers 2.6 standard deviations about its mean at the start, and stays.

    Examples
    --------
    >>> from dynsim.models import mlp
    >>> model = mlp((8, 4), copies=2, dim=3)
    >>> quantiser = Quantiser(model, bits=2)
    >>> quantiser.to_grid(); len(np.unique(model.layers[1].places_in.value)) <= 4
    True
    """

    def __init__(self, model: Model, bits: int):
        self.bits = as_count(bits, "bits")
        if self.bits > 16:
            raise refusal("bits", bits, "1 to 16")
        as_like(model, ("parameters",), "Model", "model")
        self.places = [p for p in model.parameters.values() if p.kind == "places"]
        self.exact = [p.value.copy() for p in self.places]
        self.grids = [_grid(value, self.bits) for value in self.exact]

    def to_grid(self):
        """Give the model the nearest places on the grid."""
        for parameter, exact, (low, step) in zip(self.places, self.exact, self.grids, strict=True):
            codes = np.clip(np.rint((exact - low) / step), 0, 2**self.bits - 1)
            parameter.value[...] = low + codes.astype(parameter.value.dtype) * step

    def to_exact(self):
        """Give the model the exact places, to be moved."""
        for parameter, exact in zip(self.places, self.exact, strict=True):
            parameter.value[...] = exact

    def moved(self):
        """Take over the places after a step."""
        for parameter, exact in zip(self.places, self.exact, strict=True):
            exact[...] = parameter.value


def _grid(value, bits):
    """Lowest value and step, in the working precision."""
    reach = REACH * float(value.std()) or 1.0
    low = float(value.mean()) - reach
    return value.dtype.type(low), value.dtype.type(2 * reach / (2**bits - 1))
