"""The baseline: truncated SVDs of the same layers with as many floats, shared out over the layers in the same way."""

from __future__ import annotations

import copy

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from dynsim.interop.torch import Curve, allocate, correct, expectations, replace, walk


class LowRankConv2d(nn.Module):
    """A convolution of weights W[o, i, r, c] = sum_q left[r, o, q] right[q, c, i]."""

    def __init__(self, conv, rank):
        super().__init__()
        weight = conv.weight.detach().permute(2, 0, 3, 1)  # rows, out, columns, in
        t, n, s, m = weight.shape
        u, values, v = torch.linalg.svd(weight.reshape(t * n, s * m).double(), full_matrices=False)
        root = values[:rank].sqrt()
        self.left = nn.Parameter((u[:, :rank] * root).reshape(t, n, rank).to(weight.dtype))
        self.right = nn.Parameter((root[:, None] * v[:rank]).reshape(rank, s, m).to(weight.dtype))
        self.bias, self.options = conv.bias, (conv.stride, conv.padding, conv.dilation)

    def materialize(self):
        """The weights (out, in, rows, columns)."""
        return torch.einsum("toq,qsi->oits", self.left, self.right)

    def forward(self, x):
        """The convolution."""
        return functional.conv2d(x, self.materialize(), self.bias, *self.options)


def low_rank(module, budget, include):
    """(module, floats of the layers as a share of their weights); batch norms are corrected as for places."""
    module = copy.deepcopy(module)
    entries = [entry for entry in walk(module, include) if not entry.reason]
    curves = [Curve(entry.weights, 1, 0) for entry in entries]
    for curve in curves:
        curve.gain = 1.0  # the truncated SVD itself
    ranks = allocate(curves, budget)
    known, floats = expectations(module), 0
    for entry, curve, rank in zip(entries, curves, ranks, strict=True):
        floats += curve.floats(rank)
        if curve.kept(rank):
            continue
        new = LowRankConv2d(entry.module, rank)
        if entry.name in known:
            norm, mean, variance = known[entry.name]
            pair = (np.asarray(w.detach()) for w in (entry.module.weight, new.materialize()))
            correct(norm, *pair, mean, variance)
        replace(module, entry.name, new)
    return module, floats / sum(entry.size for entry in entries)


def rounded(module, include, bits):
    """Weights rounded to `bits` each, symmetrically about 0 with a scale for every output channel."""
    module = copy.deepcopy(module)
    levels = 2 ** (bits - 1) - 1
    with torch.no_grad():
        for entry in walk(module, include):
            if not entry.reason:
                weight = entry.module.weight
                scale = weight.abs().amax((1, 2, 3), keepdim=True) / levels
                weight.copy_((weight / scale).round() * scale)
    return module
