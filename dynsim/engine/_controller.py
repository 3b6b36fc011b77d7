"""How long the next step is."""

from __future__ import annotations

import math

import numpy as np

SAFETY, SHRINK, GROW = 0.9, 0.2, 5.0


def error_norm(error, size, rtol, atol):
    """Root mean square of error / (atol + rtol size); infinite if anything is not finite."""
    with np.errstate(all="ignore"):
        ratio = error / (atol + rtol * size)
        norm = math.sqrt(np.mean(ratio * ratio))
    return norm if math.isfinite(norm) else math.inf


class FixedSteps:
    """Steps of dt counted from the last cut, so that times do not drift; the last one before a cut is shorter."""

    def __init__(self, dt, t0):
        self.dt, self.anchor, self.count = dt, t0, 0

    def end(self, t, stop):
        """End of the step that begins at t and may not pass `stop`."""
        end = self.anchor + (self.count + 1) * self.dt
        # A rest of less than a billionth of a step is rounding, not a step.
        return stop if end > stop - 1e-9 * self.dt else end

    def bent(self, t, stop):
        """Whether the next step would be longer without `stop`."""
        return self.anchor + (self.count + 1) * self.dt > stop - 1e-9 * self.dt

    def accepted(self, error):
        """Note that the step was taken."""
        self.count += 1

    def restart(self, t):
        """Count from a cut at t."""
        self.anchor, self.count = t, 0

    def state(self):
        """The numbers that go on."""
        return {"dt": self.dt, "anchor": self.anchor, "count": self.count}

    def restore(self, state):
        """Take over what `state` returned; dt is the caller's."""
        self.anchor, self.count = float(state["anchor"]), int(state["count"])


class AdaptiveSteps:
    """Proportional-integral control: h <- 0.9 h error^(-0.7/k) last_error^(0.4/k), k = error order + 1.

    Reference: Hairer, Norsett & Wanner, Solving Ordinary Differential Equations I, II.4; Gustafsson 1991.
    """

    def __init__(self, h, order):
        self.h, self.k = h, order + 1
        self.last_error, self.rejected, self.used = 1e-4, False, h

    def end(self, t, stop):
        """End of the next step; the way to `stop` is divided evenly where less than two steps are left."""
        left = stop - t
        if self.h >= left * (1 - 1e-9):
            end = stop
        elif self.h > 0.5 * left:
            end = t + 0.5 * left
        else:
            end = t + self.h
        self.used = end - t
        return end

    def bent(self, t, stop):
        """Whether the next step would be longer without `stop`."""
        return self.h > 0.5 * (stop - t)

    def accepted(self, error):
        """Choose the next step after one that was good enough."""
        error = max(error, 1e-10)
        factor = SAFETY * error ** (-0.7 / self.k) * self.last_error ** (0.4 / self.k)
        factor = min(1.0 if self.rejected else GROW, max(SHRINK, factor))
        # A step that was cut short says little about the length that the error allows.
        self.h = max(self.h, self.used * factor) if self.used < 0.99 * self.h and factor >= 1 else self.used * factor
        self.last_error, self.rejected = max(error, 1e-4), False

    def refused(self, error):
        """Choose a shorter step after one that was not."""
        factor = SHRINK if math.isinf(error) else max(SHRINK, SAFETY * error ** (-1.0 / self.k))
        self.h, self.rejected = self.used * factor, True

    def restart(self, t):
        """A cut changes nothing: the last step length is still the best guess."""

    def state(self):
        """The numbers that go on."""
        return {"h": self.h, "last_error": self.last_error, "rejected": self.rejected}

    def restore(self, state):
        """Take over what `state` returned."""
        self.h, self.last_error = float(state["h"]), float(state["last_error"])
        self.rejected = bool(state["rejected"])


def first_step(field, t0, q, f, longest, order, rtol, atol):
    """Hairer's starting step: compares the sizes of q, q' and a difference of q'."""
    scale = atol + rtol * np.abs(q)
    d0, d1 = _rms(q / scale), _rms(f / scale)
    h0 = min(1e-6 if d0 < 1e-5 or d1 < 1e-5 else 0.01 * d0 / d1, longest)
    try:
        f1, _, _ = field.evaluate(t0 + h0, q + h0 * f)
    except ArithmeticError:
        return h0 * 1e-3
    d2 = _rms((f1 - f) / scale) / h0
    h1 = max(1e-6, h0 * 1e-3) if max(d1, d2) <= 1e-15 else (0.01 / max(d1, d2)) ** (1.0 / (order + 1))
    return min(100 * h0, h1, longest)


def _rms(x):
    return float(np.sqrt(np.mean(np.square(x))))
