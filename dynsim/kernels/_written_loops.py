"""Loops over a block of sources, written out for a dimension, so that all they need stands in registers.

The loop over axes within the loop over sources becomes straight code, sums are variables, and sources are rows of one
axis that are indexed from 0, which the processor loads where it would gather from an index that could be negative. A
text is a constant of what is compiled around it, and so part of what Numba's cache on the disk knows that by.

Sums take the order that the compiler likes. It has no second version of a loop, for arrays that overlap, since it is
told that they do not (`apart`): there is one result.
"""

from __future__ import annotations

from functools import cache

import numpy as np
from numba import njit
from numba.extending import overload

from ._block import L2, SCALAR, add_pull, phi, slope, squared_distance, squared_distances
from ._compilation import MATH, MATH_OF_A_SUM, apart, widest_vectors
from ._expression import calls_functions, parse
from ._formula import ETA2_PLACE, ZERO_PLACE, write

LONG_BLOCK = 2048  # sources that are summed in the working precision
FEW = 4  # signals that are summed side by side in registers
SIDE_BY_SIDE = 4  # targets that are summed together, at most
REGISTERS = 24  # of 32, for sums and places of targets: the others hold sources and what is on its way


def targets_together(sums, d):
    """How many targets with so many sums share the sources that are in registers: 4, 2 or 1."""
    return next((count for count in (SIDE_BY_SIDE, SIDE_BY_SIDE // 2) if count * (sums + d) <= REGISTERS), 1)


@cache
def sums_text(expression, metric, soft, d, columns):
    """run(targets, first, sources, strengths, start, stop, numbers, sums): sums[r, c] += sum_j phi strengths[c, j].

    Targets (m, d) are meant from `first` on, and after the last one that one again; sources are (d, n), strengths
    (columns, n), of which start to stop count.
    """
    together = targets_together(columns, d)
    sums = [f"sums[{r}, {c}]" for r in range(together) for c in range(columns)]
    before, body = _places(together, d), []
    rows = {f"x_{c}": f"strengths[{c}, start:stop]" for c in range(columns)}
    for r in range(together):
        body += _distance(r, d, metric, soft) + _formula(expression, "value")
        body += [f"s_{r * columns + c} += value * x_{c}[j]" for c in range(columns)]
    return _text(
        expression, "targets, first, sources, strengths, start, stop, numbers, sums", d, before, rows, body, sums
    )


@cache
def forces_text(expression, metric, soft, d, columns):
    """run(targets, first, sources, given, start, stop, taken, numbers, forces): as `sums_text`, the gradient.

    forces[r, k] += sum_j phi'/r (target - source)_k (sum_c given[c, j] taken[r, c]), for l1 the sign of the difference
    times rho.
    """
    together = targets_together(d, d)
    sums = [f"forces[{r}, {k}]" for r in range(together) for k in range(d)]
    before, body = _places(together, d), []
    before += [f"y_{r}_{c} = taken[min(first + {r}, last), {c}]" for r in range(together) for c in range(columns)]
    rows = {f"x_{c}": f"given[{c}, start:stop]" for c in range(columns)}
    for r in range(together):
        signal = " + ".join(f"x_{c}[j] * y_{r}_{c}" for c in range(columns))
        body += _distance(r, d, metric, soft) + _formula(expression, "slope")
        body += [f"pull = slope * ({signal})", *_pulls(d, metric)]
        body += [f"s_{r * d + k} += pull_{k}" for k in range(d)]
    return _text(
        expression, "targets, first, sources, given, start, stop, taken, numbers, forces", d, before, rows, body, sums
    )


@cache
def values_text(expression, metric, soft, d, assign="="):
    """run(target, sources, start, stop, strength, numbers, out): out[j] = strength phi, j from 0 on; d = 0 is any.

    With `assign` "+=" it is added.
    """
    if not d:
        return _values_text_of_any(expression, metric, soft, assign)
    body = _distance(0, d, metric, soft) + _formula(expression, "value") + [f"out[j] {assign} strength * value"]
    before = [f"p_0_{k} = target[{k}]" for k in range(d)]
    return _text(expression, "target, sources, start, stop, strength, numbers, out", d, before, {}, body, [])


def _values_text_of_any(expression, metric, soft, assign):
    softened = f"r2 = rho2[j] + numbers[{ETA2_PLACE}]" if soft else "r2 = rho2[j]"
    lines = [] if calls_functions(parse(expression)) else ["widest_vectors()"]
    lines += ["rho2 = empty_like(out[:stop - start])"]
    lines += [f"squared_distances(target, sources, start, stop, {metric}, numbers, rho2)"]
    lines += ["for j in range(rho2.shape[0]):"]
    lines += [f"    {line}" for line in (softened, *_formula(expression, "value"), f"out[j] {assign} strength * value")]
    return "\n".join(["def run(target, sources, start, stop, strength, numbers, out):", *(f"    {a}" for a in lines)])


@cache
def both_forces_text(expression, metric, soft, d, together):
    """run(targets, first, step, sources, start, stop, strength, signals, numbers, on_targets, on_sources, products).

    For targets first, first + step, ...: with signals (m, n), dL/dW, products[i] += sum_j phi signal,
    on_targets[i, k] += sum_j pull_k and on_sources[k, j] -= pull_k, with
    pull_k = strength signal phi'/r (target - source)_k.
    """
    before = [f"i_{r} = first + {r} * step" for r in range(together)]
    before += [f"p_{r}_{k} = targets[i_{r}, {k}]" for r in range(together) for k in range(d)]
    rows = {f"back_{k}": f"on_sources[{k}, start:stop]" for k in range(d)}
    rows |= {f"x_{r}": f"signals[i_{r}, start:stop]" for r in range(together)}
    body, sums = [], []
    for r in range(together):
        body += _distance(r, d, metric, soft) + _formula(expression, "value") + _formula(expression, "slope")
        body += [f"s_{len(sums)} += value * x_{r}[j]", f"pull = slope * x_{r}[j] * strength", *_pulls(d, metric)]
        body += [f"s_{len(sums) + 1 + k} += pull_{k}" for k in range(d)]
        body += [f"away_{k} = pull_{k}" + (f" + away_{k}" if r else "") for k in range(d)]
        sums += [f"products[i_{r}]", *(f"on_targets[i_{r}, {k}]" for k in range(d))]
    body += [f"back_{k}[j] -= away_{k}" for k in range(d)]
    arguments = (
        "targets, first, step, sources, start, stop, strength, signals, numbers, on_targets, on_sources, products"
    )
    return _text(expression, arguments, d, before, rows, body, sums)


def _text(expression, arguments, d, before, rows, body, sums):
    """The function: `before`, `rows` by name and those of the sources, the loop with its sums, which are then added."""
    wide = not calls_functions(parse(expression))  # a function is called for each number, from a vector of any width
    rows = {f"q_{k}": f"sources[{k}, start:stop]" for k in range(d)} | rows
    lines = [f"zero = numbers[{ZERO_PLACE}]", *before, *(f"{name} = {row}" for name, row in rows.items())]
    lines += [f"s_{i} = zero" for i in range(len(sums))]
    lines += ["for j in range(q_0.shape[0]):", *(f"    {line}" for line in body)]
    lines += [f"{total} += s_{i}" for i, total in enumerate(sums)]
    begin = ["apart()", "widest_vectors()"] if wide else ["apart()"]
    return "\n".join([f"def run({arguments}):", *(f"    {line}" for line in begin + lines)])


def _places(together, d):
    """Lines: places p_r_k of targets that are worked on together."""
    each = [f"p_{r}_{k} = targets[min(first + {r}, last), {k}]" for r in range(together) for k in range(d)]
    return ["last = targets.shape[0] - 1", *each]


def _distance(r, d, metric, soft):
    """Lines: differences e_k, the metric distance squared, rho2, and softened, r2."""
    lines = [f"e_{k} = p_{r}_{k} - q_{k}[j]" for k in range(d)]
    if metric == L2:
        lines.append(f"rho2 = {' + '.join(f'e_{k} * e_{k}' for k in range(d))}")
    else:
        lines += [f"rho = {' + '.join(f'abs(e_{k})' for k in range(d))}", "rho2 = rho * rho"]
    return [*lines, f"r2 = rho2 + numbers[{ETA2_PLACE}]" if soft else "r2 = rho2"]


def _formula(expression, part):
    """Lines: `value`, phi at r2; or `slope`, phi'(r) / r, 0 where r = 0 and phi has no gradient."""
    lines, result = getattr(write(expression, "python"), part)
    if part == "value":
        return [*lines, f"value = {result}"]
    # Chosen afterwards: a branch about the quotient would not vectorise.
    return [*lines, f"slope = {result} if r2 > zero else zero"]


def _pulls(d, metric):
    """Lines: pull_k of `pull`, along the difference, or for l1 by its sign and rho, because dr/drho = rho / r."""
    if metric == L2:
        return [f"pull_{k} = pull * e_{k}" for k in range(d)]
    sign = "(pull if e_{k} > zero else zero) - (pull if e_{k} < zero else zero)"
    return ["pull = pull * rho", *(f"pull_{k} = {sign.format(k=k)}" for k in range(d))]


@cache
def _function(text):
    # The source consists of what is written above and nothing else.
    names = {"apart": apart, "widest_vectors": widest_vectors, "squared_distances": squared_distances}
    names |= {"empty_like": np.empty_like}
    names |= {f"f_{name}": function for name, function in SCALAR.items()}
    exec(compile(text, "<pairs of neurons>", "exec"), names)
    return names["run"]


@cache
def _compiled(text, freedom=frozenset(MATH_OF_A_SUM)):
    return njit(fastmath=set(freedom), error_model="numpy", nogil=True)(_function(text))


def add_sums(text, targets, first, sources, strengths, start, stop, numbers, sums):
    """Run a `sums_text`, a constant where this is compiled."""
    _function(text)(targets, first, sources, strengths, start, stop, numbers, sums)


def add_forces(text, targets, first, sources, given, start, stop, taken, numbers, forces):
    """Run a `forces_text`."""
    _function(text)(targets, first, sources, given, start, stop, taken, numbers, forces)


def write_values(text, target, sources, start, stop, strength, numbers, out):
    """Run a `values_text`."""
    _function(text)(target, sources, start, stop, strength, numbers, out)


def add_both_forces(
    text, targets, first, step, sources, start, stop, strength, signals, numbers, on_targets, on_sources, products
):
    """Run a `both_forces_text`."""
    _function(text)(
        targets, first, step, sources, start, stop, strength, signals, numbers, on_targets, on_sources, products
    )


@njit(cache=True, nogil=True)
def _own_sources(first, together, start, stop, own):
    """The range of the sources start..stop that are the targets first.. themselves, where sources are `own`."""
    return (min(max(first, start), stop), min(max(first + together, start), stop)) if own else (stop, stop)


@njit(cache=True, fastmath=MATH, error_model="numpy", inline="always")
def add_others(
    text, expression, metric, soft, targets, first, upto, together, sources, strengths, start, stop, own, numbers, sums
):
    """Run a `sums_text` for targets first..upto, without each one itself if these are `own` sources."""
    begin, end = _own_sources(first, together, start, stop, own)
    add_sums(text, targets, first, sources, strengths, start, begin, numbers, sums)
    for i in range(first, upto):
        for j in range(begin, end):
            if i != j:
                value = phi(squared_distance(targets[i], sources, j, metric, numbers), expression, soft, numbers)
                for column in range(strengths.shape[0]):
                    sums[i - first, column] += value * strengths[column, j]
    if end < stop:
        add_sums(text, targets, first, sources, strengths, end, stop, numbers, sums)


@njit(cache=True, fastmath=MATH, error_model="numpy", inline="always")
def pull_others(
    text, expression, metric, soft, targets, first, upto, together, sources, given, start, stop, taken, own, numbers,
    forces,
):  # fmt: skip
    """Run a `forces_text`, as `add_others`."""
    begin, end = _own_sources(first, together, start, stop, own)
    add_forces(text, targets, first, sources, given, start, begin, taken, numbers, forces)
    for i in range(first, upto):
        for j in range(begin, end):
            if i != j:
                signal = numbers[ZERO_PLACE]
                for column in range(given.shape[0]):
                    signal += given[column, j] * taken[i, column]
                rho2 = squared_distance(targets[i], sources, j, metric, numbers)
                pull = slope(rho2, expression, soft, numbers) * signal
                add_pull(targets[i], sources, j, metric, pull, numbers, forces[i - first])
    if end < stop:
        add_forces(text, targets, first, sources, given, end, stop, taken, numbers, forces)


@overload(add_sums, prefer_literal=True)
def _add_sums(text, targets, first, sources, strengths, start, stop, numbers, sums):
    run = _compiled(text.literal_value)
    return lambda text, targets, first, sources, strengths, start, stop, numbers, sums: run(
        targets, first, sources, strengths, start, stop, numbers, sums
    )


@overload(add_forces, prefer_literal=True)
def _add_forces(text, targets, first, sources, given, start, stop, taken, numbers, forces):
    run = _compiled(text.literal_value)
    return lambda text, targets, first, sources, given, start, stop, taken, numbers, forces: run(
        targets, first, sources, given, start, stop, taken, numbers, forces
    )


@overload(write_values, prefer_literal=True)
def _write_values(text, target, sources, start, stop, strength, numbers, out):
    run = _compiled(text.literal_value, freedom=frozenset(MATH))
    return lambda text, target, sources, start, stop, strength, numbers, out: run(
        target, sources, start, stop, strength, numbers, out
    )


@overload(add_both_forces, prefer_literal=True)
def _add_both_forces(
    text, targets, first, step, sources, start, stop, strength, signals, numbers, on_targets, on_sources, products
):
    run = _compiled(text.literal_value)

    def implementation(
        text, targets, first, step, sources, start, stop, strength, signals, numbers, on_targets, on_sources, products
    ):
        run(targets, first, step, sources, start, stop, strength, signals, numbers, on_targets, on_sources, products)

    return implementation
