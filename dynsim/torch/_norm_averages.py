"""Batch norms behind converted layers, corrected without any data.

A fit by least squares leaves weights that are slightly too small and outputs that are slightly shifted, and a norm with
the old averages passes both on. What reaches a layer is known from the norms before it: behind a norm every channel has
mean beta and variance gamma^2, and what an activation makes of a normal variable is an integral. So the new average and
variance are predicted (Nagel et al., ICCV 2019, correct biases likewise).
"""

from __future__ import annotations

import operator

import numpy as np
import torch
from torch import fx, nn
from torch.nn import functional

POINTS, SHARES = np.polynomial.hermite_e.hermegauss(64)
NORMS = (nn.BatchNorm1d, nn.BatchNorm2d)
UNCHANGED = (nn.Identity, nn.Dropout, nn.Dropout2d, nn.AvgPool2d, nn.AdaptiveAvgPool2d, nn.MaxPool2d)
ACTIVATIONS = (nn.ReLU, nn.ReLU6, nn.GELU, nn.SiLU, nn.ELU, nn.LeakyReLU, nn.Hardswish, nn.Tanh, nn.Sigmoid)
FUNCTIONS = (functional.relu, torch.relu, functional.gelu, functional.silu, torch.tanh, torch.sigmoid)


def expectations(module: nn.Module) -> dict[str, tuple]:
    """Return {layer name: (norm, mean, variance)} for layers that a batch norm follows, with their inputs' moments.

    Means and variances are (channels,) in float64. A module that torch.fx cannot trace gives {}.
    """
    try:
        graph = fx.symbolic_trace(module).graph
    except Exception:  # tracing runs the module's code, which may raise anything on symbols
        return {}
    known, found = {}, {}
    for node in graph.nodes:
        part = module.get_submodule(node.target) if node.op == "call_module" else None
        before = known.get(node.args[0]) if node.args and isinstance(node.args[0], fx.Node) else None
        known[node] = _through(node, part, before, known)
        if isinstance(part, NORMS) and part.track_running_stats:
            layer = node.args[0]
            if layer.op == "call_module" and len(layer.users) == 1 and known.get(layer.args[0]) is not None:
                if isinstance(module.get_submodule(layer.target), (nn.Conv2d, nn.Linear)):
                    found[layer.target] = (part, *known[layer.args[0]])
    return found


@torch.no_grad()
def correct_averages(norm: nn.Module, *, old, new, mean, variance) -> None:
    """Set a norm's averages to those predicted for weights `new` in place of `old`, (n, m, ...) arrays.

    `mean` and `variance` (channels,) are those of the layer's inputs, from `expectations`.
    """
    n, m = old.shape[:2]
    reach = len(mean) // m  # groups: each output sees its own part of the inputs
    parts = np.repeat(np.arange(reach), n // reach)
    means, variances = (np.asarray(x).reshape(reach, m)[parts] for x in (mean, variance))
    old, new = (np.asarray(w, np.float64).reshape(n, m, -1) for w in (old, new))
    shift = np.sum((new - old).sum(2) * means, axis=1)
    before = np.sum(np.square(old).sum(2) * variances, axis=1)
    after = np.sum(np.square(new).sum(2) * variances, axis=1)
    ratio = np.where(before > 0, after / np.where(before > 0, before, 1), 1)
    norm.running_mean += torch.as_tensor(shift, dtype=norm.running_mean.dtype, device=norm.running_mean.device)
    norm.running_var *= torch.as_tensor(ratio, dtype=norm.running_var.dtype, device=norm.running_var.device)


def _through(node, part, before, known):
    """Mean and variance of each channel behind a node, or None where they are not known."""
    if isinstance(part, NORMS):
        shape = part.running_mean.shape if part.running_mean is not None else (part.num_features,)
        gamma, beta = (
            (np.ones(shape), np.zeros(shape)) if part.weight is None else map(_array, (part.weight, part.bias))
        )
        return beta, np.square(gamma)
    if node.op == "call_function" and node.target in (operator.add, operator.iadd, torch.add):
        parts = [known.get(a) if isinstance(a, fx.Node) else None for a in node.args]
        if None in parts:
            return None
        return sum(p[0] for p in parts), sum(p[1] for p in parts)  # as if independent
    if before is None:
        return None
    if isinstance(part, UNCHANGED):
        return before
    if isinstance(part, ACTIVATIONS):
        return _activated(part, *before)
    if node.op == "call_function" and node.target in FUNCTIONS:
        return _activated(node.target, *before)
    if node.op == "call_function" and node.target is operator.getitem:
        whole = isinstance(node.args[1], tuple) and all(k == slice(None) for k in node.args[1][:2])
        return before if whole else None
    if node.op == "call_function" and node.target is functional.pad:
        return _padded(before, node.args[1])
    return None


def _activated(function, mean, variance):
    x = mean[:, None] + np.sqrt(variance)[:, None] * POINTS
    y = function(torch.from_numpy(x)).detach().numpy()
    share = SHARES / SHARES.sum()
    average = y @ share
    return average, np.maximum(np.square(y) @ share - average**2, 0)


def _padded(before, sides):
    if len(sides) <= 4:
        return before  # space
    if len(sides) == 6 and not any(sides[:4]):
        return tuple(np.pad(x, tuple(sides[4:])) for x in before)  # channels of zeros: a shortcut without weights
    return None


def _array(tensor):
    return tensor.detach().cpu().numpy().astype(np.float64)
