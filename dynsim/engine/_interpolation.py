"""Interpolation in time: Lobatto nodes within a step, and steps as polynomials."""

from __future__ import annotations

from functools import cache

import numpy as np
from numba import njit
from numpy.polynomial import legendre

from dynsim._check import as_array, as_flag, as_number, refusal

from ._recorder import time_slack


@njit(cache=True, nogil=True)
def lagrange(at, x, barycentric):
    """Weights of the values at nodes x in the polynomial's value at one place."""
    weights = np.zeros(len(x))
    for k in range(len(x)):
        if at == x[k]:
            weights[k] = 1.0
            return weights
    total = 0.0
    for k in range(len(x)):
        weights[k] = barycentric[k] / (at - x[k])
        total += weights[k]
    for k in range(len(x)):
        weights[k] /= total
    return weights


class Nodes:
    """n Gauss-Lobatto nodes on [0, 1] with barycentric weights; both ends are nodes."""

    def __init__(self, n):
        interior = legendre.legroots(legendre.legder([0.0] * (n - 1) + [1.0])) if n > 2 else []
        self.x = np.concatenate([[0.0], 0.5 + 0.5 * np.sort(np.real(interior)), [1.0]])
        self.barycentric = _barycentric(self.x)
        # Error estimate: the node next to the middle against the polynomial through all the others.
        left_out = int(np.argmin(np.abs(self.x - 0.5)))
        others = np.delete(self.x, left_out)
        self.defect = np.ones(n)
        self.defect[np.arange(n) != left_out] = -lagrange(self.x[left_out], others, _barycentric(others))

    def weights(self, x):
        """Values at the nodes times these weights sum to the polynomial's value at x."""
        return lagrange(float(x), self.x, self.barycentric)


@cache
def lobatto(n):
    """The n Lobatto nodes, made once."""
    return Nodes(n)


def _barycentric(x):
    difference = x[:, None] - x
    np.fill_diagonal(difference, 1.0)
    return 1.0 / difference.prod(axis=1)


class Step:
    """One accepted step as a polynomial: q(t + theta h) = q0 + h sum_k coefficients_k theta^(k + 1), q a state.

    Its first `copies` rows are places.

    `E` are the emitted signals at its Lobatto nodes, if there is a delay; `R` is that of its begin, where at delay 0
    iterations start: elsewhere they may end at another solution.
    """

    __slots__ = ("E", "R", "coefficients", "copies", "end", "h", "q0", "t")

    def __init__(self, t, end, q0, K, P, E=None, R=None, copies=None):
        self.t, self.h, self.end, self.q0, self.E, self.R = t, end - t, end, q0, E, R
        self.copies = len(q0) if copies is None else copies
        self.coefficients = (P.T @ K[: len(P)]).reshape(-1, *q0.shape)

    def places(self, t):
        """q (H, N, d) at one time."""
        return self.state(t)[: self.copies]

    def state(self, t):
        """Places, and velocities where neurons have mass, at one time."""
        theta = (t - self.t) / self.h
        powers = self.h * theta ** np.arange(1, len(self.coefficients) + 1)
        return self.q0 + np.tensordot(powers, self.coefficients, 1)


class DenseOutput:
    """Places and emitted signals at any time of a run: `solution.sol`.

    Calling it with a time gives q (N, d), or (H, N, d) with copies; with times (K,), one more axis in front.
    `emitted(t)` gives E (N, s) at one time; where it jumps, E is the limit from the right (from the left with
    left=True and at the run's last time). `breaks` (K, 2) are the breaking points, times and the lowest derivative of E
    or q that jumps there.
    """

    def __init__(self, shape, signals, steps, t_max, breaks=()):
        self._shape, self._signals, self._steps, self._neurons = shape, signals, steps, shape[-2]
        self._starts = np.array([step.t for step in steps])
        self.t_min, self.t_max, self.breaks = steps[0].t, t_max, np.reshape(breaks, (-1, 2))

    def __call__(self, t):
        times = as_array(t, "t", dtype=np.float64, finite=False)
        if times.ndim > 1:
            raise refusal("t", f"shape {times.shape}", "one time or (K,)")
        places = [self._find(time).places(time) for time in times.reshape(-1).tolist()]  # numbers of Python
        return np.array(places).reshape(*times.shape, *self._shape)

    def emitted(self, t, *, left=False):
        """E (N, s) at one time."""
        t = as_number(t, "t")
        step = self._find(t, "left" if as_flag(left, "left") else "right")
        if step.E is None:
            return self._signals.at(t, step.state(t), step.t + 0.5 * step.h, step.R)[1]
        weights = lobatto(len(step.E)).weights((t - step.t) / step.h)
        return np.tensordot(weights, step.E, 1)[: self._neurons]

    def _find(self, t, side="right"):
        slack = time_slack(self.t_min, self.t_max)
        if not self.t_min - slack <= t <= self.t_max + slack:
            raise refusal("t", repr(t), f"a time of the run, {self.t_min!r} to {self.t_max!r}")
        return self._steps[max(int(np.searchsorted(self._starts, t, side=side)) - 1, 0)]
