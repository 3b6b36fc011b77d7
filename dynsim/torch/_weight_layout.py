"""How the weight tensors of PyTorch's layers are relations between sets of neurons: (T, S, n, m) and back."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor


@dataclass(frozen=True)
class WeightLayout:
    """A tensor of `shape` as weights (T, S, n, m).

    The axis `outputs` counts output neurons and `inputs` input neurons (within their group, if the layer has groups).
    All others are a window: its first axis has a set of outputs for each row (T), the others together one of inputs
    for each column (S). A window of one axis has columns only, as the tensor of a full layer over all its positions.

    Examples
    --------
    >>> layout = WeightLayout((8, 3, 5, 7))
    >>> layout.sets, WeightLayout((8, 3, 5)).sets, WeightLayout((4, 6), outputs=1, inputs=0).sets
    ((5, 7, 8, 3), (1, 5, 8, 3), (1, 1, 6, 4))
    >>> weight = torch.randn(8, 3, 5, 7)
    >>> torch.equal(layout.from_sets(layout.to_sets(weight)), weight)
    True
    """

    shape: tuple[int, ...]
    outputs: int = 0
    inputs: int = 1

    @property
    def sets(self) -> tuple[int, int, int, int]:
        """(T, S, n, m)."""
        window = [self.shape[axis] for axis in self._window]
        rows = window[0] if len(window) > 1 else 1
        return rows, math.prod(window) // rows, self.shape[self.outputs], self.shape[self.inputs]

    @property
    def size(self) -> int:
        """Number of weights."""
        return math.prod(self.shape)

    @property
    def _window(self):
        return [axis for axis in range(len(self.shape)) if axis not in (self.outputs, self.inputs)]

    @property
    def _order(self):
        return [*self._window, self.outputs, self.inputs]

    def to_sets(self, weight: Tensor) -> Tensor:
        """A weight tensor as (T, S, n, m)."""
        return weight.permute(self._order).reshape(self.sets)

    def from_sets(self, weights: Tensor) -> Tensor:
        """(T, S, n, m) as a weight tensor, contiguous."""
        ordered = weights.reshape([self.shape[axis] for axis in self._order])
        return ordered.permute([self._order.index(axis) for axis in range(len(self.shape))]).contiguous()

    def array(self, weight: Tensor) -> np.ndarray:
        """The target of a fit: (T, S, n, m) in float32, or in float64 if the tensor is."""
        weight = weight.detach().cpu()
        weight = weight if weight.dtype in (torch.float32, torch.float64) else weight.float()
        return np.ascontiguousarray(self.to_sets(weight).numpy())
