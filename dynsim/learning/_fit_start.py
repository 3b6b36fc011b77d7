"""Where a fit begins: at places whose relation is, to first order, the weights' truncated SVD.

For places p of the targets and q of the sources r^2 = |p|^2 + |q|^2 - 2 p q, so a function of r is nearly a constant
plus a multiple of the product p q. With lambdas of both signs that add up to zero over the copies the constants cancel,
and H copies in d dimensions hold H d singular values. For distances l1 that is true in the mean: the covariance of
|p - q| and p q over neurons is not zero. From places at random the first step takes lambda to zero, where no place
feels a force: small layers take ten steps to leave it, large ones stay.
"""

from __future__ import annotations

import numpy as np
from scipy.linalg import eigh

from dynsim.kernels import relation
from dynsim.layers import random_places, start_strengths

from ._targets import low_rank

UNUSED = 1e-2  # size of axes beyond the weights' rank, as a share of the others


def fit_start(kernel, weights, copies, dim, rank, halves, generator, rotate=False):
    """Unknowns for weights (T, S, n, m): sources, targets, strengths of each half, and the factors if there is a rank.

    The factors get the largest singular values, the places the next. One copy's constant does not cancel; its places
    are drawn at random. With `rotate` the singular vectors are mixed at random, for another try.
    """
    x, rest, factors = [], weights, []
    if rank:
        left, right = singular_factors(weights, rank)
        factors = [left, right]
        rest = weights - low_rank(left, right)
    for half in range(halves):
        goal = rest if half == 0 else np.ascontiguousarray(rest.swapaxes(0, 1))
        if copies > 1 and goal.any():
            found = _from_factors(kernel, goal, copies, dim, generator, rotate)
        else:
            found = _at_random(kernel, goal, copies, dim, generator, halves)
        if half + 1 < halves:
            rest = rest - relation(kernel, *found)
        x += found
    return x + factors


def singular_factors(weights, rank):
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
