"""Least squares of relations: places, lambdas and low-rank factors fitted to given weights."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass, field

import numpy as np

from dynsim.kernels import Kernel, relation, relation_forces, relation_normal, relation_tangent

from ._block_factors import factor_blocks, solve_blocks

BLOCK = 96  # unknowns of a neuron that are solved for together
RIDGE = 1e-3  # of the blocks' diagonal; far below what the damping adds, it keeps them positive in float32


@dataclass
class Target:
    """Weights (T, S, n, m) that a sum of terms shall equal.

    `relations` lists (sources, targets, strengths, swapped): indices of the unknowns, and whether the relation's first
    two axes are the weights' second and first (the second half of full sets). `factors` is None or the indices of
    (T, n, r) and (r, S, m), a low-rank part beside the relations. `scale`, a number or an array that broadcasts to the
    weights, multiplies the squares; `moments` (T S m, T S m) are the second moments of the inputs, by which errors are
    weighted besides.
    """

    kernel: Kernel
    weights: np.ndarray
    _: KW_ONLY
    relations: list = field(default_factory=list)
    factors: tuple | None = None
    scale: float | np.ndarray = 1.0
    moments: np.ndarray | None = None


class Targets:
    """The problem of `gauss_newton`: one or several targets over common unknowns (neurons that layers share).

    Unknowns are a list of places (sets, copies, neurons, d), lambdas (T, S, copies) and factors. The error is the sum
    over the targets of scale |W_places - W|^2.
    """

    def __init__(self, targets):
        self.targets = list(targets)
        stops = np.cumsum([t.weights.size for t in self.targets]).tolist()
        self.parts = [slice(a, b) for a, b in zip([0, *stops[:-1]], stops, strict=True)]

    def residual(self, x):
        """W_places - W of all targets, as one vector."""
        return np.concatenate([(self.value(x, t) - t.weights).ravel() for t in self.targets])

    def value(self, x, target):
        """The weights that follow from the unknowns."""
        total = 0
        for sources, targets, strengths, swapped in target.relations:
            part = relation(target.kernel, x[sources], x[targets], x[strengths])
            total = total + (part.swapaxes(0, 1) if swapped else part)
        if target.factors is not None:
            total = total + low_rank(x[target.factors[0]], x[target.factors[1]])
        return total

    def tangent(self, x, v):
        """J v."""
        parts = []
        for target in self.targets:
            total = 0
            for sources, targets, strengths, swapped in target.relations:
                chosen = (sources, targets, strengths)
                part = relation_tangent(target.kernel, *(x[k] for k in chosen), *(v[k] for k in chosen))
                total = total + (part.swapaxes(0, 1) if swapped else part)
            if target.factors is not None:
                left, right = target.factors
                total = total + low_rank(v[left], x[right]) + low_rank(x[left], v[right])
            parts.append(np.ravel(total))
        return np.concatenate(parts)

    def transposed(self, x, residual):
        """J^T (weighted residual)."""
        gradient = [np.zeros_like(a) for a in x]
        for target, signal in self._weighted(residual):
            for sources, targets, strengths, swapped in target.relations:
                part = np.ascontiguousarray(signal.swapaxes(0, 1)) if swapped else signal
                chosen = (sources, targets, strengths)
                for k, force in zip(chosen, relation_forces(target.kernel, *(x[k] for k in chosen), part), strict=True):
                    gradient[k] += force
            if target.factors is not None:
                left, right = target.factors
                gradient[left] += np.einsum("tsoi,rsi->tor", signal, x[right], optimize=True)
                gradient[right] += np.einsum("tsoi,tor->rsi", signal, x[left], optimize=True)
        return gradient

    def square(self, residual, other):
        """Weighted inner product of two residuals."""
        total = 0.0
        for (_, weighted), part in zip(self._weighted(residual), self.parts, strict=True):
            total += float(np.vdot(weighted.ravel(), other[part]))
        return total

    def errors(self, x):
        """Each target's squared error as a share of |W|^2, unweighted."""
        found = []
        for target in self.targets:
            scale = float(np.sum(np.square(target.weights, dtype=np.float64)))
            difference = self.value(x, target) - target.weights
            found.append(float(np.sum(np.square(difference, dtype=np.float64))) / scale if scale else 0.0)
        return found

    def preconditioner(self, x, damping):
        """A function that solves `blocks` for a direction of all unknowns."""
        factors = [factor_blocks(block) for block in self.blocks(x, damping)]
        # One block for very many right sides, as that of low-rank factors, is cheaper as a product with the inverse.
        inverses = [_inverse(f) if f[..., 0, 0].size == 1 else None for f in factors]

        def solved(factor, inverse, v):
            rows = _as_rows(factor, v)
            return _from_rows(solve_blocks(factor, rows) if inverse is None else rows @ inverse, v.shape)

        def apply(v):
            return [np.ascontiguousarray(solved(*each)) for each in zip(factors, inverses, v, strict=True)]

        return apply

    def inverses(self, x, damping=0.0, ridge=RIDGE, floor=0.0):
        """The inverses of `blocks`, for `apply_inverse`."""
        return [_inverse(factor_blocks(block)) for block in self.blocks(x, damping, ridge, floor)]

    def blocks(self, x, damping=0.0, ridge=RIDGE, floor=0.0):
        """The blocks of J^T J that belong to one neuron, one lambda's (t, s) or one row of a factor.

        Of places (sets, n, G, g d, g d), H copies in G groups of g; of lambdas (T, S, H, H); of factors (1, 1, r, r)
        and (1, r, r). To the diagonals `ridge` times themselves is added, `floor` times the mean over unknowns of
        the same kind and target, and `damping`.
        """
        blocks = [None] * len(x)

        def add(k, block, scale):
            block *= np.asarray(scale, block.dtype)
            if blocks[k] is None:
                blocks[k] = block
            else:
                blocks[k] += block

        for target in self.targets:
            size = 1.0 if target.moments is None else float(np.mean(np.diag(target.moments)))
            scale = np.broadcast_to(size * np.asarray(target.scale, np.float64), target.weights.shape)
            for sources, targets, strengths, swapped in target.relations:
                p, q, lam = x[sources], x[targets], x[strengths]
                rows = scale.swapaxes(0, 1) if swapped else scale
                turned = np.ascontiguousarray(lam.swapaxes(0, 1))
                add(targets, _places_blocks(target.kernel, p, q, lam), rows.mean(axis=(1, 3))[..., *[None] * 3])
                add(sources, _places_blocks(target.kernel, q, p, turned), rows.mean(axis=(0, 2))[..., *[None] * 3])
                add(strengths, _strengths_blocks(target.kernel, p, q, lam), scale.mean())
            if target.factors is not None:
                left, right = (x[k] for k in target.factors)
                add(target.factors[0], np.einsum("rsi,qsi->rq", right, right)[None, None], scale.mean())
                add(target.factors[1], np.einsum("tor,toq->rq", left, left)[None], scale.mean())
        # What no target depends on has a block of zeros, and so stays where it is.
        blocks = [np.zeros((1, 1, 1, 1), a.dtype) if b is None else b for a, b in zip(x, blocks, strict=True)]
        dampings = np.full(len(x), float(damping))
        means = np.array([block.diagonal(axis1=-2, axis2=-1).mean() for block in blocks])
        for target in self.targets:
            # Places, lambdas and factors have units of their own, in which the blocks are measured.
            alike = [own for relation in target.relations for own in (list(relation[:2]), [relation[2]])]
            for own in [*alike, *([list(target.factors)] if target.factors else [])]:
                dampings[own] = np.maximum(dampings[own], damping + floor * means[own].mean())
        for block, extra in zip(blocks, dampings, strict=True):
            diagonal = np.arange(block.shape[-1])
            block[..., diagonal, diagonal] *= 1 + ridge
            block[..., diagonal, diagonal] += extra
        return blocks

    def _weighted(self, residual):
        for target, part in zip(self.targets, self.parts, strict=True):
            signal = residual[part].reshape(target.weights.shape)
            if target.moments is not None:
                t, s, n, m = signal.shape
                rows = signal.transpose(2, 0, 1, 3).reshape(n, t * s * m) @ target.moments
                signal = np.ascontiguousarray(rows.reshape(n, t, s, m).transpose(1, 2, 0, 3))
            yield target, signal * np.asarray(target.scale, signal.dtype)


def relations_problem(kernel: Kernel, weights: np.ndarray) -> Targets:
    """The problem of a single relation, whose unknowns are sources, targets and strengths.

    Examples
    --------
    >>> problem = relations_problem(Kernel("linear"), np.ones((1, 1, 1, 1)))
    >>> places = np.zeros((1, 1, 1, 2))
    >>> problem.residual([places, places, np.ones((1, 1, 1))])
    array([-1.])
    """
    scale = 1 / (float(np.sum(np.square(weights, dtype=np.float64))) or 1.0)
    return Targets([Target(kernel, weights, relations=[(0, 1, 2, False)], scale=scale)])


def low_rank(left, right):
    """(T, n, r) and (r, S, m) as weights (T, S, n, m)."""
    return np.einsum("tor,rsi->tsoi", left, right, optimize=True)


def _places_blocks(kernel, sources, targets, strengths):
    """(T, n, G, g d, g d): normal matrices of each neuron's places, copies in G groups of g."""
    copies, d = targets.shape[1], targets.shape[3]
    group = next(g for g in range(copies, 0, -1) if copies % g == 0 and (g * d <= BLOCK or g == 1))
    return relation_normal(kernel, sources, targets, strengths, copies // group)


def _strengths_blocks(kernel, sources, targets, strengths):
    """(T, S, H, H): products of the copies' parts of the weights."""
    one = np.ones((*strengths.shape[:2], 1), strengths.dtype)
    parts = [relation(kernel, sources[:, h : h + 1], targets[:, h : h + 1], one) for h in range(strengths.shape[2])]
    flat = np.stack(parts, axis=2).reshape(*strengths.shape, -1)
    return flat @ flat.swapaxes(-1, -2)


def _inverse(factors):
    """The inverses of factored blocks."""
    return solve_blocks(factors, np.broadcast_to(np.eye(factors.shape[-1], dtype=factors.dtype), factors.shape))


def _as_rows(block, v):
    """Unknowns as right sides (..., R, n) of their blocks (..., n, n), of NumPy or PyTorch alike."""
    if block.ndim == 5:  # places (sets, H, n, d)
        return v.swapaxes(1, 2).reshape(*block.shape[:3], 1, block.shape[3])
    if block.ndim == 3:  # the right factor (r, S, m)
        return v.reshape(1, len(v), -1).swapaxes(1, 2)
    return v.reshape(*block.shape[:2], -1, block.shape[3])  # lambdas (T, S, H), the left factor (T, n, r)


def _from_rows(rows, shape):
    """The inverse of `_as_rows`."""
    if rows.ndim == 5:
        sets, copies, n, d = shape
        rows = rows.reshape(sets, n, copies, d).swapaxes(1, 2)
    elif rows.ndim == 3:
        rows = rows.swapaxes(1, 2)
    return rows.reshape(shape)


def apply_inverse(inverse, v):
    """One of `Targets.inverses` times a direction of the unknowns it belongs to; both of NumPy, or both of PyTorch."""
    return _from_rows(_as_rows(inverse, v) @ inverse, v.shape)
