"""Equations (1') to (3) of a small system on arrays, compiled: one evaluation without a call of Python.

`compiled(expressions)` returns the function for expressions of kernels, one a line; all built-in kernels share one.
Tuples go in: `pairs` (groups, strengths (H, G, G), number of the expression, metric, numbers), `operators` (a, A, M, G,
b, rest, D, E, F, flags), `given` (drive times, drive values, free (N,), clamped E), `memory` (see `arguments`).
"""

from __future__ import annotations

import math
from functools import cache

import numpy as np
from numba import njit

from dynsim.kernels import fill_row

from . import _ring
from ._activation import ACTIVATIONS

OK, NOT_FINITE, SINGULAR = 0, 1, 2
ACTIVATION, LINEAR, ECHOES = range(3)
IDENTITY, RELU, TANH, SIGMOID, SOFTPLUS, SILU, GELU, SIN = range(len(ACTIVATIONS))


@njit(cache=True, nogil=True, error_model="numpy")
def activate(kind, x):
    """The activation number `kind`, in the order of ACTIVATIONS, of one number."""
    if kind == RELU:
        return max(x, 0.0)
    if kind == TANH:
        return math.tanh(x)
    if kind == SIGMOID:
        return _expit(x)
    if kind == SOFTPLUS:
        return max(x, 0.0) + math.log1p(math.exp(-abs(x)))
    if kind == SILU:
        return x * _expit(x)
    if kind == GELU:
        return x * 0.5 * (1.0 + math.erf(x / math.sqrt(2.0)))
    if kind == SIN:
        return math.sin(x)
    return x


@njit(cache=True, nogil=True, error_model="numpy")
def _expit(x):
    small = math.exp(-abs(x))
    return (1.0 if x >= 0.0 else small) / (1.0 + small)


@njit(cache=True, nogil=True)
def fill(target, source):
    """Copy one contiguous array into another of its size, whatever their shapes: far less to compile than slices."""
    to, of = target.ravel(), source.ravel()
    for j in range(len(to)):
        to[j] = of[j]


@njit(cache=True, nogil=True, error_model="numpy")
def add_product(operator, x, out):
    """out (N, rows) += operator x: one matrix (1, rows, columns) for all neurons or one each, x (N, columns)."""
    for i in range(len(x)):
        matrix = operator[i if len(operator) > 1 else 0]
        for row in range(matrix.shape[0]):
            total = out[i, row]
            for column in range(matrix.shape[1]):
                total += matrix[row, column] * x[i, column]
            out[i, row] = total


@njit(cache=True, nogil=True, error_model="numpy")
def emit(R, Q, operators, given, E):
    """E of (2), with (3) put in for q'; clamped neurons as given."""
    a, A, M, G, b, rest, _, _, _, flags = operators
    if flags[LINEAR]:
        fill(E, rest)
        add_product(a, R, E)
    else:
        fill(E, np.zeros_like(E))
        inner = np.zeros_like(E)
        add_product(A, R, inner)
        for i in range(inner.shape[0]):
            for k in range(inner.shape[1]):
                inner[i, k] = activate(flags[ACTIVATION], inner[i, k])
        add_product(M, inner, E)
        add_product(G, R, E)
    add_product(b, Q, E)
    free, clamped = given[2], given[3]
    for i in range(len(free)):
        if not free[i]:
            for k in range(E.shape[1]):
                E[i, k] = clamped[i, k]


@njit(cache=True, nogil=True, error_model="numpy")
def add_drive(t, given, R):
    """R += I(t), from samples: linear between, held outside; one sample is a constant, none is no drive."""
    times, values = given[0], given[1]
    if len(times) == 0:
        return
    k = np.searchsorted(times, t, side="right") - 1
    later, weight = min(k + 1, len(times) - 1), 0.0
    if k < 0:
        k = later
    elif later > k:
        weight = (t - times[k]) / (times[later] - times[k])
    for i in range(R.shape[0]):
        for j in range(R.shape[1]):
            R[i, j] += (1.0 - weight) * values[k, i, j] + weight * values[later, i, j]


@njit(cache=True, nogil=True, error_model="numpy")
def eliminate(matrix, x):
    """Solve matrix y = x in place by Gaussian elimination with partial pivoting; False if a pivot is 0."""
    n = len(x)
    for k in range(n):
        pivot = k
        for i in range(k + 1, n):
            if abs(matrix[i, k]) > abs(matrix[pivot, k]):
                pivot = i
        if matrix[pivot, k] == 0.0:
            return False
        if pivot != k:
            for j in range(k, n):
                matrix[k, j], matrix[pivot, j] = matrix[pivot, j], matrix[k, j]
            x[k], x[pivot] = x[pivot], x[k]
        for i in range(k + 1, n):
            factor = matrix[i, k] / matrix[k, k]
            if factor != 0.0:
                for j in range(k + 1, n):
                    matrix[i, j] -= factor * matrix[k, j]
                x[i] -= factor * x[k]
    for k in range(n - 1, -1, -1):
        total = x[k]
        for j in range(k + 1, n):
            total -= matrix[k, j] * x[j]
        x[k] = total / matrix[k, k]
    return True


@njit(cache=True, nogil=True, error_model="numpy")
def echo_matrix(Phi, operators, free):
    """I - Phi a with a = 0 for clamped neurons: row (i, r), column (j, c)."""
    a = operators[0]
    n, s = len(Phi), a.shape[1]
    matrix = np.zeros((n * s, n * s))
    for i in range(n):
        for j in range(n):
            if free[j]:
                block = a[j if len(a) > 1 else 0]
                for r in range(s):
                    for c in range(s):
                        matrix[i * s + r, j * s + c] = -Phi[i, j] * block[r, c]
        for r in range(s):
            matrix[i * s + r, i * s + r] += 1.0
    return matrix


@njit(cache=True, nogil=True, error_model="numpy")
def all_finite(values):
    """Whether no number is infinite or NaN."""
    flat = values.ravel()
    for j in range(len(flat)):
        if not math.isfinite(flat[j]):
            return False
    return True


@cache
def compiled(expressions):
    """The evaluation of the right-hand side for a kernel, see above."""

    @njit(nogil=True, error_model="numpy")
    def evaluate(t, q, pairs, operators, given, memory, R, E, f):
        # Fills R, E and, if it has a size, f = q'; returns OK, NOT_FINITE or SINGULAR.
        groups, strengths, number, metric, numbers = pairs
        times, ring_q, ring_E, firsts, current, origin, phases, quiet_q, quiet_E, x, barycentric = memory[:11]
        H, N, d = q.shape
        delayed = len(phases) > 0
        past_q, past_E = q, np.zeros_like(E)
        if delayed:
            past_q = np.empty_like(q)
            past, _ = _ring.past_time(t, current[0], origin, phases)
            if current[0] < len(phases):
                fill(past_q, quiet_q)
                fill(past_E, quiet_E)
            else:
                _ring.look_up(past, times, ring_q, ring_E, firsts, x, barycentric, past_q.ravel(), past_E.ravel())
        if not (all_finite(q) and all_finite(past_q) and all_finite(past_E)):
            return NOT_FINITE
        Phi, row, axes, Q = np.zeros((N, N)), np.empty(N), np.empty((d, N)), np.zeros((N, d))
        for h in range(H):
            for j in range(N):
                for k in range(d):
                    axes[k, j] = past_q[h, j, k]
            for i in range(N):
                for k in range(d):
                    Q[i, k] += q[h, i, k]
            for i in range(N):
                fill_row(q[h, i], axes, expressions, number, metric, numbers, row)
                for j in range(N):
                    strength = strengths[h, groups[j], groups[i]]
                    if strength != 0.0:  # 0 means no effect at all, where phi is infinite too
                        Phi[i, j] += strength * row[j]
        for i in range(N):
            Phi[i, i] = 0.0
        fill(R, np.zeros_like(R))
        if not delayed:
            emit(R, Q, operators, given, past_E)
        for i in range(N):
            for j in range(N):
                weight = Phi[i, j]
                if weight != 0.0:
                    for k in range(R.shape[1]):
                        R[i, k] += weight * past_E[j, k]
        add_drive(t, given, R)
        if not delayed and operators[9][ECHOES]:
            if not all_finite(R):
                return NOT_FINITE
            if not eliminate(echo_matrix(Phi, operators, given[2]), R.ravel()):
                return SINGULAR
        emit(R, Q, operators, given, E)
        if not (all_finite(R) and all_finite(E)):
            return NOT_FINITE
        if f.size:
            moved = np.zeros((N, d))
            add_product(operators[6], R, moved)
            add_product(operators[7], E, moved)
            for h in range(H):
                fill(f[h], moved)
                add_product(operators[8], q[h], f[h])
        return OK

    return evaluate
