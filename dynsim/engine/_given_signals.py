"""Signals given from outside, the drive I(t) of (1') and clamped groups: numbers, functions, samples, waveforms."""

from __future__ import annotations

import math
from functools import partial
from typing import NamedTuple

import numpy as np
from numba import njit

from dynsim._check import as_array, as_choice, as_number, expect_keys, refusal

from ._failure import Misbehaved


@njit(cache=True, nogil=True, error_model="numpy")
def add_signal(t, times, values, out):
    """out += samples (K, N, s) at times (K,): linear between, held outside; one is a constant, none is nothing."""
    if len(times) == 0:
        return
    k = np.searchsorted(times, t, side="right") - 1
    later, weight = min(k + 1, len(times) - 1), 0.0
    if k < 0:
        k = later
    elif later > k:
        weight = (t - times[k]) / (times[later] - times[k])
    for i in range(out.shape[0]):
        for j in range(out.shape[1]):
            out[i, j] += (1.0 - weight) * values[k, i, j] + weight * values[later, i, j]


class Structure(NamedTuple):
    """What is known of a signal in time: `breaks` (K, 2), times at which it jumps (level 0) or has a kink (level 1);
    `pulses`, pairs of a time and a width; and the shortest `period`."""

    breaks: np.ndarray = np.empty((0, 2))
    pulses: tuple = ()
    period: float = math.inf


class Known:
    """A function t -> signal whose structure is known; `within` is a time on the side of t that is meant at a jump."""

    structure = Structure()

    def __call__(self, t, within=None):
        raise NotImplementedError


class Given(Known):
    """A signal (n, s) as a function of time: constant, callable, or sampled with linear interpolation.

    `times` and `values` are its samples, held outside their times; a constant has one, and for a callable there is
    room for one, which `__call__` computes. `constant` says whether the signal never changes.
    """

    def __init__(self, value, name, neurons, signals):
        self.name, self.shape = name, (neurons, signals)
        self.function = value if callable(value) else None
        self.structure = value.structure if isinstance(value, Known) else Structure()
        if is_sampled(value):
            self._sample(*value)
        else:
            self.times, self.values = np.zeros(1), np.zeros((1, *self.shape))
            if self.function is None:
                self.values[0] = self._spread(value)
        self.constant = self.function is None and len(self.times) == 1

    def __call__(self, t, within=None, finite=True):
        if self.function is not None:
            value = self.function(t, within) if isinstance(self.function, Known) else self.function(t)
            return self._asked(t, value, finite)
        if self.constant:
            return self.values[0]
        out = np.zeros(self.shape)
        add_signal(float(t), self.times, self.values, out)
        return out

    def _asked(self, t, value, finite):
        """What the function gave, of the right shape; Misbehaved where it cannot be used."""
        name = f"{self.name} at t = {t:.9g}"
        try:
            array = self._spread(value, name, finite=False)
        except (TypeError, ValueError) as error:
            raise Misbehaved(error) from None
        if finite and not np.isfinite(array).all():
            raise Misbehaved(refusal(name, array[~np.isfinite(array)][0], "finite numbers"), number=True)
        return array

    def _spread(self, value, name=None, finite=True):
        name = name or self.name
        array = as_array(value, name, dtype=np.float64, finite=finite)
        n, s = self.shape
        if array.shape == (n,) and s == 1:
            array = array[:, None]
        if array.shape not in ((), (s,), (n, s)):
            raise refusal(name, f"shape {array.shape}", f"{self.shape}, ({s},) or a number")
        return np.broadcast_to(array, self.shape)

    def _sample(self, times, values):
        self.times = as_array(times, f"{self.name} times", ("K",), np.float64).copy()
        if len(self.times) < 2 or np.any(np.diff(self.times) <= 0):
            raise refusal(f"{self.name} times", f"{len(self.times)} times", "at least 2, increasing")
        self.values = as_array(values, f"{self.name} values", (len(self.times), *self.shape), np.float64).copy()
        kinks = self.times[kinked(self.times, self.values.reshape(len(self.times), -1))]
        self.structure = Structure(np.stack([kinks, np.ones(len(kinks))], axis=1))


def kinked(times, values):
    """At which of the samples (K, n) at times (K,) the slope changes by more than rounding; outside it is 0."""
    dt = np.diff(times)[:, None]
    slopes = np.pad(np.diff(values, axis=0) / dt, ((1, 1), (0, 0)))
    size = np.maximum(abs(values[1:]), abs(values[:-1])) / dt  # of what was subtracted, and of its times
    rounding = np.pad(
        size + abs(slopes[1:-1]) * np.maximum(abs(times[1:]), abs(times[:-1]))[:, None] / dt, ((1, 1), (0, 0))
    )
    bound = 4 * np.finfo(float).eps * (rounding[1:] + rounding[:-1])
    return np.any(abs(np.diff(slopes, axis=0)) > bound, axis=1)


def is_sampled(value):
    """Whether a drive is the pair (times (K,), values (K, n, s))."""
    return isinstance(value, tuple) and len(value) == 2 and np.ndim(value[0]) == 1 and np.ndim(value[1]) == 3


def own_signal(value, name):
    """A signal as a system keeps it: arrays are copied and cannot be written to, functions stay who they are."""
    if value is None or callable(value):
        return value
    if is_sampled(value):
        return tuple(own_signal(part, f"{name} {what}") for part, what in zip(value, ("times", "values"), strict=True))
    array = as_array(value, name, dtype=np.float64).copy()
    array.setflags(write=False)
    return array if array.ndim else float(array)


def implied_signals(value):
    """Number of signals that a drive or clamp of two axes implies, or None."""
    if value is None or callable(value):
        return None
    shape = np.shape(value[1] if is_sampled(value) else value)
    return shape[-1] if len(shape) >= 2 else None


class GivenSignals:
    """All given signals of a system during a run, as arrays for compiled loops.

    `arrays` is (times, values) of the drive, which of the neurons are free (N,), and E of the others (N, s).
    """

    def __init__(self, system):
        shape = system.neurons, system.signals
        drive, self.clamps = system._drive, system._clamps
        times, values = (np.empty(0), np.empty((0, *shape))) if drive is None else (drive.times, drive.values.copy())
        self.arrays = times, values, np.ones(system.neurons, bool), np.zeros(shape)
        self.function = drive if drive is not None and drive.function is not None else None
        self.changing = [(members, signal) for members, signal in self.clamps if not signal.constant]
        self.constant = not self.changing and self.function is None
        for members, signal in self.clamps:
            self.arrays[2][members] = False
            if signal.constant:
                self.arrays[3][members] = signal.values[0]

    def update(self, t, within):
        """Ask what only Python can tell: a drive that is a function, clamped signals that change.

        `within` is a time between the breaking points between which t is seen, where t may be one of them.
        """
        if self.function is not None:
            self.arrays[1][0] = self.function(t, within)
        for members, signal in self.changing:
            self.arrays[3][members] = signal(t, within)


def _pulse(t, within, offset, height, at, width):
    return offset + height * np.exp(-0.5 * ((t - at) / width) ** 2)


def _sine(t, within, offset, height, frequency, phase):
    return offset + height * np.sin(2 * np.pi * frequency * t + phase)


def _step(t, within, offset, height, at):
    return offset + height if within >= at else offset


def _seen_pulse(at, width, **_):
    return Structure(pulses=((at, width),))


def _seen_sine(frequency, **_):
    return Structure(period=1 / abs(frequency) if frequency else math.inf)


def _seen_step(at, **_):
    return Structure(np.array([[at, 0.0]]))


# Kind -> its function, what is known of it, and its keys with their defaults; None marks what must be given.
WAVEFORMS = {
    "pulse": (_pulse, _seen_pulse, {"at": None, "width": None, "height": 1.0, "offset": 0.0}),
    "sine": (_sine, _seen_sine, {"frequency": None, "phase": 0.0, "height": 1.0, "offset": 0.0}),
    "step": (_step, _seen_step, {"at": None, "height": 1.0, "offset": 0.0}),
    "samples": (None, None, {"times": None, "values": None}),
}


class Waveform(Known):
    """A signal of a known kind: `function(t, within)` and its structure."""

    def __init__(self, function, structure):
        self.function, self.structure = function, structure

    def __call__(self, t, within=None):
        return self.function(t, t if within is None else within)


def waveform(value, name, neurons, signals):
    """Return the function t -> (neurons, signals) that a configuration describes.

    A number or (s,) or (n, s) is constant. A table has a `kind`:

    ========  ===============================================================
    pulse     offset + height exp(-((t - at) / width)^2 / 2)
    sine      offset + height sin(2 pi frequency t + phase)
    step      offset before `at`, offset + height from it on
    samples   `values` (K,), (K, s) or (K, n, s) at `times` (K,), linear between, held outside
    ========  ===============================================================

    Heights and offsets are numbers, (s,) or (n, s).

    Raises
    ------
    ValueError, TypeError
        If a key is unknown or missing, or a shape does not fit.

    Examples
    --------
    >>> waveform({"kind": "step", "at": 1.0, "height": 2.0}, "drive", 1, 1)(1.5)
    array([[2.]])
    """
    shape = neurons, signals
    if not isinstance(value, dict):
        return Given(value, name, *shape)
    kind = as_choice(value.get("kind"), WAVEFORMS, f"{name} kind")
    function, seen, keys = WAVEFORMS[kind]
    expect_keys(value, ["kind", *keys], f"{name} ({kind})")
    for key, default in keys.items():
        if default is None and key not in value:
            raise ValueError(f"{name}: {key} is missing; a {kind} needs it.")
    given = {**keys, **value}

    def spread(value, key):
        return Given(value, f"{name} {key}", *shape)(0.0)

    if kind == "samples":
        values = as_array(given["values"], f"{name} values", dtype=np.float64)
        if values.ndim == 0 or not len(values):
            came = "none" if values.ndim else "a number"
            raise refusal(f"{name} values", came, "(K,), (K, s) or (K, n, s), one for each of `times`")
        return Given((given["times"], np.stack([spread(value, "values") for value in values])), name, *shape)
    options = {}
    for key in keys:
        if key in ("height", "offset"):
            options[key] = spread(given[key], key)
        else:
            options[key] = as_number(given[key], f"{name} {key}", above=0 if key == "width" else None)
    return Waveform(partial(function, **options), seen(**options))


class SignalsOfParts(Known):
    """A function t -> (neurons, signals) that is given for some slices of the neurons, and zero for the others."""

    def __init__(self, parts, neurons, signals):
        self.parts, self.shape = parts, (neurons, signals)
        known = [signal.structure for _, signal in parts]
        self.structure = Structure(
            np.concatenate([structure.breaks for structure in known]),
            tuple(pulse for structure in known for pulse in structure.pulses),
            min(structure.period for structure in known),
        )

    def __call__(self, t, within=None):
        total = np.zeros(self.shape)
        for members, signal in self.parts:
            total[members] = signal(t, within)
        return total
