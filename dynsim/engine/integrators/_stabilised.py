"""Tables of the Runge-Kutta-Chebyshev method for any number of stages, and how many a step needs."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.polynomial import Chebyshev

from dynsim._check import as_array, as_count, as_number

from .._failure import Misbehaved
from ._method import Method

DAMPING = 2.0 / 13.0
FEWEST_STAGES = (
    3  # with two, the error's estimate is blind to what depends on time alone: both ends of the step are all
)
MOST_STAGES = 200  # of which the rounding errors, some s^2 roundings, are far below any tolerance in use
STEPS_BETWEEN = 25  # accepted steps after which the spectral radius is estimated anew
ITERATIONS = 50
AGREEING = 0.05  # two estimates of the power iteration that differ by less end it
SAFETY = 1.2  # of an estimate, which comes from below and is used for a while


@dataclass(frozen=True, eq=False)
class Stabilised(Method):
    """A method of order 2 whose stability grows with the square of the number of stages, which every step chooses.

    For motion along gradients, whose Jacobian has real negative eigenvalues: a step h of s stages is stable up to
    h rho = 2/3 (s^2 - 1) (1 - 2/15 * 2/13), rho the spectral radius, which a power iteration on differences of the
    right-hand side estimates.
    """

    name: str
    reference: str = ""

    order, error_order, adaptive, nodes, stages = 2, 2, True, 3, FEWEST_STAGES + 1

    def arrays(self, rtol, atol, stages=FEWEST_STAGES):
        """As `Tableau.arrays`; the last row of A is b, so that a step's last stage is the next one's first."""
        A, b, c, b_error, P = chebyshev_table(stages)
        return A, b, c, b_error, P, np.array([1.0, rtol, atol, 3.0, 1.0])

    def stage_choice(self):
        """What chooses the number of stages."""
        return StageChoice(self)


@cache
def chebyshev_table(s):
    """A, b, c, weights of the error and of the interpolant for s stages and one more, at the end of the step.

    Stability polynomial a_s + b_s T_s(w0 + w1 z), from the three-term recursion of T_j (Verwer et al. 1990).
    """
    w0 = 1.0 + DAMPING / s**2
    T = [Chebyshev.basis(j) for j in range(s + 1)]
    value, first, second = (np.array([polynomial.deriv(k)(w0) for polynomial in T]) for k in range(3))
    w1 = first[s] / second[s]
    b = np.empty(s + 1)
    b[2:] = second[2:] / first[2:] ** 2
    b[0], b[1] = b[2], 1.0 / w0
    a = 1.0 - b * value
    rows = np.zeros((s + 1, s + 1))  # stage j in terms of the derivatives at the stages before
    rows[1, 0] = b[1] * w1
    for j in range(2, s + 1):
        mu, nu, slope = 2.0 * b[j] * w0 / b[j - 1], -b[j] / b[j - 2], 2.0 * b[j] * w1 / b[j - 1]
        rows[j] = mu * rows[j - 1] + nu * rows[j - 2]
        rows[j, j - 1] += slope
        rows[j, 0] -= a[j - 1] * slope
    weights, c = rows[s].copy(), rows.sum(axis=1)
    c[-1] = 1.0
    begin, end = np.eye(s + 1)[0], np.eye(s + 1)[s]
    # Of local order 3: 0.8 (q - q_new) + 0.4 h (q' + q'_new), and the cubic through both ends.
    b_error = 0.4 * (begin + end) - 0.8 * weights
    P = np.stack([begin, 3.0 * weights - 2.0 * begin - end, begin + end - 2.0 * weights], axis=1)
    return tuple(np.ascontiguousarray(array) for array in (rows, weights, c, b_error, P))


def stable_stages(product):
    """Stages that keep a step stable whose length times the spectral radius is `product`.

    >>> stable_stages(0.0), stable_stages(100.0)
    (3, 13)
    """
    return max(FEWEST_STAGES, math.ceil(math.sqrt(1.0 + 1.54 * product)))


def longest_product(stages):
    """The largest product for which `stable_stages` gives no more than `stages`."""
    return (stages**2 - 1) / 1.54


class StageChoice:
    """Chooses the stages of every step of a machine, and keeps what it knows of the spectral radius."""

    def __init__(self, method):
        self.method = method
        self.radius, self.since, self.direction = 0.0, STEPS_BETWEEN, None

    def begin(self, machine, h):
        """Choose the table of a step of at most h, and return how long it may be."""
        if self.since >= STEPS_BETWEEN:
            self._estimate(machine)
            self.since = 0
        if h * self.radius > longest_product(MOST_STAGES):
            h = longest_product(MOST_STAGES) / self.radius
        machine.take_table(self.method.arrays(*machine.tolerances, stable_stages(h * self.radius)))
        return h

    def tried(self, refused):
        """A step was taken, or refused: then the radius may have grown."""
        self.since = STEPS_BETWEEN if refused else self.since + 1

    def _estimate(self, machine):
        """The spectral radius of the Jacobian by a power iteration on differences of the right-hand side."""
        t, q, f = machine.t, machine.q, machine.f
        direction = f if self.direction is None else self.direction
        if not np.any(direction):
            direction = np.random.default_rng(0).standard_normal(q.shape)
        size = math.sqrt(np.finfo(float).eps) * max(float(np.linalg.norm(q)), math.sqrt(q.size))
        radius = 0.0
        for _ in range(ITERATIONS):
            norm = float(np.linalg.norm(direction))
            try:
                moved = machine.evaluate(t, q + direction * (size / norm))[0] - f
            except Misbehaved:
                raise
            except ArithmeticError:  # there is no motion there: the step itself will say so, or be refused
                break
            before, radius = radius, float(np.linalg.norm(moved)) / size
            if not radius > 0.0:
                break
            direction = moved
            if abs(radius - before) <= AGREEING * radius:
                break
        self.radius, self.direction = SAFETY * radius, np.array(direction / np.linalg.norm(direction))

    def state(self):
        """The numbers that go on."""
        direction = None if self.direction is None else self.direction.copy()
        return {"radius": self.radius, "since": self.since, "direction": direction}

    def restore(self, state):
        """Take over what `state` returned."""
        self.radius, self.since = float(state["radius"]), int(state["since"])
        self.direction = None if state["direction"] is None else np.array(state["direction"], dtype=float)

    @staticmethod
    def expect(state, shape):
        """Refuse what is no state."""
        as_number(state["radius"], "resume stages radius", minimum=0)
        as_count(state["since"], "resume stages since", minimum=0)
        if state["direction"] is not None:
            as_array(state["direction"], "resume stages direction", shape, np.float64)
