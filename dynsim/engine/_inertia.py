"""Mass, friction and temperature of neurons: the full equation of motion, of which (3) is the case without mass."""

from __future__ import annotations

import numpy as np

from dynsim._check import as_array, as_number, describe, refusal


class Inertia:
    """Mass (N,), friction (N,) and temperature of a system's neurons.

    With v = D R + E_op E + F q of (3) and a force f (of a teacher), a neuron of mass m and friction gamma obeys

        m q'' = -gamma (q' - v) + f + sqrt(2 gamma T) xi(t),

    and where all masses are 0, q' = v + f / gamma + sqrt(2 T / gamma) xi(t).

    `massive` says whether velocities belong to the state.
    """

    def __init__(self, mass, friction, temperature, *, groups, neurons, number_of_groups):
        sizes = groups, neurons, number_of_groups
        self.mass, self.friction = _of_neurons(mass, "mass", *sizes), _of_neurons(friction, "friction", *sizes)
        self.massive = bool(self.mass.any())
        if self.massive and not self.mass.all():
            neuron = int(np.argmin(self.mass))
            raise refusal("mass", f"0 for neuron {neuron} beside masses above 0", "all 0 or all above 0")
        self.temperature = as_temperature(temperature)
        self.warm = not is_cold(self.temperature)

    def expect_friction(self, what):
        """Refuse neurons without mass that a force or noise would move with infinite velocity."""
        if not self.massive and not self.friction.all():
            neuron = int(np.argmin(self.friction))
            raise refusal("friction", f"0 for neuron {neuron}, which has no mass", f"above 0, as {what} moves it")

    def rates(self):
        """gamma / m (N,) of neurons with mass, else (0,), for compiled loops."""
        return self.friction / self.mass if self.massive else np.empty(0)

    def mobility(self):
        """What a force is multiplied by: 1 / m where velocities change, 1 / gamma where places do, (N, 1)."""
        return 1.0 / (self.mass if self.massive else self.friction)[:, None]

    def amplitude(self, t):
        """Of the noise in the derivatives that it enters, (N, 1): sqrt(2 gamma T) / m, or sqrt(2 T / gamma)."""
        T = temperature_at(self.temperature, t)
        if self.massive:
            return np.sqrt(2.0 * self.friction * T)[:, None] / self.mass[:, None]
        return np.sqrt(2.0 * T / self.friction)[:, None]

    def square_velocity(self, t):
        """T / m (N, 1)."""
        return (temperature_at(self.temperature, t) / self.mass)[:, None]

    def facts(self, pushed):
        """What a notebook shows of it; `pushed` says whether a force acts."""
        shown = {"mass": self.mass} if self.massive else {}
        if self.massive or self.warm or pushed:
            shown["friction"] = self.friction
        if self.warm:
            shown["temperature"] = self.temperature[1] if isinstance(self.temperature, tuple) else self.temperature
        ends = {name: (np.min(values), np.max(values)) for name, values in shown.items()}
        return {name: f"{low:g}" if low == high else f"{low:g} to {high:g}" for name, (low, high) in ends.items()}


def _of_neurons(value, name, groups, neurons, number_of_groups):
    """One number for all, one a neuron (N,), or one a group (G,), as (N,)."""
    array = as_array(value, name, dtype=np.float64)
    if array.min(initial=0.0) < 0:
        raise refusal(name, f"{array.min():g}", "numbers of at least 0")
    if array.shape == ():
        return np.full(neurons, float(array))
    if array.shape == (neurons,):
        return array.copy()
    if array.shape == (number_of_groups,):
        return array[np.zeros(neurons, int) if groups is None else groups]
    raise refusal(
        name, f"shape {array.shape}", f"a number, ({neurons},) for neurons or ({number_of_groups},) for groups"
    )


def as_temperature(value):
    """A number of at least 0, or times (K,), increasing, and temperatures (K,) at them, as a pair of arrays."""
    if not isinstance(value, tuple):
        return as_number(value, "temperature", minimum=0)
    if len(value) != 2:
        raise refusal("temperature", describe(value), "a number, or a pair of times (K,) and temperatures (K,)")
    times = as_array(value[0], "temperature times", ("K",), np.float64).copy()
    values = as_array(value[1], "temperature values", times.shape, np.float64).copy()
    if not len(times) or np.any(np.diff(times) <= 0):
        raise refusal("temperature times", f"{len(times)} times", "at least one, increasing")
    if values.min() < 0:
        raise refusal("temperature values", f"{values.min():g}", "numbers of at least 0")
    for array in (times, values):
        array.setflags(write=False)
    return times, values


def temperature_at(temperature, t):
    """The temperature at a time: linear between samples, held outside them.

    >>> temperature_at((np.array([0.0, 2.0]), np.array([4.0, 0.0])), 1.5)
    1.0
    """
    return float(np.interp(t, *temperature)) if isinstance(temperature, tuple) else temperature


def is_cold(temperature):
    """Whether the temperature is 0 at all times."""
    return not np.any(temperature[1] if isinstance(temperature, tuple) else temperature)
