"""Fit places and lambdas to given weights: the paper's equation 6, for one tensor at a time."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from dynsim._check import as_array, as_callable, as_choice, as_count, as_instance
from dynsim.kernels import PROFILES, Kernel
from dynsim.layers import SETS

from ._fit_start import fit_start
from ._gauss_newton import gauss_newton
from ._targets import Target, Targets


@dataclass
class FittedWeights:
    """Places, lambdas and factors that stand for weights (T, S, n, m), and how well.

    `sources` (S, H, m, d), `targets` (T, H, n, d), `strengths` (T, S, H), with full sets each with an axis of two in
    front; `left` (T, n, r) and `right` (r, S, m), or None; `error` is |W_places - W|^2 / |W|^2.
    """

    sources: np.ndarray
    targets: np.ndarray
    strengths: np.ndarray
    left: np.ndarray | None
    right: np.ndarray | None
    error: float

    @property
    def floats(self):
        """How many numbers are stored."""
        arrays = (self.sources, self.targets, self.strengths, self.left, self.right)
        return sum(array.size for array in arrays if array is not None)


def fit_weights(
    weights,
    kernel=None,
    *,
    copies=2,
    dim=8,
    rank=0,
    sets="half",
    scale=None,
    moments=None,
    steps=60,
    inner=30,
    restarts=1,
    seed=0,
    start=None,
    progress=None,
):
    """Fit the places of two subsystems to the weights between them.

    Parameters
    ----------
    weights : array_like, (T, S, n, m)
        A full layer's (n, m) as (1, 1, n, m); a convolution's (n, m, rows, columns) as (rows, columns, n, m).
    kernel : Kernel, optional
    copies, dim : int
        H and d.
    rank : int
        Of a part U V beside the particles; 0 is without.
    sets : {"half", "full"}
        See `dynsim.layers.Conv`.
    scale : array_like, optional
        Weights of the squared errors, broadcast to the weights' shape: 1 / variance of an output, variance of an input.
    moments : array_like (T S m, T S m), optional
        Second moments of the inputs, in the order (t, s, i): errors count by what they do to the outputs.
    steps, inner : int
        Gauss-Newton steps and conjugate gradients in each.
    restarts : int
        Starts, each with the singular vectors mixed anew; the best result is returned.
    seed : int
    start : FittedWeights, optional
        Begin there, without restarts.
    progress : callable, optional
        Called with (step, steps, error) after every step.

    Returns
    -------
    FittedWeights

    Raises
    ------
    ValueError, TypeError
        If shapes do not fit or an argument is out of range.

    Examples
    --------
    >>> import numpy as np
    >>> weights = np.random.default_rng(0).normal(size=(1, 1, 12, 10))
    >>> fitted = fit_weights(weights, copies=2, dim=2, steps=30)
    >>> fitted.floats, fitted.error < 0.35
    (90, True)
    """
    weights = as_array(weights, "weights", ("T", "S", "n", "m"))
    kernel = Kernel() if kernel is None else as_instance(kernel, Kernel, "kernel")
    copies, dim = as_count(copies, "copies"), as_count(dim, "dim")
    rank, steps, inner = as_count(rank, "rank", 0), as_count(steps, "steps", 0), as_count(inner, "inner")
    as_choice(sets, SETS, "sets")
    as_callable(progress, "progress")
    restarts, seed = as_count(restarts, "restarts"), as_count(seed, "seed", minimum=0)
    if start is not None:
        as_instance(start, FittedWeights, "start")
    scale = as_array(1.0 if scale is None else scale, "scale", dtype=weights.dtype)
    fits = scale.size and all(n in (1, m) for n, m in zip(scale.shape[::-1], weights.shape[::-1], strict=False))
    if not fits or scale.min() < 0:
        raise ValueError(
            f"scale: got {scale if not scale.ndim else scale.shape}; expected numbers from 0, one a weight or axis."
        )
    if moments is not None:
        size = weights.shape[0] * weights.shape[1] * weights.shape[3]
        moments = as_array(moments, "moments", (size, size), dtype=weights.dtype)
    whole = Targets([Target(kernel, np.zeros_like(weights), scale=scale, moments=moments)])
    scale = scale / np.asarray(whole.square(weights.ravel(), weights.ravel()) or 1.0, weights.dtype)
    halves = 1 if sets == "half" else 2
    relations = [(3 * k, 3 * k + 1, 3 * k + 2, bool(k)) for k in range(halves)]
    factors = (3 * halves, 3 * halves + 1) if rank else None
    # c is only the unit of lambda; damping has a meaning where lambda has the size of weights.
    unit = kernel.scale if kernel.profile in PROFILES and kernel.scale else 1.0
    own = replace(kernel, scale=kernel.scale / unit)
    problem = Targets([Target(own, weights, relations, factors, scale, moments)])
    best = None
    for attempt in range(1 if start is not None else restarts):
        generator = np.random.default_rng([seed, attempt])
        if start is None:
            x = fit_start(own, weights, copies, dim, rank, halves, generator, rotate=attempt > 0)
        else:
            x = _unknowns(start, sets, unit)
        x, error = gauss_newton(problem, x, steps, inner, progress=progress)
        if best is None or error < best[1]:
            best = x, error
    x = best[0]
    error = problem.errors(x)[0]
    for k in range(halves):
        x[3 * k + 2] = x[3 * k + 2] / weights.dtype.type(unit)
    parts = [np.stack([x[3 * k + j] for k in range(halves)]) if halves == 2 else x[j] for j in range(3)]
    return FittedWeights(*parts, *(x[-2:] if rank else (None, None)), error)


def _unknowns(fitted, sets, unit):
    parts = [fitted.sources, fitted.targets, fitted.strengths * fitted.strengths.dtype.type(unit)]
    x = list(parts) if sets == "half" else [part[k] for k in range(2) for part in parts]
    return x if fitted.left is None else [*x, fitted.left, fitted.right]
