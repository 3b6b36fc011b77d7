"""Distances of pairs of neurons, their entropy, and energy-like sums over all neurons, over time."""

from __future__ import annotations

from itertools import combinations

import numpy as np
from scipy.spatial.distance import pdist

from dynsim._check import as_choice, refusal
from dynsim.engine import echo_gain
from dynsim.kernels import distance_entropy

from ._energies import ENERGY, drift, energies
from ._figure_kinds import figure_kind, has_motion
from ._figure_style import (
    ECHO_GAIN,
    GREY,
    PALETTE,
    SCALES,
    UNITS,
    decorate,
    in_units,
    inside,
    legend,
    line,
    line_styles,
    new_figure,
    note,
    scale_axis,
    side_by_side,
    thinned,
    time_label,
    titled,
    unit_of,
    whole_numbers,
)
from ._selection import (
    chosen_neurons,
    expect_copy,
    frame_stride,
    has_teacher,
    has_velocities,
    is_training,
    lengths,
    some_of,
    subject,
    velocities,
)
from ._sources import system_of

_MOST_LINES = 10
_MOST_NEURONS = 150  # 11,175 pairs
_MOST_FRAMES = 500
_MOST_NUMBERS = 2_000_000  # of one block of pair distances
_MOST_ENERGY_FRAMES = 400
_MOST_GAINS = 25  # each is an eigenvalue problem
_MOST_GAIN_NEURONS = 400
_BLOCK = 4_000_000  # numbers read at a time


def _median_distances(trajectory, *, neurons=None, groups=None, copy=0):
    """The curve of the median distance, for several runs in one figure."""
    expect_copy(trajectory, copy)
    chosen = chosen_neurons(trajectory, neurons, _MOST_NEURONS, groups)
    if len(chosen) < 2:
        raise refusal("neurons", f"{len(chosen)} neuron", "two or more for distances")
    frames = frame_stride(trajectory, _MOST_FRAMES)
    places = trajectory.places(frames, chosen + copy * trajectory.neurons).astype(float)
    pairs = np.array(list(combinations(range(len(chosen)), 2)))
    return {"median distance of pairs": {"": (trajectory.time[frames], _quantiles(places, pairs)[3])}}


@figure_kind(
    "distances",
    "distances of pairs over time",
    needs=lambda trajectory: trajectory.neurons > 1,
    requires="two neurons",
    curves=_median_distances,
)
def draw_distances(trajectory, *, neurons=None, groups=None, copy=0, scale="auto", title=None, size=None):
    """Euclidean distances in all d coordinates: one line a pair while they are few, quantiles otherwise."""
    expect_copy(trajectory, copy)
    as_choice(scale, SCALES, "scale")
    chosen = chosen_neurons(trajectory, neurons, _MOST_NEURONS, groups)
    if len(chosen) < 2:
        raise refusal("neurons", f"{len(chosen)} neuron", "two or more for distances")
    frames = frame_stride(trajectory, _MOST_FRAMES)
    time = trajectory.time[frames]
    places = trajectory.places(frames, chosen + copy * trajectory.neurons).astype(float)
    unit = unit_of(places)
    places /= unit
    pairs = np.array(list(combinations(range(len(chosen)), 2)))
    figure = new_figure(size)
    axes = figure.add_subplot()
    marker = "o" if len(time) == 1 else None
    if len(pairs) <= _MOST_LINES:
        palette, drawn = line_styles(len(pairs)), _lengths(places, pairs)
        for index, values in enumerate(drawn.T):
            axes.plot(time, values, **palette[index], linewidth=1.5, marker=marker)
        entries = [line(f"{chosen[i]} to {chosen[j]}", **palette[k]) for k, (i, j) in enumerate(pairs)]
        heading = "neurons"
    else:
        drawn = _quantiles(places, pairs).T
        entries, heading = _bands(axes, time, drawn.T), f"{len(pairs):,} pairs"
    decorate(axes, time_label(trajectory), in_units(r"distance $\|q_j - q_i\|$", unit))
    whole_numbers(axes, time)
    words = scale_axis(axes, drawn, scale)
    if not words:
        axes.set_ylim(bottom=0)
    which = f", copy {copy}" if trajectory.copies > 1 else ""
    titled(axes, title, f"Pair distances of {subject(trajectory, chosen, neurons, groups)}{which}")
    legend(figure, entries, heading)
    note(figure, words, thinned(len(time), trajectory.frames, "frames"), UNITS)
    return figure


def _lengths(places, pairs):
    return np.linalg.norm(places[:, pairs[:, 0]] - places[:, pairs[:, 1]], axis=2)


def _quantiles(places, pairs):
    """Minimum, quartiles, 5 and 95 % and maximum of the distances (7, T), a block of frames at a time."""
    size = max(1, _MOST_NUMBERS // (len(pairs) * places.shape[2]))
    parts = []
    for start in range(0, len(places), size):
        lengths = _lengths(places[start : start + size], pairs)
        # Frames that are all NaN (a diverged run) stay NaN, without NumPy's warning.
        part = np.full((7, len(lengths)), np.nan)
        some = np.isfinite(lengths).any(axis=1)
        part[:, some] = np.nanquantile(lengths[some], [0, 0.05, 0.25, 0.5, 0.75, 0.95, 1], axis=1)
        parts.append(part)
    return np.concatenate(parts, axis=1)


def _bands(axes, time, quantiles):
    least, low, lower, median, upper, high, most = quantiles
    blue, orange = PALETTE[0], PALETTE[1]
    axes.fill_between(time, low, high, color=blue, alpha=0.18, linewidth=0)
    axes.fill_between(time, lower, upper, color=blue, alpha=0.3, linewidth=0)
    marker = "o" if len(time) == 1 else None
    axes.plot(time, median, color=blue, linewidth=2, marker=marker)
    axes.plot(time, most, color=orange, linewidth=1.2, linestyle="--", marker=marker)
    axes.plot(time, least, color=orange, linewidth=1.2, marker=marker)
    return [
        line("largest", color=orange, linewidth=1.2, linestyle="--"),
        line("5 to 95 %", color=blue, linewidth=8, alpha=0.18),
        line("25 to 75 %", color=blue, linewidth=8, alpha=0.45),
        line("median", color=blue, linewidth=2),
        line("smallest", color=orange, linewidth=1.2),
    ]


def _entropy_curves(trajectory, *, neurons=None, groups=None, copy=0, bins=32):
    return {"entropy of distances (bits)": {"": _entropy(trajectory, neurons, groups, copy, bins)[1:]}}


def _entropy(trajectory, neurons, groups, copy, bins):
    """The neurons that are counted, the times, and the entropy in bits."""
    expect_copy(trajectory, copy)
    if not 2 <= bins <= 10_000:
        raise refusal("bins", bins, "2 to 10000")
    chosen = chosen_neurons(trajectory, neurons, _MOST_NEURONS, groups)
    if len(chosen) < 3:
        raise refusal("neurons", f"{len(chosen)} neurons", "three or more: two have one distance only")
    frames = frame_stride(trajectory, _MOST_FRAMES)
    places = trajectory.places(frames, chosen + copy * trajectory.neurons).astype(float)
    return chosen, trajectory.time[frames], entropies(places / unit_of(places), bins)


@figure_kind(
    "entropy",
    "entropy of the distribution of distances over time",
    needs=lambda trajectory: trajectory.neurons > 2,
    requires="three neurons",
    curves=_entropy_curves,
)
def draw_entropy(trajectory, *, neurons=None, groups=None, copy=0, bins=32, title=None, size=None):
    """Shannon entropy (bits) of the histogram of pair distances, frame by frame.

    The bins are the same for all frames, from 0 to the largest distance of all, so that a fall means that distances
    became alike. It is 0 where all fall into one bin, log2(bins) where they spread evenly.
    """
    chosen, time, bits = _entropy(trajectory, neurons, groups, copy, bins)
    figure = new_figure(size)
    axes = figure.add_subplot()
    axes.plot(time, bits, color=PALETTE[0], linewidth=1.8, marker="o" if len(time) <= 60 else None, markersize=3.5)
    decorate(axes, time_label(trajectory), "entropy of distances (bits)")
    axes.axhline(np.log2(bins), color=PALETTE[1], linestyle="--", linewidth=1.2)
    axes.annotate("evenly spread", (1, np.log2(bins)), (-4, -12), ("axes fraction", "data"), "offset points",
                  ha="right", fontsize=9, color=PALETTE[1])  # fmt: skip
    whole_numbers(axes, time)
    axes.set_ylim(0, 1.04 * np.log2(bins))
    which = f", copy {copy}" if trajectory.copies > 1 else ""
    titled(axes, title, f"Entropy of pair distances, {subject(trajectory, chosen, neurons, groups)}{which}")
    note(figure, f"{bins} bins up to the largest distance", thinned(len(time), trajectory.frames, "frames"), UNITS)
    return figure


def entropies(places, bins):
    """Entropy (T,) in bits of the distances of places (T, n, d), in the same bins; NaN where a frame is not finite."""
    finite = [frame for frame in places if np.isfinite(frame).all()]
    largest = max((pdist(frame).max() for frame in finite), default=0.0)
    return np.array([distance_entropy(frame, bins=bins, largest=largest or None) for frame in places])


def energy_curves(trajectory, by_group=False):
    """[(label of a panel, times, {name: values})] of motion, signals, and the echo gain where something echoes.

    Motion is the kinetic energy of neurons with mass, with groups also by group, and sum |q'|^2 of others.
    """
    frames, found = frame_stride(trajectory, _MOST_ENERGY_FRAMES), []
    time = trajectory.time[frames]
    if trajectory.velocity is not None:
        found.append((ENERGY, time, energies(trajectory, frames, by_group)))
    elif has_velocities(trajectory):
        found.append((r"$\sum_i |\dot q_i|^2$", time, {"": _kinetic(trajectory, frames)}))
    for name, data in (("R", trajectory.R), ("E", trajectory.E)):
        if data is not None:
            found.append((rf"$|{name}|$", time, {"": _norms(data, frames.step)}))
    gains = _gains(trajectory)
    return found if gains is None else [*found, (ECHO_GAIN, gains[0], {"": gains[1]})]


@figure_kind(
    "energy",
    "kinetic energy, or the sum of |q'|^2, the norms of R and E, and the echo gain, over time",
    needs=lambda trajectory: has_motion(trajectory) and (has_velocities(trajectory) or trajectory.signals is not None),
    requires="two frames at different times",
    curves=lambda trajectory: {
        label: {name: (time, values) for name, values in curves.items()}
        for label, time, curves in energy_curves(trajectory)
    },
)
def draw_energy(trajectory, *, scale="auto", title=None, size=None):
    """sum |q'|^2, and the norms |R| and |E|, of all neurons; the echo gain where the file says how it was made.

    Of neurons with mass the kinetic energy, sum m |q'|^2 / 2, also that of each group; with a teacher mu L, whose
    gradient is their force, and the sum of both, whose drift the title says. Of others q' is that of equation (3); of a
    training, the displacement per epoch. Where the file does not say how it was made, q' is not known, and left out.
    """
    as_choice(scale, SCALES, "scale")
    panels = energy_curves(trajectory, by_group=True)
    figure, words, entries, lost = new_figure(size), [], [], None
    rows = figure.subplots(len(panels), 1, sharex=True, squeeze=False)[:, 0]
    for axes, (label, time, curves), colour in zip(rows, panels, PALETTE, strict=False):
        words.append(scale_axis(axes, side_by_side(list(curves.values())), scale))
        styles = [{"color": colour}] if len(curves) == 1 else line_styles(len(curves))
        marks = {"marker": "o", "markersize": 3.5} if label == ECHO_GAIN else {}
        for style, (name, values) in zip(styles, curves.items(), strict=True):
            axes.plot(time, inside(axes, values), **style, **marks, linewidth=1.6)
            entries += [line(name, **style)] if name else []
        lost = drift(curves) if label == ENERGY else lost
        decorate(axes, time_label(trajectory) if axes is rows[-1] else "", label)
        if label == ECHO_GAIN:
            axes.axhline(1.0, color=GREY, linestyle="--", linewidth=1)
    whole_numbers(rows[-1], trajectory.time)
    said = "" if lost is None else f", energy drift {lost:.2g}"
    titled(rows[0], title, f"Motion and signals of {some_of(trajectory.neurons, trajectory.neurons)}{said}")
    legend(figure, entries, ENERGY)
    shown = thinned(
        -(-trajectory.frames // frame_stride(trajectory, _MOST_ENERGY_FRAMES).step), trajectory.frames, "frames"
    )
    measure = "" if lost is None else "drift: the largest change of the sum, as a share of its largest value"
    note(figure, _origin(trajectory), measure, *dict.fromkeys(words), shown, UNITS)
    return figure


def _origin(trajectory):
    """Where q' comes from, or why it is not there, in words for the note."""
    if is_training(trajectory):
        return "q' is the displacement per epoch, the difference of frames"
    if trajectory.velocity is not None:
        return ""
    if has_teacher(trajectory):
        return "q' is not known, as the force of a teacher is part of it"
    if not has_velocities(trajectory):
        return "q' is not known, as the file does not say how it was made"
    system = system_of(trajectory)
    return "q' is that without the noise" if system is not None and system.warm else ""


def _kinetic(trajectory, frames):
    """The sum of |q'|^2 over all places in every frame of a slice, a block of frames at a time."""
    every, wanted = np.arange(trajectory.neurons * trajectory.copies), range(*frames.indices(trajectory.frames))
    size = max(1, _BLOCK // (len(every) * trajectory.dimension))
    parts = []
    for start in range(0, len(wanted), size):
        part = wanted[start : start + size]
        rates = velocities(trajectory, slice(part.start, part.stop, part.step), every)
        with np.errstate(over="ignore"):
            parts.append(np.sum(rates.reshape(len(part), -1) ** 2, axis=1))
    return np.concatenate(parts)


def _norms(data, stride):
    """Euclidean norm over neurons and components of every stride-th frame."""
    rows = max(1, _BLOCK // max(1, int(np.prod(data.shape[1:])))) * stride
    parts = [data[start : start + rows : stride].astype(float) for start in range(0, len(data), rows)]
    return np.concatenate([lengths(part.reshape(len(part), -1)) for part in parts])


def _gains(trajectory):
    """Times and echo gains of some frames, or None where the system is not known or nothing echoes."""
    if trajectory.R is None or trajectory.neurons * trajectory.signals > _MOST_GAIN_NEURONS:
        return None
    system = system_of(trajectory)
    if system is None:
        return None
    some = np.unique(np.linspace(0, trajectory.frames - 1, _MOST_GAINS).astype(int))
    gains = []
    for k in some:
        q, R = trajectory.q[int(k)].astype(float), trajectory.R[int(k)].astype(float)
        finite = np.isfinite(q).all() and np.isfinite(R).all()
        gains.append(echo_gain(system, q.reshape(system.q.shape), R=R) if finite else np.nan)
    gains = np.array(gains)
    return (trajectory.time[some], gains) if np.nanmax(gains, initial=0.0) > 1e-12 else None
