"""ResNet-20 for CIFAR-10, and its baselines: layers of low rank with as many floats, and rounded weights.

Shortcuts are of option A (He et al., CVPR 2016): every second pixel, new channels 0. Ranks are allocated, matched and
fine-tuned as places are.
"""

from __future__ import annotations

import copy

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from dynsim.learning import Target, Targets, gauss_newton, singular_factors
from dynsim.torch import Curve, DerivedWeights, Matching, allocate, correct_norms, derive, list_layers, load_weights

STEPS = 20  # of Gauss-Newton, where a layer is matched


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


class LowRank(DerivedWeights):
    """The weight of a convolution as W[o, i, r, c] = sum_q left[r, o, q] right[q, c, i]."""

    def __init__(self, layout, weights, rank, moments=None):
        super().__init__()
        self.layout = layout
        x = list(singular_factors(weights, rank))
        if moments is not None:
            scale = 1 / Targets([Target(None, weights, moments=moments)]).square(weights.ravel(), weights.ravel())
            target = Target(None, weights, factors=(0, 1), scale=np.float32(scale), moments=moments)
            x, _ = gauss_newton(Targets([target]), x, steps=STEPS)
        self.left, self.right = (nn.Parameter(torch.from_numpy(np.ascontiguousarray(part))) for part in x)

    def parts(self):
        """The factors, which fine-tuning moves as it moves places."""
        return {"left": self.left, "right": self.right}

    def unknowns(self, named):
        """Of tensors by these names, those of `least_squares`."""
        return list(named.values())

    def least_squares(self):
        """The weights as a problem in both factors."""
        return Targets([Target(None, np.broadcast_to(np.float32(0), self.layout.sets), factors=(0, 1))])

    def forward(self):
        """The weight (out, in, rows, columns)."""
        return self.layout.from_sets(torch.einsum("toq,qsi->tsoi", self.left, self.right))


def low_rank(module, budget, include, data=None):
    """(module, floats of the layers as a share of their weights); matched on batches of images if there are some.

    Without them, batch norms are corrected as for places.
    """
    original, module = module, copy.deepcopy(module)
    entries = [entry for entry in list_layers(module, include=include) if not entry.reason]
    curves = [Curve(entry.weights, step=1, extra=0) for entry in entries]
    for curve in curves:
        curve.gain = 1.0  # the truncated SVD itself
    ranks = allocate(curves, budget)
    matching, floats = None if data is None else Matching(original, module, batches=data), 0
    for entry, curve, rank in zip(entries, curves, ranks, strict=True):
        floats += curve.cost(rank)
        if curve.kept(rank):
            continue
        target, moments = (entry.weights, None) if matching is None else matching.target(entry)
        derive(*entry.owners[0], LowRank(entry.layout, target, rank, moments))
    if matching is not None:
        matching.correct_averages()
    else:
        correct_norms(original, module)
    return module, floats / sum(entry.size for entry in entries)


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
