"""The pairwise mathematics, once: distance, phi and its slope between one target and a block of sources.

Everything pairwise in the project is a loop around the functions below. `profile`, `metric`, `soft` and `d` are
compile-time constants at every call (closures over ints in `_direct` and `_relation`), so that LLVM folds the
branches, unrolls the loop over axes and vectorises over the sources, which lie axis by axis: (d, n).
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from ._functions import FLAGS as MATH
from ._functions import user_slope, user_value
from ._kernel import METRICS, PROFILES

BLOCK = 512
SPECIALISED = 9

INVERSE, LINEAR, GAUSSIAN, EXPONENTIAL, INVERSE_SQUARE = range(len(PROFILES))
L2, L1 = range(len(METRICS))


def constants(kernel, dtype):
    """Return the numbers of a kernel in the working precision; a float64 literal would promote float32 loops."""
    c, eta, length = kernel.scale, kernel.softening, kernel.length
    return np.array([c, eta**2, 1 / length, 0, -0.5 / length**2, -1 / length**2, -2 * c, eta, length, 1], dtype=dtype)


def specialisation(kernel, d):
    """Return the compile-time constants (profile, metric, soft, d); d = 0 stands for any dimension.

    `profile` is a number, or the text of an expression: both are part of what Numba's cache knows a loop by.
    """
    profile = PROFILES.index(kernel.profile) if kernel.profile in PROFILES else kernel.profile
    metric = METRICS.index(kernel.metric)
    return profile, metric, int(kernel.softening > 0), d if d <= SPECIALISED else 0


@njit(cache=True, fastmath=MATH, inline="always")
def squared_distances(target, sources, start, stop, metric, d, numbers, out):
    """Fill out[: stop - start] with squared metric distances (not softened) to sources start..stop."""
    if d > 0:
        for j in range(start, stop):
            first = target[0] - sources[0, j]
            if metric == L2:
                total = first * first
                for k in range(1, d):
                    difference = target[k] - sources[k, j]
                    total += difference * difference
                out[j - start] = total
            else:
                total = abs(first)
                for k in range(1, d):
                    total += abs(target[k] - sources[k, j])
                out[j - start] = total * total
    else:
        for j in range(stop - start):
            out[j] = numbers[3]
        for k in range(target.shape[0]):
            place = target[k]
            for j in range(start, stop):
                difference = place - sources[k, j]
                if metric == L2:
                    out[j - start] += difference * difference
                else:
                    out[j - start] += abs(difference)
        if metric == L1:
            for j in range(stop - start):
                out[j] *= out[j]


@njit(cache=True, fastmath=MATH, inline="always")
def squared_distance(target, sources, j, metric, d):
    """Squared metric distance (not softened) to source j; d at least 1."""
    first = target[0] - sources[0, j]
    if metric == L2:
        total = first * first
        for k in range(1, d):
            difference = target[k] - sources[k, j]
            total += difference * difference
        return total
    total = abs(first)
    for k in range(1, d):
        total += abs(target[k] - sources[k, j])
    return total * total


@njit(cache=True, fastmath=MATH, inline="always")
def phi(rho2, profile, soft, numbers):
    """phi at a squared metric distance rho^2, softened here."""
    r2 = rho2
    if soft:
        r2 = rho2 + numbers[1]
    value = user_value(r2, profile, numbers)  # an expression; without one the next lines decide
    if profile == INVERSE:
        value = numbers[0] / math.sqrt(r2)
    elif profile == LINEAR:
        value = numbers[0] * math.sqrt(r2)
    elif profile == GAUSSIAN:
        value = numbers[0] * math.exp(numbers[4] * r2)
    elif profile == EXPONENTIAL:
        value = numbers[0] * math.exp(-math.sqrt(r2) * numbers[2])
    elif profile == INVERSE_SQUARE:
        value = numbers[0] / r2
    return value


@njit(cache=True, fastmath=MATH, inline="always")
def slope(rho2, profile, soft, numbers):
    """phi'(r) / r at a squared metric distance; 0 where r = 0, where phi has no gradient.

    The gradient with respect to the target is slope * (target - source) for l2 and
    slope * rho * sign(target - source) for l1, because dr/drho = rho / r.
    """
    r2 = rho2
    if soft:
        r2 = rho2 + numbers[1]
    value = user_slope(r2, profile, numbers)  # an expression; without one the next lines decide
    if profile == INVERSE:
        inverse = numbers[9] / math.sqrt(r2)
        value = -numbers[0] * inverse * inverse * inverse
    elif profile == LINEAR:
        value = numbers[0] / math.sqrt(r2)
    elif profile == GAUSSIAN:
        value = numbers[5] * numbers[0] * math.exp(numbers[4] * r2)
    elif profile == EXPONENTIAL:
        r = math.sqrt(r2)
        value = -numbers[0] * numbers[2] * math.exp(-r * numbers[2]) / r
    elif profile == INVERSE_SQUARE:
        value = numbers[6] / (r2 * r2)
    zero = numbers[3]
    return value if r2 > zero else zero  # chosen afterwards: a branch about the quotient would not vectorise


@njit(cache=True, fastmath=MATH, inline="always")
def add_force(target, sources, start, stop, metric, d, weights, force):
    """force[k] += sum_j weights_j (target - source_j)_k for l2, or its sign for l1 (weights carry rho)."""
    axes = d if d > 0 else target.shape[0]
    for k in range(axes):
        place = target[k]
        total = weights[0] * (place - place)
        for j in range(start, stop):
            difference = place - sources[k, j]
            if metric == L2:
                total += weights[j - start] * difference
            elif difference > 0:
                total += weights[j - start]
            elif difference < 0:
                total -= weights[j - start]
        force[k] += total


@njit(cache=True, fastmath=MATH, inline="always")
def fill_row(target, sources, expression, profile, metric, numbers, out):
    """out[j] = phi(source_j, target), sources (d, n), for loops that are compiled elsewhere.

    `expression` is a constant of the loop: the text of an expression, or "" for a built-in profile, told by its number.
    """
    n = sources.shape[1]
    if metric == L2:
        squared_distances(target, sources, 0, n, L2, 0, numbers, out)
    else:
        squared_distances(target, sources, 0, n, L1, 0, numbers, out)
    if expression != "":
        for j in range(n):
            out[j] = phi(out[j], expression, 1, numbers)
    elif profile == INVERSE:
        for j in range(n):
            out[j] = phi(out[j], INVERSE, 1, numbers)
    elif profile == LINEAR:
        for j in range(n):
            out[j] = phi(out[j], LINEAR, 1, numbers)
    else:
        for j in range(n):
            out[j] = phi(out[j], profile, 1, numbers)


@njit(cache=True, fastmath=MATH, inline="always")
def along_direction(target, dtarget, sources, dsources, metric, numbers, out):
    """out_j = sum_k (target - source_j)_k (dtarget - dsource_j)_k for l2; the sign of the difference for l1."""
    for j in range(sources.shape[1]):
        out[j] = numbers[3]
    for k in range(target.shape[0]):
        place, move = target[k], dtarget[k]
        for j in range(sources.shape[1]):
            difference = place - sources[k, j]
            if metric == L2:
                out[j] += difference * (move - dsources[k, j])
            elif difference > 0:
                out[j] += move - dsources[k, j]
            elif difference < 0:
                out[j] -= move - dsources[k, j]


@njit(cache=True, fastmath=MATH, inline="always")
def add_both_forces(target, sources, start, stop, metric, d, weights, force, back):
    """Add to the target's force as `add_force`, and the opposite of each pair's part to back[k, j], its source's."""
    axes = d if d > 0 else target.shape[0]
    for k in range(axes):
        place = target[k]
        zero = weights[0] * (place - place)
        total = zero
        row, pulls = sources[k, start:stop], back[k, start:stop]  # of unit stride, or nothing would be a vector
        for j in range(stop - start):
            difference, weight = place - row[j], weights[j]
            if metric == L2:
                pull = weight * difference
            else:
                pull = (weight if difference > zero else zero) - (weight if difference < zero else zero)
            total += pull
            pulls[j] -= pull
        force[k] += total
