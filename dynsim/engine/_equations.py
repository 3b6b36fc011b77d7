"""Equations (2) and (3) on arrays, compiled, and the evaluation of the whole right-hand side.

Tuples of arrays go in: `operators` (a, A, M, G, b, rest, D, E, F, flags, rates, kinds) of `Resolved.arrays`, `given`
of `GivenSignals.arrays`, `memory` of `DelayMemory.arrays`. A state is places (H, N, d); where neurons have mass, places
and then velocities (2 H, N, d), whose sums over the copies stand side by side in Q, (N, d) or (N, 2 d). An operator is
(1, rows, columns) for all neurons, (N, rows, columns) for one each, (0, rows, columns) where it is zero, or (1, 1, 1)
where it is a number times the identity of many signals.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numba import njit
from numba.extending import register_jitable

from dynsim.kernels import on_its_own

from ._delay_memory import fill, recall

OK, NOT_FINITE, UNSOLVED = 0, 1, 2
LINEAR, ECHOES = range(2)


class Activation(NamedTuple):
    """An elementwise function of x and its slope as expressions, and the x where the slope is steepest."""

    value: str
    slope: str
    steepest_at: float


# In expressions: x, the functions of `math`, and those that follow. A new activation is a new line.
ACTIVATIONS = {
    "identity": Activation("x", "1.0", 0.0),
    # At 0 the one-sided slope 0 is taken; Newton's method stays semismooth there.
    "relu": Activation("x if x > 0.0 or x != x else 0.0", "1.0 if x > 0.0 else 0.0", 1.0),
    "tanh": Activation("tanh(x)", "1.0 - tanh(x) ** 2", 0.0),
    "sigmoid": Activation("logistic(x)", "logistic(x) * (1.0 - logistic(x))", 0.0),
    "softplus": Activation("max(x, 0.0) + log1p(exp(-abs(x)))", "logistic(x)", math.inf),
    # x tanh(x / 2) = 2
    "silu": Activation("x * logistic(x)", "logistic(x) * (1.0 + x * (1.0 - logistic(x)))", 2.399357280520),
    "gelu": Activation("x * normal(x)", "normal(x) + x * exp(-0.5 * x * x) / sqrt(2.0 * pi)", math.sqrt(2.0)),
    "sin": Activation("sin(x)", "cos(x)", 0.0),
}


@register_jitable
def logistic(x):
    """1 / (1 + exp(-x)) without overflow."""
    small = math.exp(-abs(x))
    return (1.0 if x >= 0.0 else small) / (1.0 + small)


@register_jitable
def normal(x):
    """The distribution function of the normal distribution."""
    return 0.5 * (1.0 + math.erf(x / math.sqrt(2.0)))


def _choosing(field):
    """A function (kind, x) -> the expression of activation number `kind` at x."""
    lines = ["def choose(kind, x):"]
    for kind, activation in enumerate(ACTIVATIONS.values()):
        lines.append(f"    if kind == {kind}: return {getattr(activation, field)}")
    names = {**vars(math), "logistic": logistic, "normal": normal}
    # The source is made of the table above and nothing else.
    exec("\n".join([*lines, "    return x"]), names)
    return names["choose"]


activation_value, activation_slope = _choosing("value"), _choosing("slope")
_activate = njit(nogil=True, error_model="numpy")(activation_value)
_slope = njit(nogil=True, error_model="numpy")(activation_slope)


@njit(cache=True, nogil=True, error_model="numpy")
def activate(kinds, values):
    """Apply the activations number `kinds`, (1,) or (N,) in the order of ACTIVATIONS, to (N, s) numbers in place."""
    for i in range(values.shape[0]):
        kind = kinds[i if len(kinds) > 1 else 0]
        for k in range(values.shape[1]):
            values[i, k] = _activate(kind, values[i, k])


@njit(cache=True, nogil=True, error_model="numpy")
def activation_slopes(kinds, values):
    """Replace (N, s) numbers by the slopes there of the activations number `kinds`, (1,) or (N,)."""
    for i in range(values.shape[0]):
        kind = kinds[i if len(kinds) > 1 else 0]
        for k in range(values.shape[1]):
            values[i, k] = _slope(kind, values[i, k])


@njit(cache=True, nogil=True)
def clear(values):
    """Set all numbers to 0."""
    flat = values.ravel()
    for j in range(len(flat)):
        flat[j] = 0.0


@njit(cache=True, nogil=True, error_model="numpy")
def add_product(operator, x, out):
    """out (N, rows) += operator x, x (N, columns); a matrix (1, 1) is a number for all signals."""
    if len(operator) == 0:
        return
    if operator.size == 1:
        for i in range(len(x)):
            for column in range(x.shape[1]):
                out[i, column] += operator[0, 0, 0] * x[i, column]
        return
    for i in range(len(x)):
        matrix = operator[i if len(operator) > 1 else 0]
        for row in range(matrix.shape[0]):
            total = 0.0
            for column in range(matrix.shape[1]):
                total += matrix[row, column] * x[i, column]
            out[i, row] += total


@njit(cache=True, nogil=True, error_model="numpy")
def emit(R, Q, operators, given, E):
    """E of (2), with (3) put in for q' where it is not part of the state; clamped neurons as given."""
    a, A, M, G, b, rest, _, _, _, flags, _, kinds = operators
    if flags[LINEAR]:
        fill(E, rest)
        add_product(a, R, E)
    else:
        clear(E)
        inner = np.zeros_like(E)
        add_product(A, R, inner)
        activate(kinds, inner)
        add_product(M, inner, E)
        add_product(G, R, E)
    add_product(b, Q, E)
    free, clamped = given[2], given[3]
    for i in range(len(free)):
        if not free[i]:
            for k in range(E.shape[1]):
                E[i, k] = clamped[i, k]


@njit(cache=True, nogil=True, error_model="numpy", inline="always")
def move(q, R, E, D, by_E, F, f):
    """f = q' of (3) for every copy, (H, N, d)."""
    moved = f[0]
    clear(moved)
    add_product(D, R, moved)
    add_product(by_E, E, moved)
    for h in range(len(q) - 1, -1, -1):  # the first copy last: it holds what all have in common
        if h > 0:
            fill(f[h], moved)
        add_product(F, q[h], f[h])


@njit(cache=True, nogil=True, error_model="numpy")
def accelerate(state, rates, f):
    """f = (u, (v - u) gamma / m) of a state (q, u), where f holds v of (3) in its second half."""
    H = len(state) // 2
    for h in range(H):
        for i in range(state.shape[1]):
            for k in range(state.shape[2]):
                u = state[H + h, i, k]
                f[h, i, k] = u
                f[H + h, i, k] = rates[i] * (f[H + h, i, k] - u)


@njit(cache=True, nogil=True, error_model="numpy")
def all_finite(values):
    """Whether no number is infinite or NaN."""
    flat = values.ravel()
    for j in range(len(flat)):
        if not math.isfinite(flat[j]):
            return False
    return True


@njit(cache=True, nogil=True, error_model="numpy", inline="always")
def add_copies(state, Q):
    """Q (N, d) += the sum of places over the copies; of places and velocities, one beside the other, (N, 2 d)."""
    copies = state.shape[0] // (Q.shape[1] // state.shape[2])
    for h in range(state.shape[0]):
        first = h // copies * state.shape[2]
        for i in range(state.shape[1]):
            for k in range(state.shape[2]):
                Q[i, first + k] += state[h, i, k]


def right_hand_side(receive, build):
    """Return the evaluation of equations (1') to (3), of which `receive` does (1').

    `build` is njit where `receive` is compiled, else the evaluation is Python that calls compiled parts.
    """

    @build
    def evaluate(t, q, pairs, operators, given, memory, R, E, f):
        # Of a state q; fills R, E and, if it has a size, f = its derivative; returns OK, NOT_FINITE or UNSOLVED.
        on_its_own()
        rates = operators[10]
        massive = len(rates) > 0
        past_q, past_E, Q = q, E, np.zeros((q.shape[1], q.shape[2] * (1 + massive)))
        delayed = len(memory[6]) > 0
        if delayed:
            past_q, past_E = np.empty_like(q), np.empty_like(E)
            recall(t, memory, past_q, past_E)
            if not (all_finite(past_q) and all_finite(past_E)):
                fill(E, past_E)
                return NOT_FINITE
        if not all_finite(q):
            return NOT_FINITE
        add_copies(q, Q)
        code = receive(t, q, Q, past_q, past_E, pairs, operators, given, delayed, R)
        if code != OK:
            return code
        emit(R, Q, operators, given, E)
        if not (all_finite(R) and all_finite(E)):
            return NOT_FINITE
        if f.size:
            first = len(q) // 2 if massive else 0
            move(q[: len(q) - first], R, E, operators[6], operators[7], operators[8], f[first:])
            if massive:
                accelerate(q, rates, f)
        return OK

    return evaluate
