"""Weights kept in 8 bits: integers, and the size of one step for each output neuron."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ._particles import DerivedWeights
from ._weight_layout import WeightLayout

EIGHT_BITS = 0  # in the place of how many numbers a neuron has
LEVELS = 127  # on both sides of 0


class EightBits(DerivedWeights):
    """A weight as `codes` (its shape, int8) times `steps`, one for each output neuron.

    The codes are fixed; steps learn if the weight did. A weight is off by at most half a step, which is the largest
    weight of its output neuron / 254, and by the rounding of its type.

    Parameters
    ----------
    layout : WeightLayout
    codes, steps : Tensor
        int8; and of the weight's type, with all axes but that of the outputs of length 1.

    Examples
    --------
    >>> made = EightBits.rounded(WeightLayout((1, 3)), nn.Parameter(torch.tensor([[1.27, -0.5, 0.003]])))
    >>> made.codes, made()
    (tensor([[127, -50,   0]], dtype=torch.int8), tensor([[ 1.2700, -0.5000,  0.0000]], grad_fn=<MulBackward0>))
    """

    def __init__(self, layout: WeightLayout, codes: Tensor, steps: Tensor, *, learns: bool = True):
        super().__init__()
        self.layout = layout
        self.register_buffer("codes", codes)
        self.steps = nn.Parameter(steps, learns)

    @classmethod
    def rounded(cls, layout: WeightLayout, weight: Tensor) -> EightBits:
        """The integers nearest to a weight."""
        flat = weight.detach()
        axes = [axis for axis in range(flat.dim()) if axis != layout.outputs]
        steps = flat.abs().amax(axes, keepdim=True) / LEVELS
        codes = flat.double() / torch.where(steps > 0, steps, 1.0).double()
        codes = torch.round(codes).clamp(-LEVELS, LEVELS).to(torch.int8)
        return cls(layout, codes, steps, learns=weight.requires_grad)

    def parts(self):
        """Nothing that `NaturalDescent` moves."""
        return {}

    def forward(self) -> Tensor:
        """The weight."""
        return self.codes.to(self.steps.dtype) * self.steps

    def extra_repr(self):
        """What `print(module)` shows."""
        return "8 bits"


def rounding(layout: WeightLayout, weight: Tensor) -> float:
    """What 8 bits leave of a weight, as a share of |W|^2.

    Examples
    --------
    >>> rounding(WeightLayout((1, 2)), torch.tensor([[127.0, 0.25]])) == 0.25**2 / (127**2 + 0.25**2)
    True
    """
    weight = weight.detach()
    with torch.no_grad():
        change = EightBits.rounded(layout, weight)().double() - weight.double()
    size = float(weight.double().square().sum())
    return float(change.square().sum()) / size if size else 0.0
