"""The baseline: the same layers of low rank, with as many floats, shared out, matched and tuned in the same way."""

from __future__ import annotations

import copy

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from dynsim.learning import Target, Targets, gauss_newton, singular_factors
from dynsim.torch import Curve, Matching, allocate, correct, expectations, replace, walk

STEPS = 20  # of Gauss-Newton, where a layer is matched


class LowRankConv2d(nn.Module):
    """A convolution of weights W[o, i, r, c] = sum_q left[r, o, q] right[q, c, i]."""

    def __init__(self, conv, weights, rank, moments=None):
        super().__init__()
        self.shape = weights.shape  # (rows, columns, out, in)
        x = list(singular_factors(weights, rank))
        if moments is not None:
            scale = 1 / Targets([Target(None, weights, moments=moments)]).square(weights.ravel(), weights.ravel())
            target = Target(None, weights, factors=(0, 1), scale=np.float32(scale), moments=moments)
            x, _ = gauss_newton(Targets([target]), x, steps=STEPS)
        self.left, self.right = (nn.Parameter(torch.from_numpy(np.ascontiguousarray(part))) for part in x)
        self.bias, self.options = conv.bias, (conv.stride, conv.padding, conv.dilation)

    def particles(self):
        """What fine-tuning moves as it moves places."""
        return {"left": self.left, "right": self.right}

    def unknowns(self, named):
        """Of tensors by these names, those of `least_squares`."""
        return list(named.values())

    def least_squares(self):
        """The weights as a problem in both factors."""
        return Targets([Target(None, np.broadcast_to(np.float32(0), self.shape), factors=(0, 1))])

    def materialize(self):
        """The weights (out, in, rows, columns)."""
        return torch.einsum("toq,qsi->oits", self.left, self.right)

    def forward(self, x):
        """The convolution."""
        return functional.conv2d(x, self.materialize(), self.bias, *self.options)


def low_rank(module, budget, include, data=None):
    """(module, floats of the layers as a share of their weights); matched on batches of images if there are some.

    Without them, batch norms are corrected as for places.
    """
    original, module = module, copy.deepcopy(module)
    entries = [entry for entry in walk(module, include) if not entry.reason]
    curves = [Curve(entry.weights, 1, 0) for entry in entries]
    for curve in curves:
        curve.gain = 1.0  # the truncated SVD itself
    ranks = allocate(curves, budget)
    matching = None if data is None else Matching(copy.deepcopy(original).eval(), module.eval(), data)
    known, floats = expectations(module) if data is None else {}, 0
    for entry, curve, rank in zip(entries, curves, ranks, strict=True):
        floats += curve.floats(rank)
        if curve.kept(rank):
            continue
        goal, moments = (entry.weights, None) if matching is None else matching.goal(entry)
        new = LowRankConv2d(entry.module, goal, rank, moments)
        if entry.name in known:
            norm, mean, variance = known[entry.name]
            pair = (np.asarray(w.detach()) for w in (entry.module.weight, new.materialize()))
            correct(norm, *pair, mean, variance)
        replace(module, entry.name, new)
    if matching is not None:
        matching.settle()
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
