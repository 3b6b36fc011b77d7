"""nn.Conv2d without weights."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional
from torch.nn.modules.utils import _pair

from ._base import Particles

PADDING_MODES = ("zeros", "reflect", "replicate", "circular")


class DynConv2d(Particles):
    """A convolution whose weights are relations between sets of places.

    With half sets, one set of output places for each kernel row and one of input places for each column::

        W[o, i, r, c] = sum_h lambda[r, c, h] phi(q_out[r, h, o], q_in[c, h, i]) + sum_q left[r, o, q] right[q, c, i]

    With full sets a second relation goes from the rows' inputs to the columns' outputs (see `dynsim.layers.Conv`).
    With groups, i is the place of an input within its group: all groups share the input neurons; in a depthwise
    convolution there is one for each column.

    Parameters
    ----------
    in_channels, out_channels, kernel_size, stride, padding, dilation, groups, bias, padding_mode
        As of `torch.nn.Conv2d`.
    copies, dim, kernel, rank
        As of `DynLinear`.
    sets : {"half", "full"}

    Raises
    ------
    ValueError, TypeError
        If an argument is out of range.

    Examples
    --------
    >>> import torch
    >>> layer = DynConv2d(3, 8, 3, padding=1, copies=2, dim=4)
    >>> layer(torch.zeros(1, 3, 9, 9)).shape, layer.materialize().shape
    (torch.Size([1, 8, 9, 9]), torch.Size([8, 3, 3, 3]))
    """

    def __init__(
        self, in_channels, out_channels, kernel_size, stride=1, padding=0, dilation=1, groups=1, bias=True,
        padding_mode="zeros", copies=2, dim=8, kernel=None, rank=0, sets="half", device=None, dtype=None,
    ):  # fmt: skip
        if in_channels % groups or out_channels % groups:
            raise ValueError(f"groups: got {groups}; expected a divisor of {in_channels} and {out_channels} channels.")
        if padding_mode not in PADDING_MODES:
            raise ValueError(f"padding_mode: got {padding_mode!r}; expected one of {', '.join(PADDING_MODES)}.")
        self_size = _pair(kernel_size)
        shape = (*self_size, out_channels, in_channels // groups)
        super().__init__(shape, copies, dim, kernel, rank, sets, device, dtype)
        self.in_channels, self.out_channels, self.kernel_size = in_channels, out_channels, self_size
        self.stride, self.dilation, self.groups = _pair(stride), _pair(dilation), groups
        self.padding = padding if isinstance(padding, str) else _pair(padding)
        self.padding_mode = padding_mode
        value = torch.zeros(out_channels, dtype=self.strengths.dtype, device=device) if bias else None
        self.register_parameter("bias", None if value is None else nn.Parameter(value))

    @property
    def weight(self):
        """The weights, made anew; for code that reads `layer.weight`."""
        return self.materialize()

    def materialize(self):
        """Return the weights (out_channels, in_channels / groups, rows, columns), differentiable."""
        return self.relations().permute(2, 3, 0, 1)

    def forward(self, x):
        """Map (batch, in_channels, height, width) to (batch, out_channels, ...)."""
        padding, weight = self.padding, self.materialize()
        if self.padding_mode != "zeros":
            x, padding = functional.pad(x, self._sides(), self.padding_mode), 0
        return functional.conv2d(x, weight, self.bias, self.stride, padding, self.dilation, self.groups)

    def _sides(self):
        """Left, right, top and bottom, as torch.nn.functional.pad wants them."""
        if self.padding == "valid":
            return [0, 0, 0, 0]
        sides = []
        for axis in (1, 0):
            total = self.dilation[axis] * (self.kernel_size[axis] - 1)
            low, high = (total // 2, total - total // 2) if self.padding == "same" else (self.padding[axis],) * 2
            sides += [low, high]
        return sides

    def extra_repr(self):
        """What `print(module)` says."""
        shape = f"{self.in_channels}, {self.out_channels}, kernel_size={self.kernel_size}, stride={self.stride}"
        groups = f", groups={self.groups}" if self.groups > 1 else ""
        return f"{shape}, padding={self.padding}{groups}, {self._particles_repr()}, sets={self.sets}"
