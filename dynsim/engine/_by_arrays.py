"""The inner loops of a small system by NumPy's arrays: the same operations in the same order, so the same bits."""

from __future__ import annotations

import math
from functools import cache

import numpy as np

from dynsim.kernels import rows_by_arrays

from ._delay_memory import fill, interpolate
from ._equations import add_product, all_finite
from ._received_signals import relate_directly, transmit
from ._stepping import combine


def _fill(target, source):
    target.ravel()[:] = source.ravel()


def _all_finite(values):
    return bool(np.isfinite(values).all())


def _add_product(operator, x, out):
    if len(operator):
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


def _transmit(Phi, E, R):
    for column, signals in zip(Phi.T, E, strict=True):
        weight = column[:, None]
        np.add(R, weight * signals, out=R, where=weight != 0.0)


def _sine(x):
    return math.sin(x) if math.isfinite(x) else math.nan  # where Python's raises an error


def _relate(expressions):
    def relate(q, past_q, pairs, Phi):
        groups, strengths, number, metric, numbers = pairs
        for h in range(len(q)):
            table = strengths[h][groups, groups[:, None]]
            phi = rows_by_arrays(q[h], past_q[h], expressions, number, metric, numbers)
            np.add(Phi, table * phi, out=Phi, where=table != 0.0)
        np.fill_diagonal(Phi, 0.0)

    return relate


@cache
def by_arrays(expressions):
    """What Python calls in place of compiled functions, by these, for expressions of kernels, one a line."""
    return {
        math.sin: _sine,
        fill: _fill,
        all_finite: _all_finite,
        add_product: _add_product,
        combine: _combine,
        interpolate: _interpolate,
        transmit: _transmit,
        relate_directly(expressions): _relate(expressions),
    }
