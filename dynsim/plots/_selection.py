"""Which neurons and which frames a figure shows: bounded, so that any file can be drawn."""

from __future__ import annotations

import numpy as np

from dynsim._check import describe, refusal
from dynsim.engine import velocity

from ._figure_style import evenly, plain
from ._groups import group_names, grouped_neurons, shown_groups
from ._sources import system_of

_BLOCK = 4_000_000  # numbers of one block of frames


def chosen_neurons(trajectory, neurons, most, groups=None):
    """Indices of the neurons to draw: those asked for, with all of the groups that are; else at most `most`, evenly."""
    count = trajectory.neurons
    of_groups = grouped_neurons(trajectory, groups)
    if neurons is None:
        return of_groups[evenly(len(of_groups), most)]
    chosen = np.asarray(neurons if np.ndim(neurons) else [neurons])
    if chosen.ndim != 1 or not len(chosen) or chosen.dtype.kind not in "iu":
        raise refusal("neurons", describe(neurons), f"a list of numbers from 0 to {count - 1}")
    outside = chosen[(chosen < 0) | (chosen >= count)]
    if len(outside):
        raise refusal("neurons", outside[0], f"numbers from 0 to {count - 1}")
    chosen = chosen.astype(np.intp)
    return np.unique(chosen if groups is None else np.concatenate([chosen, of_groups]))


def frame_stride(trajectory, most):
    """A slice of the frames with at most about `most` of them."""
    return slice(None, None, max(1, -(-trajectory.frames // most)))


def particle_indices(trajectory, neurons):
    """Particle indices of all copies of the neurons, copy after copy."""
    return (np.arange(trajectory.copies)[:, None] * trajectory.neurons + neurons).ravel()


def is_training(trajectory):
    """Whether the frames are those of a training, which has no signals and no equation of motion in time."""
    return trajectory.signals is None and trajectory.parameters.get("time_label") == "epoch"


def has_velocities(trajectory):
    """Whether q' is known: stored, from (3) and the system of a run, or of a training as what moved between frames."""
    if is_training(trajectory):
        return trajectory.frames > 1 and float(trajectory.time[-1]) > float(trajectory.time[0])
    if trajectory.velocity is not None:
        return True
    if trajectory.signals is None or has_teacher(trajectory):
        return False
    known = getattr(trajectory, "system", None), trajectory.provenance.get("system")
    return isinstance(trajectory.parameters.get("config"), dict) or any(one is not None for one in known)


def has_teacher(trajectory):
    """Whether a teacher's force moves the neurons of a run."""
    system, config = getattr(trajectory, "system", None), trajectory.parameters.get("config")
    tables = trajectory.provenance.get("system"), config
    return (system is not None and system.teacher is not None) or any(
        isinstance(table, dict) and table.get("teacher") is not None for table in tables
    )


VELOCITIES = "the system that moves it (of dynsim simulate, or solve with a path), or of a training with two frames"


def velocities(trajectory, frames, which):
    """q' (T', P, d) of the particles `which` in a slice of frames, as stored, or from (3) and the system of the run.

    A training has no such equation: what is returned is its displacement since the frame before, by the difference of
    their times. Raises ValueError where neither is known.
    """
    if not has_velocities(trajectory):
        raise refusal(trajectory.path, "frames without their equation of motion", VELOCITIES)
    wanted = range(*frames.indices(trajectory.frames))
    out = np.empty((len(wanted), len(which), trajectory.dimension))
    if is_training(trajectory):
        for place, k in enumerate(wanted):
            before, after = (k - 1, k) if k else (0, 1)
            moved = trajectory.q[after][which].astype(float) - trajectory.q[before][which]
            passed = float(trajectory.time[after] - trajectory.time[before])
            out[place] = moved / passed if passed > 0 else np.nan
        return out
    if trajectory.velocity is not None:
        return trajectory.velocity.read(frames, which).astype(float)
    system = system_of(trajectory)
    size = max(1, _BLOCK // (trajectory.neurons * trajectory.copies * trajectory.dimension))
    for start in range(0, len(wanted), size):
        part = wanted[start : start + size]
        block = slice(part.start, part.stop, part.step)
        q = trajectory.places(block).astype(float).reshape(len(part), *system.q.shape)
        rates = velocity(system, q, R=trajectory.R.read(block), E=trajectory.E.read(block))
        out[start : start + size] = rates.reshape(len(part), -1, trajectory.dimension)[:, which]
    return out


def lengths(vectors):
    """Euclidean lengths along the last axis, of numbers of any size.

    >>> lengths(np.array([3.0, 4.0]) * 2.0**600).item() == 5.0 * 2.0**600
    True
    """
    with np.errstate(over="ignore", invalid="ignore"):
        largest = np.abs(vectors).max(axis=-1, keepdims=True, initial=0.0)
        # By a power of two, with which nothing is rounded.
        scale = np.where((largest > 0) & np.isfinite(largest), np.exp2(np.frexp(largest)[1] - 1.0), 1.0)
        return np.linalg.norm(vectors / scale, axis=-1) * scale[..., 0]


def some_of(shown, count, noun="neurons"):
    """Words for a title.

    >>> some_of(8, 100), some_of(2, 2)
    ('8 of 100 neurons', '2 neurons')
    """
    if count == 1:
        return f"1 {noun.removesuffix('s')}"
    return f"{count:,} {noun}" if shown == count else f"{shown:,} of {count:,} {noun}"


def subject(trajectory, chosen, neurons, groups):
    """Words for a title: how many neurons, and of which groups where these alone were asked for.

    >>> import dynsim
    >>> run = dynsim.trajectory.SolutionTrajectory(dynsim.solve(dynsim.System(np.eye(2)), (0.0, 1.0)))
    >>> subject(run, [0], [0], None), subject(run, [0, 1], None, "group 0")
    ('1 of 2 neurons', 'group 0, 2 neurons')
    """
    if groups is None or neurons is not None:
        return some_of(len(chosen), trajectory.neurons)
    names, members = group_names(trajectory), grouped_neurons(trajectory, groups)
    named = [names[k] for k in shown_groups(trajectory, members)]
    words = " and ".join(named) if len(named) < 3 else f"{len(named)} groups"
    return f"{plain(words)}, {some_of(len(chosen), len(members))}"


def component_of(width, component, noun):
    """Check the number of a coordinate or of a signal's component."""
    if not 0 <= component < width:
        raise refusal("component", component, f"a number from 0 to {width - 1} of the {noun}")
    return component


def expect_copy(trajectory, copy):
    """Check the number of a copy of the places."""
    if not 0 <= copy < trajectory.copies:
        raise refusal("copy", copy, f"a number from 0 to {trajectory.copies - 1}")
