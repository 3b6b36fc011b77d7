"""Networks whose layers are of low rank, with as many floats as particles have: the baseline of conversions.

Ranks are allocated, matched and fine-tuned as places are.
"""

from __future__ import annotations

import copy
from functools import partial

import numpy as np
import torch
from torch import nn

from dynsim.learning import Target, Targets, gauss_newton, singular_factors
from dynsim.torch import (
    Curve,
    DerivedWeights,
    Matching,
    allocate,
    are_images,
    bounded,
    correct_norms,
    derive,
    list_layers,
    measure_effects,
    output_effects,
    random_inputs,
)

STEPS = 20  # of Gauss-Newton, where a layer is matched


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


def low_rank(module, budget, include=None, data=None, synthetic=True):
    """(module, floats of the layers as a share of their weights); matched on batches of images, else on random ones.

    Norms and biases are corrected as for places; those of networks that are matched on nothing only norms.
    """
    original, module = module, copy.deepcopy(module)
    entries = [entry for entry in list_layers(module, include=include) if not entry.reason]
    curves = {entry.name: Curve(entry.weights, step=1, extra=0) for entry in entries}
    for curve in curves.values():
        curve.gain = 1.0  # the truncated SVD itself
    batches = random_inputs(original) if data is None else data
    if batches:
        first = dict(zip(curves, allocate(list(curves.values()), budget), strict=True))
        measure_effects(entries, curves, first, partial(output_effects, original, batch=batches[0]))
    curves = list(curves.values())
    ranks = allocate(curves, budget)
    floats, matching = 0, None
    if batches and (data is not None or (synthetic and are_images(batches[0]))):
        some = bounded(original, batches, len(entries)) if data is None else batches
        matching = Matching(original, module, batches=some, own=data is None)
    for entry, curve, rank in zip(entries, curves, ranks, strict=True):
        floats += curve.cost(rank)
        if curve.kept(rank):
            continue
        before = entry.weights
        target, moments = (before, None) if matching is None else matching.target(entry) or (before, None)
        derive(*entry.owners[0], LowRank(entry.layout, target, rank, moments))
        if matching is not None:
            matching.correct_bias(entry, before)
    if matching is not None:
        matching.correct_averages()
    else:
        correct_norms(original, module)
    return module, floats / sum(entry.size for entry in entries)
