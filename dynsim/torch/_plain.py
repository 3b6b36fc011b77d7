"""timm's convolutions that compute with standardised weights or pad by the input's size, as ordinary ones."""

from __future__ import annotations

import copy

import torch
from torch import nn
from torch.nn import functional

from ._walk import replace


class SamePad(nn.Module):
    """Zeros around images so that a convolution of stride s gives ceil(size / s), as TensorFlow's "SAME".

    Examples
    --------
    >>> import torch
    >>> SamePad((3, 3), (2, 2), (1, 1))(torch.zeros(1, 1, 4, 5)).shape
    torch.Size([1, 1, 5, 7])
    """

    def __init__(self, window, stride, dilation):
        super().__init__()
        self.window, self.stride, self.dilation = tuple(window), tuple(stride), tuple(dilation)

    def forward(self, x):
        """Pad (batch, channels, height, width), the odd row or column at the end."""
        sides = []
        for size, k, s, d in zip(x.shape[-2:], self.window, self.stride, self.dilation, strict=True):
            total = max((-(-size // s) - 1) * s + (k - 1) * d + 1 - size, 0)
            sides = [total // 2, total - total // 2, *sides]
        return functional.pad(x, sides)


def plain(module):
    """Return a copy in which timm's StdConv2d, StdConv2dSame and Conv2dSame are ordinary convolutions.

    The weights become those that the layer computes with: standardised ones are standardised once and for all. What the
    module answers does not change; its training would, since standardisation is then no longer part of it.
    """
    module = copy.deepcopy(module)
    for name, part in list(module.named_modules()):
        kind = type(part).__name__
        if isinstance(part, nn.Conv2d) and kind in ("StdConv2d", "StdConv2dSame", "Conv2dSame"):
            replace(module, name, _ordinary(part, kind))
    return module


@torch.no_grad()
def _ordinary(part, kind):
    weight = part.weight
    if kind.startswith("Std"):
        variance, mean = torch.var_mean(weight.reshape(len(weight), -1), dim=1, correction=0)
        shape = (-1, 1, 1, 1)
        weight = (weight - mean.reshape(shape)) * torch.rsqrt(variance + part.eps).reshape(shape)
    same = kind == "Conv2dSame" or getattr(part, "same_pad", False)
    shape = (part.in_channels, part.out_channels, part.kernel_size, part.stride, 0 if same else part.padding)
    new = nn.Conv2d(*shape, part.dilation, part.groups, part.bias is not None, device="meta")
    new.weight = nn.Parameter(weight.detach().clone())
    if part.bias is not None:
        new.bias = nn.Parameter(part.bias.detach().clone())
    if not same:
        return new
    return nn.Sequential(SamePad(part.kernel_size, part.stride, part.dilation), new)
