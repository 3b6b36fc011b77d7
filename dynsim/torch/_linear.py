"""nn.Linear without weights."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional

from dynsim.layers import INFERENCE

from ._base import Particles
from ._sorted import sorted_linear


class DynLinear(Particles):
    """A full layer whose weights are the relation of its input and output neurons (and of low rank beside).

    W[o, i] = sum_h lambda_h phi(q_in[h, i], q_out[h, o]) + sum_r left[o, r] right[r, i]

    A layer shares its neurons with the one before it when both hold the same parameter:
    ``second.places_in = first.places_out`` (both have one set and as many copies and axes).

    Parameters
    ----------
    in_features, out_features : int
    copies, dim : int
        H and d.
    kernel : dynsim.Kernel, optional
    bias : bool
    rank : int
        Of a low-rank part beside the particles; 0 is without.
    inference : {"dense", "weight-free", "auto", "tiled"}
        How to answer when no gradient is asked for; all but "dense" are the core layer's, on the processor.
        "weight-free" needs the linear kernel of l1 distances, and there gradients are sorted sums, too.
    device, dtype : optional

    Raises
    ------
    ValueError, TypeError
        If an argument is out of range.

    Examples
    --------
    >>> import torch
    >>> layer = DynLinear(6, 4, copies=2, dim=3)
    >>> layer(torch.zeros(5, 6)).shape, layer.materialize().shape
    (torch.Size([5, 4]), torch.Size([4, 6]))
    """

    def __init__(
        self, in_features, out_features, copies=2, dim=8, kernel=None, bias=True, rank=0, inference="dense",
        device=None, dtype=None,
    ):  # fmt: skip
        super().__init__((1, 1, out_features, in_features), copies, dim, kernel, rank, "half", device, dtype)
        if inference not in INFERENCE:
            raise ValueError(f"inference: got {inference!r}; expected one of {', '.join(INFERENCE)}.")
        self.in_features, self.out_features, self.inference = in_features, out_features, inference
        value = torch.zeros(out_features, dtype=self.strengths.dtype, device=device) if bias else None
        self.register_parameter("bias", None if value is None else nn.Parameter(value))

    @property
    def weight(self):
        """The weights, made anew; for code that reads `layer.weight`."""
        return self.materialize()

    def materialize(self):
        """Return the weights (out_features, in_features), differentiable."""
        return self.relations()[0, 0]

    def forward(self, x):
        """Map (..., in_features) to (..., out_features)."""
        if self.inference == "dense":
            return functional.linear(x, self.materialize(), self.bias)
        return sorted_linear(self, x)

    def extra_repr(self):
        """What `print(module)` says."""
        return f"{self.in_features}, {self.out_features}, {self._particles_repr()}, bias={self.bias is not None}"
