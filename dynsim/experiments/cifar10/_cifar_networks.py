"""ResNet-20 for CIFAR-10, and a baseline: rounded weights.

Shortcuts are of option A (He et al., CVPR 2016): every second pixel, new channels 0.
"""

from __future__ import annotations

import copy

import torch
from torch import nn
from torch.nn import functional

from dynsim.torch import list_layers, load_weights


class Block(nn.Module):
    """Two 3 x 3 convolutions with norms, and the shortcut."""

    def __init__(self, n_in, n_out, stride):
        super().__init__()
        self.conv1 = nn.Conv2d(n_in, n_out, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(n_out)
        self.conv2 = nn.Conv2d(n_out, n_out, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(n_out)
        self.stride, self.added = stride, n_out - n_in

    def forward(self, x):
        """Map (batch, n_in, h, w) to (batch, n_out, h / stride, w / stride)."""
        y = functional.relu(self.bn1(self.conv1(x)))
        y = self.bn2(self.conv2(y))
        if self.stride > 1:
            x = x[:, :, :: self.stride, :: self.stride]
        if self.added:
            x = functional.pad(x, (0, 0, 0, 0, self.added // 2, self.added - self.added // 2))
        return functional.relu(y + x)


class ResNet(nn.Module):
    """ResNet of 6 n + 2 layers for images of 32 x 32; n blocks in each of three stages.

    Examples
    --------
    >>> sum(parameter.numel() for parameter in ResNet(3).parameters())
    269722
    """

    def __init__(self, blocks=3, widths=(16, 32, 64), classes=10):
        super().__init__()
        self.conv1 = nn.Conv2d(3, widths[0], 3, 1, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(widths[0])
        before = widths[0]
        for number, width in enumerate(widths, 1):
            stage = [
                Block(before if k == 0 else width, width, 2 if k == 0 and number > 1 else 1) for k in range(blocks)
            ]
            setattr(self, f"layer{number}", nn.Sequential(*stage))
            before = width
        self.linear = nn.Linear(before, classes)

    def forward(self, x):
        """Map images (batch, 3, 32, 32) to scores (batch, classes)."""
        x = functional.relu(self.bn1(self.conv1(x)))
        x = self.layer3(self.layer2(self.layer1(x)))
        return self.linear(x.mean((2, 3)))


def load_resnet20(path):
    """ResNet-20 with the weights of a file; raises as `dynsim.torch.load_weights`."""
    return load_weights(ResNet(3), path).eval()


def rounded(module, include, bits):
    """Weights rounded to `bits` each, symmetrically about 0 with a scale for every output channel."""
    module = copy.deepcopy(module)
    levels = 2 ** (bits - 1) - 1
    with torch.no_grad():
        for entry in list_layers(module, include=include):
            if not entry.reason:
                weight = entry.parameter
                scale = weight.abs().amax((1, 2, 3), keepdim=True) / levels
                weight.copy_((weight / scale).round() * scale)
    return module
