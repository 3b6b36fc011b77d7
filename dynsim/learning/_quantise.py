"""Numbers on grids of 2^bits values while they are trained: so they lose nothing when they are packed."""

from __future__ import annotations

import numpy as np

from dynsim._check import as_count, as_like, refusal
from dynsim.models import Model

from ._grids import MOST_BITS, Grid, find_grid, stored_bits
from ._perturbation import PERTURBED


class Quantiser:
    """Hold the exact places, strengths and weights of a model beside those on the grid, for straight-through gradients.

    The model computes with the numbers on the grid; forces move the exact ones (Bengio et al., arXiv:1308.3432). Every
    array has a grid of its own, that of the least squared error; `renew` fits the grids to the numbers as they are now.
    What a packed file stores as float16 is left alone.

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
        if self.bits > MOST_BITS:
            raise refusal("bits", bits, f"1 to {MOST_BITS}")
        as_like(model, ("parameters",), "Model", "model")
        kept = [p for p in model.parameters.values() if p.kind in PERTURBED]
        widths = [stored_bits(p.kind, p.value.size, self.bits) for p in kept]
        self.parameters = [p for p, width in zip(kept, widths, strict=True) if width]
        self.widths = [width for width in widths if width]
        self.exact = [p.value.copy() for p in self.parameters]
        self.renew()

    def renew(self):
        """Fit the grids to the exact numbers."""
        self.grids = [find_grid(exact, width) for exact, width in zip(self.exact, self.widths, strict=True)]

    def to_grid(self):
        """Give the model the nearest numbers on the grid."""
        for parameter, exact, grid in zip(self.parameters, self.exact, self.grids, strict=True):
            parameter.value[...] = grid.nearest(exact)

    def to_exact(self):
        """Give the model the exact numbers, to be moved."""
        for parameter, exact in zip(self.parameters, self.exact, strict=True):
            parameter.value[...] = exact

    def moved(self):
        """Take over the numbers after a step."""
        for parameter, exact in zip(self.parameters, self.exact, strict=True):
            exact[...] = parameter.value

    def state(self) -> dict:
        """All that later steps depend on."""
        return {"exact": self.exact, "grids": [[grid.step, grid.offset] for grid in self.grids]}

    def restore(self, state: dict):
        """Take over what `state` returned; raises ValueError if it is of another training."""
        shapes = [np.shape(exact) for exact in state["exact"]]
        if shapes != [exact.shape for exact in self.exact]:
            raise refusal("checkpoint", "one with other numbers on grids", "that of this training with bits")
        for exact, stored in zip(self.exact, state["exact"], strict=True):
            exact[...] = stored
        pairs = zip(state["grids"], self.widths, strict=True)
        self.grids = [Grid(float(step), int(offset), width) for (step, offset), width in pairs]
