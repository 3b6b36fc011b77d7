"""Numbers that say at a glance what a state is like, written with every frame of a run that asks for them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from dynsim._check import as_choice, as_instance, refusal
from dynsim.kernels import distance_entropy

from ._kinetic_energy import kinetic_energy, neuron_masses
from ._system import System

MOST_NEURONS = 1000  # of which distances are taken: half a million pairs, some milliseconds


def _rms(values):
    """Root mean square, also of numbers whose squares overflow; 0 of nothing.

    >>> _rms(np.array([3e200, -3e200])), _rms(np.zeros(0))
    (3e+200, 0.0)
    """
    largest = float(np.abs(values).max(initial=0.0))
    if largest == 0 or not np.isfinite(largest):
        return largest
    return largest * float(np.sqrt(np.mean(np.square(values / largest))))


def _largest(values):
    return float(np.abs(values).max(initial=0.0))


def _spread(q):
    places = q.reshape(-1, *q.shape[-2:])  # copies, neurons, axes
    with np.errstate(over="ignore", invalid="ignore"):  # of a run that diverged
        return _rms(np.linalg.norm(places - places.mean(axis=1, keepdims=True), axis=-1))


def _entropy(q):
    neurons = q.shape[-2]
    if neurons < 3:
        return float("nan")
    if neurons > MOST_NEURONS:
        q = q[..., np.linspace(0, neurons - 1, MOST_NEURONS).astype(np.intp), :]
    return distance_entropy(q)


def _kinetic(frame):
    return float(np.sum(kinetic_energy(frame.velocity, neuron_masses(frame.system))))


def _judged(frame):
    return frame.E[frame.system._members == frame.system.teacher.group]


def _loss(frame):
    with np.errstate(all="ignore"):
        return float(frame.system.teacher.value(_judged(frame)))


class Frame(NamedTuple):
    """A state, the system that is in it, and the velocities of neurons with mass."""

    q: np.ndarray
    R: np.ndarray
    E: np.ndarray
    system: System | None = None
    velocity: np.ndarray | None = None


# {name: (what it is, its function of a Frame, what it needs of the system: "", "mass", "teacher" or both)}
OBSERVABLES = {
    "entropy": (
        f"of the distances of pairs, in bits: 32 bins up to the largest of the frame, {MOST_NEURONS:,} neurons at most",
        lambda frame: _entropy(frame.q),
        (),
    ),
    "spread": ("root mean square distance of the places from their mean", lambda frame: _spread(frame.q), ()),
    "R_rms": ("root mean square of received signals", lambda frame: _rms(frame.R), ()),
    "E_rms": ("root mean square of emitted signals", lambda frame: _rms(frame.E), ()),
    "R_largest": ("largest received signal in size", lambda frame: _largest(frame.R), ()),
    "E_largest": ("largest emitted signal in size", lambda frame: _largest(frame.E), ()),
    "loss": ("L of the teacher", _loss, ("teacher",)),
    "accuracy": (
        "percentage of the samples whose wanted neuron emits most, of a teacher",
        lambda frame: 100.0 * float(frame.system.teacher.correct(_judged(frame))),
        ("teacher",),
    ),
    "kinetic_energy": ("sum of m u^2 / 2 of all copies", _kinetic, ("mass",)),
    "energy": (
        "kinetic energy and rate times loss, conserved without friction",
        lambda frame: _kinetic(frame) + frame.system.teacher.rate * _loss(frame),
        ("mass", "teacher"),
    ),
}


def observe(
    names: Sequence[str],
    q: npt.ArrayLike,
    R: npt.ArrayLike,
    E: npt.ArrayLike,
    *,
    system: System | None = None,
    velocity: npt.ArrayLike | None = None,
) -> dict:
    """Return {name: number} of a state, for some of the names of `OBSERVABLES`.

    Parameters
    ----------
    names : sequence of str
    q : array_like, (N, d) or (H, N, d)
    R, E : array_like, (N, s)
        Places and signals; numbers that are not finite give NaN or infinity.
    system : System, optional
        What is in this state, for numbers of its teacher or of its masses.
    velocity : array_like, optional
        As q, of neurons with mass.

    Raises
    ------
    ValueError, TypeError
        If a name is not known, or asks for a teacher or masses that the system does not have.

    Examples
    --------
    >>> observe(["E_rms", "entropy"], [[0.0], [1.0], [3.0]], [[0.0]] * 3, [[2.0]] * 3)["E_rms"]
    2.0
    """
    frame = Frame(*(np.asarray(values, dtype=float) for values in (q, R, E)), system, velocity)
    return {name: OBSERVABLES[name][1](frame) for name in expect_observables(names, system=system)}


def expect_observables(
    names: Sequence[str], name: str = "observables", *, system: System | None = None
) -> tuple[str, ...]:
    """Return the names as a tuple, each of them one of `OBSERVABLES` and there once; raises ValueError or TypeError.

    Those of a teacher or of masses are refused for a `system` that has none.

    >>> expect_observables(["entropy"])
    ('entropy',)
    """
    names = tuple(as_instance(names, list | tuple, name))
    for one in names:
        as_choice(one, OBSERVABLES, name)
        for needed in OBSERVABLES[one][2]:
            there = system is not None and (system.teacher if needed == "teacher" else system.velocity) is not None
            if not there:
                what = "a teacher" if needed == "teacher" else "masses above 0"
                raise refusal(name, f"{one} of a system without {what}", f"a system with {what}")
    if len(set(names)) < len(names):
        raise refusal(name, list(names), "each name once")
    return names
