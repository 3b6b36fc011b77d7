"""Equations of motion of the parameters under forces, one class each; every kind of parameter has a rate."""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np

from dynsim._check import as_count, as_flag, as_instance, as_number, describe, expect_keys, refusal
from dynsim.layers import Parameter

# Strengths couple all pairs at once: they move at a tenth of the coordinates' rate, ordinary numbers likewise.
RATES = {"places": 1.0, "strengths": 0.1, "weights": 0.1, "bias": 0.1, "norm": 0.1}


class Overdamped:
    """Friction alone: dx/dt = force; one step is gradient descent.

    With `sphere` every place keeps its distance from the origin: a force of constraint cancels the radial part. That
    part is the same for all neurons of the neighbouring layer, so it moves all weights of a row at once, and in wide
    layers of many copies it outweighs the rest.

    Examples
    --------
    >>> from dynsim.layers import Parameter
    >>> p = Parameter(np.array([1.0]), "places"); p.gradient[:] = 2.0
    >>> Overdamped([p]).step(0.1); p.value
    array([0.8])
    """

    def __init__(self, parameters: Iterable[Parameter], rates: dict | None = None, *, sphere: bool = False):
        self.parameters = _parameters(parameters)
        as_flag(sphere, "sphere")
        self.held = [p for p in self.parameters if sphere and p.kind == "places"]
        if rates is not None:
            expect_keys(rates, list(RATES), "rates")
            rates = {kind: as_number(rate, f"rate of {kind}", minimum=0) for kind, rate in rates.items()}
        self.rates = [{**RATES, **(rates or {})}[parameter.kind] for parameter in self.parameters]

    def state(self) -> dict:
        """All that later steps depend on, besides the parameters."""
        return {}

    def restore(self, state: dict):
        """Take over what `state` returned."""

    def step(self, rate: float):
        """Move every parameter by one step of the given rate."""
        radii = [np.linalg.norm(p.value, axis=-1, keepdims=True) for p in self.held]
        for p, radius in zip(self.held, radii, strict=True):
            along = np.sum(p.gradient * p.value, axis=-1, keepdims=True)
            p.gradient -= p.value * np.divide(along, radius**2, out=np.zeros_like(along), where=radius > 0)
        self._move(rate)
        for p, radius in zip(self.held, radii, strict=True):
            now = np.linalg.norm(p.value, axis=-1, keepdims=True)
            p.value *= np.divide(radius, now, out=np.zeros_like(now), where=now > 0)

    def _move(self, rate):
        for parameter, factor in zip(self.parameters, self.rates, strict=True):
            parameter.value -= rate * factor * parameter.gradient


class Inertial(Overdamped):
    """Mass and friction: v' = -friction v + force, x' = v (gradient descent with momentum 1 - friction)."""

    def __init__(
        self, parameters: Iterable[Parameter], rates: dict | None = None, *, sphere: bool = False, friction: float = 0.1
    ):
        super().__init__(parameters, rates, sphere=sphere)
        self.friction = as_number(friction, "friction", minimum=0)
        self.velocities = [np.zeros_like(parameter.value) for parameter in self.parameters]

    def state(self) -> dict:
        """Velocities."""
        return {"velocities": self.velocities}

    def restore(self, state: dict):
        """Take over what `state` returned."""
        _fill(self.velocities, state["velocities"])

    def _move(self, rate):
        for parameter, factor, velocity in zip(self.parameters, self.rates, self.velocities, strict=True):
            velocity *= 1 - self.friction
            velocity -= parameter.gradient
            parameter.value += rate * factor * velocity


class Adam(Overdamped):
    """Inertia in a metric of past forces (Kingma & Ba, ICLR 2015), beta = (0.9, 0.999), epsilon = 1e-8."""

    def __init__(
        self,
        parameters: Iterable[Parameter],
        rates: dict | None = None,
        *,
        sphere: bool = False,
        beta1: float = 0.9,
        beta2: float = 0.999,
        epsilon: float = 1e-8,
    ):
        super().__init__(parameters, rates, sphere=sphere)
        self.beta1, self.beta2 = as_number(beta1, "beta1", minimum=0), as_number(beta2, "beta2", minimum=0)
        self.epsilon, self.steps = as_number(epsilon, "epsilon", minimum=0), 0
        self.first = [np.zeros_like(parameter.value) for parameter in self.parameters]
        self.second = [np.zeros_like(parameter.value) for parameter in self.parameters]

    def state(self) -> dict:
        """Both averages and the number of steps."""
        return {"steps": self.steps, "first": self.first, "second": self.second}

    def restore(self, state: dict):
        """Take over what `state` returned."""
        self.steps = int(state["steps"])
        _fill(self.first, state["first"])
        _fill(self.second, state["second"])

    def _move(self, rate):
        self.steps += 1
        correction1, correction2 = 1 - self.beta1**self.steps, 1 - self.beta2**self.steps
        for p, factor, first, second in zip(self.parameters, self.rates, self.first, self.second, strict=True):
            first *= self.beta1
            first += (1 - self.beta1) * p.gradient
            second *= self.beta2
            second += (1 - self.beta2) * np.square(p.gradient)
            p.value -= (rate * factor / correction1) * first / (np.sqrt(second / correction2) + self.epsilon)


def _parameters(parameters):
    if not isinstance(parameters, Iterable) or isinstance(parameters, str | np.ndarray):
        raise refusal("parameters", describe(parameters), "a list of Parameter", error=TypeError)
    return [as_instance(parameter, Parameter, "parameters") for parameter in parameters]


def _fill(arrays, stored):
    for array, value in zip(arrays, stored, strict=True):
        array[...] = value


MOTIONS = {"adam": Adam, "inertial": Inertial, "overdamped": Overdamped}


def one_cycle(
    step: int, steps: int, *, peak: float, start: float = 0.04, end: float = 1e-4, rise: float = 0.3
) -> float:
    """Return the rate at a step: cosine from start * peak up to peak, then down to end * peak (Smith, 2018).

    Examples
    --------
    >>> [round(one_cycle(step, 11, peak=1.0), 2) for step in (0, 3, 10)]
    [0.04, 1.0, 0.0]
    """
    steps, step = as_count(steps, "steps"), as_count(step, "step", minimum=0)
    for name, value in {"peak": peak, "start": start, "end": end, "rise": rise}.items():
        as_number(value, name, minimum=0)
    place, top = step / max(1, steps - 1), rise
    if place < top:
        return peak * (start + (1 - start) * (1 - math.cos(math.pi * place / top)) / 2)
    return peak * (end + (1 - end) * (1 + math.cos(math.pi * (place - top) / (1 - top))) / 2)
