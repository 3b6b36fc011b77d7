"""Gauss-Newton with conjugate gradients: least squares of many unknowns without a Jacobian in memory."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

DAMPING = 1e-4  # at the start, of the errors' share that a unit of each unknown makes, squared
SHORTER = (0.5, 0.25)  # shares of a step that are tried where the whole step would raise the error
FORCING = 1e-3  # conjugate gradients end when the preconditioned residual has fallen by the square root of this


def gauss_newton(
    problem,
    unknowns: list[npt.NDArray],
    *,
    steps: int,
    inner: int = 10,
    tolerance: float = 2e-3,
    progress: Callable | None = None,
) -> tuple[list[npt.NDArray], float]:
    """Minimise the problem's sum of squares; returns (unknowns, error), the error as a share of the targets' squares.

    Levenberg-Marquardt: every step solves (J^T J + mu) p = -J^T r by conjugate gradients, preconditioned by the
    problem's approximate inverse of J^T J; the damping mu follows the ratio of the true to the promised gain, and a
    step that is too long is shortened before another one is solved for (Nocedal & Wright, Numerical Optimization,
    chapters 3, 4 and 10).

    Parameters
    ----------
    problem : object
        `residual(x)`, `tangent(x, v)`, `transposed(x, r)` (J^T r), `preconditioner(x, mu)` (a function on lists of
        arrays) and `square(r, other)`, the inner product of residuals.
    unknowns : list of ndarray
        Where to begin; not changed.
    steps, inner : int
        Gauss-Newton steps, and conjugate gradients in each.
    tolerance : float
        End when five steps together gain less than this share of the error.
    progress : callable, optional
        Called after every step as `progress(done, total, error=e)`; it ends there if that returns true.
    """
    x, damping = [array.copy() for array in unknowns], DAMPING
    residual = problem.residual(x)
    error, history, refused = problem.square(residual, residual), [], 0
    for step in range(steps):
        direction, change = _solve(problem, x, residual, damping, inner)
        promised = error - problem.square(residual + change, residual + change)
        refused += 1
        for share in (1.0, *SHORTER):
            moved = [a + np.asarray(share, a.dtype) * b for a, b in zip(x, direction, strict=True)]
            moved_residual = problem.residual(moved)
            found = problem.square(moved_residual, moved_residual)
            if share == 1.0:
                gain = (error - found) / promised if promised > 0 and np.isfinite(found) else -1.0
            if found < error:
                x, residual, error, refused = moved, moved_residual, found, 0
                break
        damping *= 0.5 if gain > 0.75 else 1.0 if gain > 0.25 else 1.5 if gain > 0 else 3.0
        history.append(error)
        stopped = progress is not None and progress(step + 1, steps, error=error)
        converged = len(history) > 5 and history[-6] - error < tolerance * history[-6] and not refused
        if stopped or converged or refused > 8 or error <= 1e-12:
            break
    return x, error


def _solve(problem, x, residual, damping, inner):
    """The step p, and J p, of the damped normal equations."""
    apply = problem.preconditioner(x, damping)
    left = [-g for g in problem.transposed(x, residual)]
    direction, change = [np.zeros_like(a) for a in x], np.zeros_like(residual)
    z = apply(left)
    along, size = z, _dot(left, z)
    first = size
    for _ in range(inner):
        if not size > FORCING**2 * first:
            break
        image = problem.tangent(x, along)
        curved = [c + damping * a for c, a in zip(problem.transposed(x, image), along, strict=True)]
        length = size / _dot(along, curved)
        if not np.isfinite(length) or length <= 0:
            break
        for p, a, r, c in zip(direction, along, left, curved, strict=True):
            p += np.asarray(length, p.dtype) * a
            r -= np.asarray(length, r.dtype) * c
        change += np.asarray(length, change.dtype) * image
        z = apply(left)
        size, before = _dot(left, z), size
        if not size > FORCING * first:
            break
        along = [a + np.asarray(size / before, a.dtype) * b for a, b in zip(z, along, strict=True)]
    return direction, change


def _dot(one, other):
    return sum(float(np.vdot(a, b)) for a, b in zip(one, other, strict=True))
