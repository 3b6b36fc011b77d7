"""Conversion of a trained module: places are fitted to its weights, layer after layer."""

from __future__ import annotations

import copy
import time

import numpy as np
from torch import nn

from dynsim.kernels import Kernel, as_count
from dynsim.learning import fit_weights

from ._replace import particles_of
from ._report import LayerReport, Report
from ._walk import replace, walk


def convert(
    module, *, copies=2, dim=8, kernel=None, rank=0, sets="half", include=None, exclude=None, steps=40, restarts=1,
    seed=0, progress=None,
):  # fmt: skip
    """Turn the full layers, convolutions, embeddings and attention of a trained module into particles.

    Parameters
    ----------
    module : torch.nn.Module
        Not changed.
    copies, dim, rank : int
        H, d and the rank of a part beside the particles, of every layer that becomes smaller by it; one that would
        not keeps its weights.
    kernel : dynsim.Kernel, optional
    sets : {"half", "full"}
        Of convolutions.
    include, exclude : list of str, optional
        Patterns of layer names, as `layer1.*`.
    steps : int
        Gauss-Newton steps of a fit.
    restarts : int
        Random starts of each fit.
    seed : int
    progress : callable, optional
        Called with (layer name, number of layers done, number of layers).

    Returns
    -------
    (torch.nn.Module, Report)

    Raises
    ------
    ValueError, TypeError
        If an argument is out of range, or a pattern fits no layer.

    Examples
    --------
    >>> from torch import nn
    >>> module, report = convert(nn.Sequential(nn.Linear(20, 16), nn.ReLU(), nn.Linear(16, 20)), copies=2, dim=2)
    >>> [layer.floats for layer in report.layers]
    [146, 146]
    """
    if not isinstance(module, nn.Module):
        raise TypeError(f"module: got {type(module).__name__}; expected a torch.nn.Module.")
    began = time.perf_counter()
    kernel, copies, dim = kernel or Kernel(softening=1.0), as_count(copies, "copies"), as_count(dim, "dim")
    module = copy.deepcopy(module)
    entries, layers = walk(module, include, exclude), []
    todo = [entry for entry in entries if not entry.reason]
    for entry in entries:
        own = sum(p.numel() for p in entry.module.parameters(recurse=False))
        if not entry.reason:
            t, s, n, m = entry.shape
            halves = 1 if sets == "half" or t * s == 1 else 2
            floats = halves * (copies * dim * (s * m + t * n) + t * s * copies) + rank * (s * m + t * n)
            if floats >= entry.size:
                entry.reason = f"kept: particles would be {floats:,} floats for {entry.size:,} weights"
        if entry.reason:
            layers.append(LayerReport(entry.name, entry.kind, False, entry.reason, (), own, own, 4 * own))
            continue
        if progress is not None:
            progress(entry.name, len([layer for layer in layers if layer.converted]), len(todo))
        some = "half" if entry.kind != "conv" else sets
        fitted = fit_weights(
            entry.weights,
            kernel,
            copies=copies,
            dim=dim,
            rank=rank,
            sets=some,
            steps=steps,
            restarts=restarts,
            seed=seed,
        )
        new = particles_of(entry.module, fitted, kernel, some)
        for name in entry.names:
            replace(module, name, new)
        floats = own - entry.size + fitted.floats
        layers.append(
            LayerReport(
                entry.name,
                entry.kind,
                True,
                "",
                tuple(entry.module.weight.shape),
                own,
                floats,
                4 * floats,
                copies,
                dim,
                rank,
                f"{kernel.profile}, {kernel.metric}",
                fitted.error,
                svd_error(entry.weights, fitted.floats),
            )  # fmt: skip
        )
    return module, Report(layers, time.perf_counter() - began, {"copies": copies, "dim": dim, "rank": rank})


def svd_error(weights, floats):
    """Share of |W|^2 that a truncated SVD with as many floats leaves, of the (T n, S m) matrix."""
    t, s, n, m = weights.shape
    values = np.linalg.svd(weights.transpose(0, 2, 1, 3).reshape(t * n, s * m), compute_uv=False).astype(np.float64)
    total = float(np.sum(values**2))
    return float(np.sum(values[floats // (t * n + s * m) :] ** 2)) / total if total else 0.0
