"""Energies of neurons with mass over time: kinetic, and that of the loss whose gradient is their force."""

from __future__ import annotations

import numpy as np

from dynsim.engine import kinetic_energy

from ._groups import group_names
from ._sources import system_of

ENERGY = "energy"
KINETIC, POTENTIAL, TOTAL = "kinetic", "rate times loss", "sum"
_MOST_GROUPS = 6  # each a line
_BLOCK = 4_000_000  # numbers read at a time


def energies(trajectory, frames, by_group=False):
    """{name: energies (T')} in the frames of a slice of a trajectory with velocities.

    By (4) m q'' = -gamma (q' - v) - mu dL/dq, so without friction and temperature K + mu L stays as it is.
    """
    names = group_names(trajectory) if by_group else {}
    several = 1 < len(names) <= _MOST_GROUPS
    groups = np.searchsorted(list(names), trajectory.groups) if several else np.zeros_like(trajectory.groups)
    blocks = _blocks(trajectory, frames)
    kinetic = [kinetic_energy(trajectory.velocity.read(block), trajectory.mass, groups) for block in blocks]
    kinetic = np.concatenate(kinetic)
    found = {KINETIC: kinetic.sum(axis=1)}
    loss = _loss(trajectory, frames)
    if loss is not None:
        found |= {POTENTIAL: loss, TOTAL: found[KINETIC] + loss}
    if several:
        found |= {f"{KINETIC}, {name}": part for name, part in zip(names.values(), kinetic.T, strict=True)}
    return found


def drift(curves):
    """How far the sum of energies goes from where it began, as a share of its largest size; None without a sum.

    >>> drift({TOTAL: np.array([4.0, 3.0, 4.0])})
    0.25
    """
    total = curves.get(TOTAL)
    if total is None or not np.isfinite(total).all() or not total.any():
        return None
    return float(np.abs(total - total[0]).max() / np.abs(total).max())


def _loss(trajectory, frames):
    """mu L in the frames of a slice: the observable `loss` where the file has it, else of E; None without a teacher."""
    system = system_of(trajectory)
    teacher = None if system is None else system.teacher
    if teacher is None:
        return None
    if "loss" in trajectory.observables:
        return teacher.rate * trajectory.observables["loss"][frames]
    judged = np.flatnonzero(trajectory.groups[: trajectory.neurons] == teacher.group)
    losses = [teacher.value(trajectory.E.read(block, judged)) for block in _blocks(trajectory, frames)]
    return teacher.rate * np.concatenate(losses)


def _blocks(trajectory, frames):
    """Slices of a slice of the frames, of so many as fit in memory at once."""
    wanted = range(*frames.indices(trajectory.frames))
    row = trajectory.neurons * (trajectory.copies * trajectory.dimension + (trajectory.signals or 0))
    size = max(1, _BLOCK // row)
    for start in range(0, len(wanted), size):
        part = wanted[start : start + size]
        yield slice(part.start, part.stop, part.step)
