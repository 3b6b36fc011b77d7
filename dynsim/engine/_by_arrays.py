"""The inner loops of a small system by NumPy's arrays: the same operations in the same order, so the same bits."""

from __future__ import annotations

import math
from functools import cache

import numpy as np

from dynsim.kernels import in_python, rows_by_arrays

from ._delay_memory import fill, interpolate
from ._equations import accelerate, activate, activation_value, add_copies, add_product, all_finite, clear
from ._received_signals import relate_directly, transmit
from ._stepping import combine, interpolation_error, scaled_norm


def _fill(target, source):
    target.ravel()[:] = source.ravel()


def _clear(values):
    values[...] = 0.0


def _all_finite(values):
    return bool(np.isfinite(values).all())


def _add_product(operator, x, out):
    if operator.size == 1:
        out += operator[0, 0, 0] * x
    elif len(operator):
        out += _sum_in_order(operator[:, :, column] * x[:, None, column] for column in range(operator.shape[2]))


def _combine(h, weights, K, count, q, out):
    out[:] = q + _sum_in_order((h * weights[k]) * K[k] for k in range(count) if weights[k] != 0.0)


def _interpolate(weights, values, out):
    out[:] = _sum_in_order(weights[k] * values[k] for k in range(len(weights)) if weights[k] != 0.0)


def _sum_in_order(terms):
    total = 0.0
    for term in terms:
        total = total + term
    return total


def _add_copies(state, Q):
    Q += np.concatenate([_sum_in_order(part) for part in np.split(state, Q.shape[1] // state.shape[2])], axis=1)


def _accelerate(state, rates, f):
    q, u = np.split(state, 2)
    f[: len(q)] = u
    f[len(q) :] = rates[:, None] * (f[len(q) :] - u)


def _transmit(Phi, E, R):
    weights = Phi.T[:, :, None]
    terms = np.where(weights != 0.0, weights * E[:, None], 0.0)
    R[...] = np.add.accumulate(np.concatenate([R[None], terms]))[-1]


def _activate(kinds, values):
    value = _values()
    kinds = np.repeat(np.broadcast_to(kinds, len(values)), values.shape[1]).tolist()
    numbers = [value(kind, x) for kind, x in zip(kinds, values.ravel().tolist(), strict=True)]
    values[...] = np.reshape(numbers, values.shape)


@cache
def _values():
    return in_python(activation_value, {math.sin: _sine})


def _sine(x):
    return math.sin(x) if math.isfinite(x) else math.nan  # where Python's raises an error


def _scaled_norm(error, before, after, rtol, atol):
    before, after = abs(before), abs(after)
    ratios = error / (atol + rtol * np.where(after > before, after, before))
    terms = np.where(error == 0.0, 0.0, ratios * ratios)
    norm = math.sqrt(np.add.accumulate(terms)[-1] / len(error))
    return norm if math.isfinite(norm) else math.inf


def _interpolation_error(E_nodes, defect, rtol, atol):
    largest = np.zeros(E_nodes.shape[1])
    for values in abs(E_nodes):
        largest = np.where(values > largest, values, largest)
    missed = _sum_in_order(weight * values for weight, values in zip(defect, E_nodes, strict=True))
    return _scaled_norm(missed, largest, largest, rtol, atol)


def _relate(expressions):
    def relate(q, past_q, pairs, Phi):
        groups, strengths, number, metric, numbers = pairs
        for h in range(len(strengths)):
            table = strengths[h][groups, groups[:, None]]
            phi = rows_by_arrays(q[h], past_q[h], expressions, number, metric, numbers)
            np.add(Phi, table * phi, out=Phi, where=table != 0.0)
        np.fill_diagonal(Phi, 0.0)

    return relate


@cache
def by_arrays(expressions):
    """A dict from compiled functions to what Python calls instead; `expressions` are those of kernels, one a line."""
    return {
        accelerate: _accelerate,
        activate: _activate,
        add_copies: _add_copies,
        clear: _clear,
        fill: _fill,
        interpolation_error: _interpolation_error,
        scaled_norm: _scaled_norm,
        all_finite: _all_finite,
        add_product: _add_product,
        combine: _combine,
        interpolate: _interpolate,
        transmit: _transmit,
        relate_directly(expressions): _relate(expressions),
    }
