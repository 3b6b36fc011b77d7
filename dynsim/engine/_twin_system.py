"""A system beside itself: the same neurons twice, at places that may differ, stepped together."""

from __future__ import annotations

import numpy as np

from ._given_signals import SignalsOfParts
from ._operators import SHAPES, Operators


def twin(system, other):
    """A system of 2 N neurons: those of `system`, then the same neurons at the places `other`, shaped as system.q.

    The strengths between the halves are 0, so each obeys the equations of `system`; as one run they have the same
    steps. Sums are exact: errors of trees would be larger than what lies between the halves.
    """
    N, G = system.neurons, system.strengths.shape[-1]
    groups = np.zeros(N, int) if system.groups is None else system.groups
    strengths = np.zeros((system.copies, 2 * G, 2 * G))
    strengths[:, :G, :G] = strengths[:, G:, G:] = system.strengths
    return system.replace(
        q=np.concatenate([system.q, other], axis=-2),
        operators=_operators(system.operators),
        groups=np.concatenate([groups, groups + G]),
        strengths=strengths,
        drive=_drive(system._drive, N, system.signals),
        clamped={g + half: signal for half in (0, G) for g, signal in system.clamped.items()},
        signals=system.signals,
        accuracy=None,
        mass=_twice(system._inertia.mass),
        friction=_twice(system._inertia.friction),
        velocity=None if system.velocity is None else np.concatenate([system.velocity] * 2, axis=-2),
    )


def rescaled(state, factor):
    """A state of a run of twins whose second half lies `factor` times as far from the first, in all that is stored."""
    return {
        name: rescaled(value, factor) if name == "memory" and value is not None
        else _pulled(value, factor) if name in ("q", "velocity", "R", "E", "start") and value is not None
        else value
        for name, value in state.items()
    }  # fmt: skip


def halves(values):
    """The first half of arrays (..., 2 N, m), and the difference of the second from it."""
    first, second = np.split(values, 2, axis=-2)
    return first, second - first


def _pulled(values, factor):
    first, difference = halves(values)
    return np.concatenate([first, first + factor * difference], axis=-2)


def _operators(operators):
    """Operators of the neurons twice: those that each neuron has of its own are repeated."""
    values = {name: getattr(operators, name) for name in SHAPES}
    both = {name: _twice(v) if v.ndim in (1, 3) else v for name, v in values.items()}
    several = not isinstance(operators.activation, str)
    return Operators(**both, activation=2 * operators.activation if several else operators.activation)


def _twice(values):
    return np.concatenate([values, values])


def _drive(drive, neurons, signals):
    if drive is None:
        return None
    if drive.function is not None:
        parts = [(slice(0, neurons), drive), (slice(neurons, 2 * neurons), drive)]
        return SignalsOfParts(parts, 2 * neurons, signals)
    both = np.concatenate([drive.values, drive.values], axis=1)
    return both[0] if drive.constant else (drive.times, both)
