"""The pairwise mathematics: distance, phi and its slope between one target and a block of sources.

Loops for any dimension are made around the functions below; those that are written out for one are in `_written_loops`,
from the same formulas. `expression`, `metric` and `soft` are compile-time constants at every call (closures over texts
and ints in the loops' makers), so that LLVM drops the branches and vectorises over the sources, which lie axis by axis:
(d, n).
"""

from __future__ import annotations

import ast
import math
from functools import cache

import numpy as np
from numba import njit
from numba.extending import overload

from ._compilation import MATH, widest_vectors
from ._exponential import exponential, plain_exponential
from ._expression import calls_functions, parse
from ._formula import ETA2_PLACE, NUMPY, ZERO_PLACE, numbers_of, python_functions, write
from ._kernel import METRICS
from ._lanes import lane_pull_l1, lane_pull_l1_back, lane_pull_l2, lane_pull_l2_back
from ._profiles import PROFILES
from ._reciprocal_root import reciprocal_root

BLOCK = 512
SPECIALISED = 9

L2, L1 = range(len(METRICS))


def constants(kernel, dtype):
    """Return the numbers of a kernel in the working precision; a float64 literal would promote float32 loops."""
    with np.errstate(over="ignore"):
        return np.array(numbers_of(kernel), dtype=dtype)


def specialisation(kernel, d):
    """Return the compile-time constants (expression, metric, soft, d); d = 0 stands for any dimension.

    The expression's text is part of what Numba's cache on the disk knows a loop by.
    """
    return kernel.expression, METRICS.index(kernel.metric), int(kernel.softening > 0), d if d <= SPECIALISED else 0


def row_specialisation(kernel):
    """Return (expressions, number, metric) for `fill_row`: expressions, one a line, and which of them is the kernel's.

    All built-in kernels are lines of one text, so that what is compiled around `fill_row` serves them all.
    """
    metric = METRICS.index(kernel.metric)
    if kernel.profile in PROFILES:
        texts = "\n".join(expression for expression, _ in PROFILES.values())
        return texts, list(PROFILES).index(kernel.profile), metric
    return ast.unparse(ast.parse(kernel.profile.strip(), mode="eval")), 0, metric  # on one line


# The functions of expressions on one number.


@njit(cache=True, fastmath=MATH, error_model="numpy")
def _sign(x):
    return x - x if x == 0 else x / abs(x)


@njit(cache=True, fastmath=MATH, error_model="numpy")
def _minimum(x, y):
    return x if x < y or x != x else y


@njit(cache=True, fastmath=MATH, error_model="numpy")
def _maximum(x, y):
    return x if x > y or x != x else y


@njit(cache=True, error_model="numpy")
def _quotient_root(x):
    return 1.0 / np.sqrt(x)


SCALAR = {name: getattr(math, name) for name in ("sqrt", "log", "sin", "cos", "tan", "sinh", "cosh", "tanh")}
SCALAR |= {"reciprocal_root": reciprocal_root, "exp": exponential}
SCALAR |= {"arctan": math.atan, "erf": math.erf, "abs": abs, "pow": math.pow}
SCALAR |= {"sign": _sign, "minimum": _minimum, "maximum": _maximum}
# Rows are computed as they are written, nothing fused or estimated, so that NumPy computes the same bits.
ROW = SCALAR | {"reciprocal_root": _quotient_root, "exp": plain_exponential}
ROW_BY_ARRAYS = NUMPY | {"exp": plain_exponential}


@cache
def _scalar_functions(expression):
    return python_functions(expression, SCALAR)


def value_of(r2, expression, numbers):
    """phi at a squared softened distance, compiled where `expression` is a constant."""
    return _scalar_functions(expression)[0](r2, numbers)


def slope_of(r2, expression, numbers):
    """phi'(r) / r at a squared softened distance, compiled where `expression` is a constant."""
    return _scalar_functions(expression)[1](r2, numbers)


def _compiled(expression, which):
    formula = njit(fastmath=MATH, error_model="numpy", inline="always")(
        _scalar_functions(expression.literal_value)[which]
    )
    return lambda r2, expression, numbers: formula(r2, numbers)


@overload(value_of, jit_options={"fastmath": MATH, "error_model": "numpy"}, inline="always", prefer_literal=True)
def _value_of(r2, expression, numbers):
    return _compiled(expression, 0)


@overload(slope_of, jit_options={"fastmath": MATH, "error_model": "numpy"}, inline="always", prefer_literal=True)
def _slope_of(r2, expression, numbers):
    return _compiled(expression, 1)


@cache
def _rows(expressions):
    """apply(out, number, numbers) writes phi, by expression number `number`, over squared distances; a loop each."""
    wide = not any(calls_functions(parse(expression)) for expression in expressions.split("\n"))
    lines = ["def apply(out, number, numbers):", *(["    widest_vectors()"] if wide else [])]
    for number, expression in enumerate(expressions.split("\n")):
        body, result = write(expression, "python").value
        lines += [f"    if number == {number}:", "        for j in range(len(out)):"]
        body = f"r2 = out[j] + numbers[{ETA2_PLACE}]", *body, f"out[j] = {result}"
        lines += [*(f"            {line}" for line in body), "        return"]
    lines += ["    raise IndexError('no such expression')"]
    names = {"widest_vectors": widest_vectors, **{f"f_{name}": function for name, function in ROW.items()}}
    exec(compile("\n".join(lines), "<expressions of kernels>", "exec"), names)
    return names["apply"]


def apply_row(out, expressions, number, numbers):
    """Write phi over squared metric distances, not softened; compiled where `expressions` is a constant."""
    _rows(expressions)(out, number, numbers)


@overload(apply_row, prefer_literal=True)
def _apply_row(out, expressions, number, numbers):
    apply = njit(error_model="numpy")(_rows(expressions.literal_value))
    return lambda out, expressions, number, numbers: apply(out, number, numbers)


@njit(cache=True, fastmath=MATH, error_model="numpy", inline="always")
def squared_distances(target, sources, start, stop, metric, numbers, out):
    """Fill out[: stop - start] with squared metric distances (not softened) to sources start..stop."""
    row = out[: stop - start]
    for j in range(row.shape[0]):
        row[j] = numbers[ZERO_PLACE]
    for k in range(target.shape[0]):
        place, line = target[k], sources[k, start:stop]
        for j in range(row.shape[0]):
            difference = place - line[j]
            if metric == L2:
                row[j] += difference * difference
            else:
                row[j] += abs(difference)
    if metric == L1:
        for j in range(row.shape[0]):
            row[j] *= row[j]


@njit(cache=True, fastmath=MATH, error_model="numpy", inline="always")
def squared_distance(target, sources, j, metric, numbers):
    """Squared metric distance (not softened) to source j."""
    total = numbers[ZERO_PLACE]
    for k in range(target.shape[0]):
        difference = target[k] - sources[k, j]
        if metric == L2:
            total += difference * difference
        else:
            total += abs(difference)
    return total if metric == L2 else total * total


@njit(cache=True, fastmath=MATH, error_model="numpy", inline="always")
def phi(rho2, expression, soft, numbers):
    """phi at a squared metric distance rho^2, softened here."""
    r2 = rho2
    if soft:
        r2 = rho2 + numbers[ETA2_PLACE]
    return value_of(r2, expression, numbers)


@njit(cache=True, fastmath=MATH, error_model="numpy", inline="always")
def slope(rho2, expression, soft, numbers):
    """phi'(r) / r at a squared metric distance; 0 where r = 0, where phi has no gradient.

    The gradient with respect to the target is slope * (target - source) for l2 and
    slope * rho * sign(target - source) for l1, because dr/drho = rho / r.
    """
    r2 = rho2
    if soft:
        r2 = rho2 + numbers[ETA2_PLACE]
    value = slope_of(r2, expression, numbers)
    zero = numbers[ZERO_PLACE]
    return value if r2 > zero else zero  # chosen afterwards: a branch about the quotient would not vectorise


@njit(cache=True, fastmath=MATH, error_model="numpy", inline="always")
def add_force(target, sources, start, stop, metric, weights, force):
    """force[k] += sum_j weights_j (target - source_j)_k for l2, or its sign for l1 (weights carry rho)."""
    for k in range(target.shape[0]):
        row = sources[k, start:stop]
        if metric == L2:
            force[k] += lane_pull_l2(weights, row, target[k], stop - start)
        else:
            force[k] += lane_pull_l1(weights, row, target[k], stop - start)


@njit(cache=True, fastmath=MATH, error_model="numpy", inline="always")
def add_pull(target, sources, j, metric, pull, numbers, force):
    """As `add_force` of one source, with pull = phi'(r) / r times its signal."""
    if metric == L1:
        rho = numbers[ZERO_PLACE]
        for k in range(target.shape[0]):
            rho += abs(target[k] - sources[k, j])
        pull = pull * rho
    for k in range(target.shape[0]):
        difference = target[k] - sources[k, j]
        if metric == L2:
            force[k] += pull * difference
        elif difference > numbers[ZERO_PLACE]:
            force[k] += pull
        elif difference < numbers[ZERO_PLACE]:
            force[k] -= pull


@njit(cache=True, fastmath=MATH, error_model="numpy", inline="always")
def fill_row(target, sources, expressions, number, metric, numbers, out):
    """out[j] = phi(source_j, target), sources (d, n), for loops that are compiled elsewhere.

    `expressions`, a constant of the loop, and `number` are those of `row_specialisation`.
    """
    n = sources.shape[1]
    if metric == L2:
        squared_distances(target, sources, 0, n, L2, numbers, out)
    else:
        squared_distances(target, sources, 0, n, L1, numbers, out)
    apply_row(out, expressions, number, numbers)


def rows_by_arrays(targets, sources, expressions, number, metric, numbers):
    """phi(source_j, target_i) as an array (m, n), of places (m, d) and (n, d): with the bits of `fill_row`.

    This is so for built-in kernels; NumPy's own logarithm or sine differs from the C library's in its last bit.
    """
    r2 = np.zeros((len(targets), len(sources)))
    for place, line in zip(targets.T, sources.T, strict=True):
        difference = place[:, None] - line
        r2 += difference * difference if metric == L2 else abs(difference)
    if metric == L1:
        r2 *= r2
    r2 += numbers[ETA2_PLACE]
    return np.broadcast_to(_value_by_arrays(expressions.split("\n")[number])(r2, numbers), r2.shape)


@cache
def _value_by_arrays(expression):
    return python_functions(expression, ROW_BY_ARRAYS)[0]


@njit(cache=True, fastmath=MATH, error_model="numpy", inline="always")
def along_direction(target, dtarget, sources, dsources, metric, numbers, out):
    """out_j = sum_k (target - source_j)_k (dtarget - dsource_j)_k for l2; the sign of the difference for l1."""
    for j in range(sources.shape[1]):
        out[j] = numbers[ZERO_PLACE]
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


@njit(cache=True, fastmath=MATH, error_model="numpy", inline="always")
def pull_both(target, sources, start, stop, metric, weights, force, back):
    """Add to the target's force as `add_force`, and the opposite of each pair's part to back[k, j], its source's."""
    for k in range(target.shape[0]):
        row, pulls = sources[k, start:stop], back[k, start:stop]
        if metric == L2:
            force[k] += lane_pull_l2_back(weights, row, pulls, target[k], stop - start)
        else:
            force[k] += lane_pull_l1_back(weights, row, pulls, target[k], stop - start)
