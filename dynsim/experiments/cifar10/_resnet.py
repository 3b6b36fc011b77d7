"""ResNet-20 for CIFAR-10 with shortcuts of option A (He et al., CVPR 2016): every second pixel, new channels 0."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional

from dynsim.errors import DataError


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
    """The network of a file of weights: a state_dict, by itself or under "state_dict", read with weights_only=True.

    Raises
    ------
    DataError
        If the file is no such file.
    """
    module = ResNet(3)
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
        state = state.get("state_dict", state)
        module.load_state_dict({name.removeprefix("module."): value for name, value in state.items()})
    except Exception as error:  # unpickling and load_state_dict each have errors of their own
        raise DataError(f"{path}: no weights of ResNet-20 ({(str(error).splitlines() or ['damaged'])[0]}).") from None
    return module.eval()
