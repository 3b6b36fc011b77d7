"""Fit places and lambdas to given weights: the paper's equation 6, for one tensor at a time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
from scipy.linalg import eigh

from dynsim._check import as_array, as_callable, as_choice, as_count, as_instance, refusal
from dynsim.kernels import PROFILES, Kernel, relation
from dynsim.layers import SETS, random_places, start_strengths

from ._gauss_newton import gauss_newton
from ._targets import Target, Targets, low_rank

UNUSED = 1e-2  # size of axes beyond the weights' rank, as a share of the others


@dataclass
class FittedWeights:
    """Places, lambdas and factors fitted to weights (T, S, n, m), and the error of the fit.

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
    def floats(self) -> int:
        """How many numbers are stored."""
        arrays = (self.sources, self.targets, self.strengths, self.left, self.right)
        return sum(array.size for array in arrays if array is not None)


def fit_weights(
    weights: npt.ArrayLike,
    kernel: Kernel | None = None,
    *,
    copies: int = 2,
    dim: int = 8,
    rank: int = 0,
    sets: str = "half",
    scale: npt.ArrayLike | None = None,
    moments: npt.ArrayLike | None = None,
    steps: int = 60,
    inner: int = 10,
    restarts: int = 1,
    seed: int = 0,
    start: FittedWeights | None = None,
    progress: Callable | None = None,
) -> FittedWeights:
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
        Second moments of the inputs, in the order (t, s, i): errors count by their effect on the outputs.
    steps, inner : int
        Gauss-Newton steps and conjugate gradients in each.
    restarts : int
        Starts, each with the singular vectors mixed anew; the best result is returned.
    seed : int
    start : FittedWeights, optional
        Begin there, without restarts.
    progress : callable, optional
        Called after every step as `progress(done, total, error=e)`, over all starts; the fit ends if it returns true.

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
        raise refusal("scale", scale if not scale.ndim else scale.shape, "numbers from 0, one a weight or axis")
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
    target = Target(own, weights, relations=relations, factors=factors, scale=scale, moments=moments)
    problem = Targets([target])
    best, stopped, starts = None, False, 1 if start is not None else restarts
    for attempt in range(starts):

        def tell(done, total, before=attempt * steps, **facts):
            nonlocal stopped
            stopped = progress is not None and bool(progress(before + done, starts * total, **facts))
            return stopped

        generator = np.random.default_rng([seed, attempt])
        if start is None:
            form = {"copies": copies, "dim": dim, "rank": rank, "halves": halves}
            x = fit_start(own, weights, **form, generator=generator, rotate=attempt > 0)
        else:
            x = _unknowns(start, sets, unit)
        x, error = gauss_newton(problem, x, steps=steps, inner=inner, progress=tell)
        if best is None or error < best[1]:
            best = x, error
        if stopped:
            break
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


def fit_start(
    kernel: Kernel,
    weights: npt.NDArray,
    *,
    copies: int,
    dim: int,
    rank: int = 0,
    halves: int = 1,
    generator: np.random.Generator,
    rotate: bool = False,
) -> list[npt.NDArray]:
    """Unknowns for weights (T, S, n, m): sources, targets, strengths of each half, and the factors if there is a rank.

    The start is a relation that is, to first order, the truncated SVD of the weights. For places p of the targets and q
    of the sources r^2 = |p|^2 + |q|^2 - 2 p q, so a function of r is nearly a constant plus a multiple of the product
    p q. With lambdas of both signs that add up to zero over the copies the constants cancel, and H copies in d
    dimensions hold H d singular values. For distances l1 that is true in the mean: the covariance of |p - q| and p q
    over neurons is not zero. From places at random the first step takes lambda to zero, where no place feels a force:
    small layers leave it after ten steps, large ones stay.

    The factors get the largest singular values, the places the next. The constant of a single copy does not cancel; its
    places are drawn at random. With `rotate` the singular vectors are mixed at random, for another try.
    """
    x, rest, factors = [], weights, []
    if rank:
        left, right = singular_factors(weights, rank)
        factors = [left, right]
        rest = weights - low_rank(left, right)
    for half in range(halves):
        wanted = rest if half == 0 else np.ascontiguousarray(rest.swapaxes(0, 1))
        if copies > 1 and wanted.any():
            found = _from_factors(kernel, wanted, copies, dim, generator, rotate)
        else:
            found = _at_random(kernel, wanted, copies, dim, generator, halves)
        if half + 1 < halves:
            rest = rest - relation(kernel, *found)
        x += found
    return x + factors


def singular_factors(weights: npt.NDArray, rank: int) -> tuple[npt.NDArray, npt.NDArray]:
    """Left (T, n, r) and right (r, S, m) of the truncated SVD of weights (T, S, n, m) as a (T n, S m) matrix.

    r is `rank`, or the matrix's smaller side.

    Examples
    --------
    >>> left, right = singular_factors(np.ones((1, 1, 4, 3)), 1)
    >>> left.shape, right.shape, bool(np.allclose(left[0] @ right[:, 0], 1.0))
    ((1, 4, 1), (1, 1, 3), True)
    """
    t, s, n, m = weights.shape
    flat = weights.transpose(0, 2, 1, 3).reshape(t * n, s * m).astype(np.float64)
    wide = flat.shape[0] <= flat.shape[1]
    gram = flat @ flat.T if wide else flat.T @ flat
    size = len(gram)
    rank = min(rank, size)
    squares, vectors = eigh(gram, subset_by_index=(size - rank, size - 1))
    values, vectors = np.sqrt(np.clip(squares[::-1], 0, None)), vectors[:, ::-1]
    root = np.sqrt(np.maximum(values, 1e-12 * max(values[0], np.finfo(np.float64).tiny)))
    own, other = vectors * root, (flat.T @ vectors if wide else flat @ vectors) / root
    left, right = (own, other.T) if wide else (other, own.T)
    dtype = weights.dtype
    return left.reshape(t, n, rank).astype(dtype), np.ascontiguousarray(right).reshape(rank, s, m).astype(dtype)


def _from_factors(kernel, weights, copies, dim, generator, rotate):
    """Sources, targets and strengths; the k-th singular value goes to copy k mod H."""
    t, s, n, m = weights.shape
    left, right = singular_factors(weights, copies * dim)
    rank = left.shape[2]
    on_targets, on_sources = left.reshape(t * n, rank).astype(float), right.reshape(rank, s * m).T.astype(float)
    if rotate:
        turn = np.linalg.qr(generator.standard_normal((rank, rank)))[0]
        on_targets, on_sources = on_targets @ turn, on_sources @ turn
    # In the mean one copy's places are as far from the origin as the kernel's length says: there phi is curved, and
    # the curvature is what an SVD does not have.
    signs = np.where(np.arange(copies) % 2, -1.0, 1.0)
    signs[signs < 0] *= np.sum(signs > 0) / np.sum(signs < 0)
    targets = _spread(on_targets, copies, dim, kernel.length, generator).reshape(t, n, dim, copies)
    sources = _spread(on_sources, copies, dim, kernel.length, generator).reshape(s, m, dim, copies) / signs
    places = [np.ascontiguousarray(a.transpose(0, 3, 1, 2), weights.dtype) for a in (sources, targets)]
    strengths = np.broadcast_to(signs, (t, s, copies)).astype(weights.dtype)
    made = relation(kernel, *places, strengths)
    size = float(np.vdot(made, weights)) / (float(np.vdot(made, made)) or 1.0)
    return [*places, strengths * weights.dtype.type(size)]


def _spread(columns, copies, dim, size, generator):
    """(neurons, rank) as (neurons, d H), its columns' root mean square per copy being `size`."""
    neurons, rank = columns.shape
    columns = columns * (size / np.sqrt(np.sum(columns**2) / (neurons * copies)))
    added = UNUSED * size / np.sqrt(dim) * generator.standard_normal((neurons, copies * dim - rank))
    return np.concatenate([columns, added], axis=1)


def _at_random(kernel, weights, copies, dim, generator, halves):
    t, s, n, m = weights.shape
    sources = random_places(generator, s, copies, m, dim, dtype=weights.dtype)
    targets = random_places(generator, t, copies, n, dim, dtype=weights.dtype)
    strengths = start_strengths(kernel, sources, targets)
    size = float(np.std(relation(kernel, sources, targets, strengths))) or 1.0
    strengths *= float(np.std(weights)) / (size * np.sqrt(halves))
    return [sources, targets, strengths.astype(weights.dtype)]
