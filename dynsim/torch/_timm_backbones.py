"""Backbones of timm, and ordinary convolutions in place of those that standardise weights or pad by image size."""

from __future__ import annotations

import copy
from importlib import import_module

import torch
from torch import nn
from torch.nn import functional

from dynsim._files import reason


def load_timm():
    """Import and return timm.

    Raises
    ------
    ImportError
        If it, or torchvision, which it needs, is not installed or was built for another PyTorch.
    """
    return _import("timm")


def load_torchvision():
    """Import and return torchvision; raises as `load_timm`."""
    return _import("torchvision")


def _import(name):
    try:
        return import_module(name)
    except ModuleNotFoundError:
        raise ImportError(f"Backbones and image folders need {name}: pip install 'dynsim[imagenet]'.") from None
    except RuntimeError as error:  # operators of a torchvision for CUDA beside a PyTorch for the processor
        remedy = "install torch and torchvision for the same device, as https://pytorch.org/get-started shows"
        raise ImportError(f"{name} does not load ({reason(error)}); {remedy}.") from None


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


def plain_convolutions(module: nn.Module) -> nn.Module:
    """Return a copy in which timm's StdConv2d, StdConv2dSame and Conv2dSame are ordinary convolutions.

    The weights become those that the layer computes with, standardised once. The module's answers do not change; its
    training would, since standardisation is then no longer part of it.
    """
    module = copy.deepcopy(module)
    for name, part in list(module.named_modules()):
        kind = type(part).__name__
        if isinstance(part, nn.Conv2d) and kind in ("StdConv2d", "StdConv2dSame", "Conv2dSame"):
            replace_layer(module, name, layer=_ordinary(part, kind))
    return module


def replace_layer(module: nn.Module, name: str, *, layer: nn.Module) -> None:
    """Put a layer in the place of the one of that name."""
    parent, _, child = name.rpartition(".")
    setattr(module.get_submodule(parent), child, layer)


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
    new.weight = nn.Parameter(weight.detach().clone(), part.weight.requires_grad)
    if part.bias is not None:
        new.bias = nn.Parameter(part.bias.detach().clone(), part.bias.requires_grad)
    new.train(part.training)
    if not same:
        return new
    return nn.Sequential(SamePad(part.kernel_size, part.stride, part.dilation), new)
