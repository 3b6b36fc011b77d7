"""How long the next step is."""

from __future__ import annotations

import math

import numpy as np
from numba import njit

SAFETY, SHRINK, GROW = 0.9, 0.2, 5.0
SHORTEST = 10  # spacings of the numbers near t; shorter steps would be made of rounding

# A controller is an array of numbers, so that compiled loops can go on with them: step (dt, or the next length h), and
# for a fixed step where it is counted from and how many were taken; else the last error, whether the last try was
# refused, the length of the last try, and the longest that is allowed.
STEP, ANCHOR, COUNT = 0, 1, 2
LAST_ERROR, REJECTED, USED, LONGEST = 1, 2, 3, 4


@njit(cache=True, nogil=True)
def step_end(adaptive, numbers, t, stop):
    """End of the step that begins at t and may not pass `stop`.

    The way to `stop` is divided evenly where less than two adaptive steps are left; a rest of less than a billionth of
    a step is rounding, not a step.
    """
    if not adaptive:
        end = numbers[ANCHOR] + (numbers[COUNT] + 1) * numbers[STEP]
        return stop if end >= stop - 1e-9 * numbers[STEP] else end
    left = stop - t
    if numbers[STEP] >= left * (1 - 1e-9):
        end = stop
    elif numbers[STEP] > 0.5 * left:
        end = t + 0.5 * left
    else:
        end = t + numbers[STEP]
    numbers[USED] = end - t
    return end


@njit(cache=True, nogil=True)
def step_accepted(adaptive, numbers, error, k, end):
    """Choose the next step after one that was good enough: h <- 0.9 h error^(-0.7/k) last_error^(0.4/k).

    Of fixed steps one that was cut short does not count: the next one ends where it would have ended.
    """
    if not adaptive:
        # Where numbers near t are further apart than that billionth, both sides are the same number.
        if end >= numbers[ANCHOR] + (numbers[COUNT] + 1) * numbers[STEP] - 1e-9 * numbers[STEP]:
            numbers[COUNT] += 1
        return
    error = max(error, 1e-10)
    factor = SAFETY * error ** (-0.7 / k) * numbers[LAST_ERROR] ** (0.4 / k)
    factor = min(1.0 if numbers[REJECTED] else GROW, max(SHRINK, factor))
    # A step that was cut short says little about the length that the error allows.
    longer = numbers[USED] * factor
    longer = max(numbers[STEP], longer) if numbers[USED] < 0.99 * numbers[STEP] and factor >= 1 else longer
    numbers[STEP] = min(longer, numbers[LONGEST])
    numbers[LAST_ERROR], numbers[REJECTED] = max(error, 1e-4), 0.0


@njit(cache=True, nogil=True)
def step_refused(numbers, error, k):
    """Choose a shorter step after one that was not."""
    factor = SHRINK if math.isinf(error) else max(SHRINK, SAFETY * error ** (-1.0 / k))
    numbers[STEP], numbers[REJECTED] = numbers[USED] * factor, 1.0


@njit(cache=True, nogil=True)
def step_restart(adaptive, numbers, t):
    """Count from t on; of adaptive steps the last length is still the best guess."""
    if not adaptive:
        numbers[ANCHOR], numbers[COUNT] = t, 0.0


class FixedSteps:
    """Steps of dt counted from the start, or the last start + k eps, so that times do not drift.

    A step is cut at a breaking point; the next one ends where the whole one would have ended.
    """

    adaptive, k = False, 1

    def __init__(self, dt, t0):
        self.numbers = np.array([dt, t0, 0.0, 0.0])

    def bent(self, t, stop):
        """Whether the next step would be longer without `stop`."""
        dt, anchor, count, _ = self.numbers
        return anchor + (count + 1) * dt >= stop - 1e-9 * dt

    def state(self):
        """The numbers that go on."""
        return {"dt": float(self.numbers[0]), "anchor": float(self.numbers[1]), "count": int(self.numbers[2])}

    def restore(self, state):
        """Take over what `state` returned; dt is the caller's: steps of another length are counted from here on."""
        if float(state["dt"]) == self.numbers[STEP]:
            self.numbers[1:3] = float(state["anchor"]), int(state["count"])


class AdaptiveSteps:
    """Proportional-integral control, k = error order + 1.

    Reference: Hairer, Norsett & Wanner, Solving Ordinary Differential Equations I, II.4; Gustafsson 1991.
    """

    adaptive = True

    def __init__(self, h, order, longest=math.inf):
        self.k = order + 1
        self.numbers = np.array([min(h, longest), 1e-4, 0.0, h, longest])

    def bent(self, t, stop):
        """Whether the next step would be longer without `stop`."""
        return self.numbers[STEP] > 0.5 * (stop - t)

    def state(self):
        """The numbers that go on."""
        h, last_error, rejected = self.numbers[:3]
        return {"h": float(h), "last_error": float(last_error), "rejected": bool(rejected)}

    def restore(self, state):
        """Take over what `state` returned."""
        h = min(float(state["h"]), self.numbers[LONGEST])
        self.numbers[:3] = h, float(state["last_error"]), bool(state["rejected"])


def first_step(machine, longest, order, rtol, atol):
    """Hairer's starting step, by the sizes of q, q' and a difference of q', and whether `longest` made it another."""
    t0, q, f = machine.t, machine.q, machine.f
    scale = atol + rtol * np.abs(q)
    d0, d1 = _size(q, scale), _size(f, scale)
    wanted = 1e-6 if d0 < 1e-5 or d1 < 1e-5 else 0.01 * d0 / d1
    h0 = min(wanted, longest)
    if not h0 > 0.0:  # velocities are too large for any step
        return 0.0, wanted > longest
    try:
        f1, _, _ = machine.evaluate(t0 + h0, q + h0 * f)
    except ArithmeticError:
        return h0 * 1e-3, wanted > longest
    change, root = _size(f1 - f, scale), 1.0 / (order + 1)
    d2 = change / h0
    h1 = max(1e-6, h0 * 1e-3) if max(d1, d2) <= 1e-15 else (0.01 / max(d1, d2)) ** root
    if math.isinf(d2) and math.isfinite(change):  # it is the quotient that is beyond all numbers
        h1 = h0**root * (0.01 / change) ** root
    h = min(100 * h0, h1)
    return min(h, longest), max(wanted, h) > longest


def _size(x, scale):
    """Root mean square of x / scale; what has no scale (a place 0 without atol) says nothing."""
    with np.errstate(over="ignore"):
        ratios = np.divide(x, scale, out=np.zeros_like(x), where=scale > 0)
        size, largest = float(np.sqrt(np.mean(np.square(ratios)))), float(abs(ratios).max())
    if math.isinf(size) and math.isfinite(largest):  # it is the squares that are beyond all numbers
        return largest * float(np.sqrt(np.mean(np.square(ratios / largest))))
    return size
