"""Distances of pairs of neurons over time."""

from itertools import combinations

import numpy as np

from dynsim.plots._select import chosen_neurons, frame_stride, some_of
from dynsim.plots._style import (
    PALETTE,
    UNITS,
    decorate,
    legend,
    line,
    looks,
    new_figure,
    note,
    thinned,
    time_label,
    whole_numbers,
)

_MOST_LINES = 10
_MOST_NEURONS = 150  # 11,175 pairs
_MOST_FRAMES = 500
_MOST_NUMBERS = 2_000_000  # of one block of pair distances


def draw_distances(trajectory, *, neurons=None, copy=0, title=None, size=None):
    """Euclidean distances in all d coordinates: one line a pair while they are few, quantiles otherwise."""
    if not 0 <= copy < trajectory.copies:
        raise ValueError(f"got copy {copy}, expected a number from 0 to {trajectory.copies - 1}")
    chosen = chosen_neurons(trajectory, neurons, _MOST_NEURONS)
    if len(chosen) < 2:
        raise ValueError(f"got {len(chosen)} neuron, expected two or more for distances")
    frames = frame_stride(trajectory, _MOST_FRAMES)
    time = trajectory.time[frames]
    places = trajectory.places(frames, chosen + copy * trajectory.neurons).astype(float)
    pairs = np.array(list(combinations(range(len(chosen)), 2)))
    figure = new_figure(size)
    axes = figure.add_subplot()
    marker = "o" if len(time) == 1 else None
    if len(pairs) <= _MOST_LINES:
        palette, lengths = looks(len(pairs)), _lengths(places, pairs)
        for index, values in enumerate(lengths.T):
            axes.plot(time, values, **palette[index], linewidth=1.5, marker=marker)
        entries = [line(f"{chosen[i]} to {chosen[j]}", **palette[k]) for k, (i, j) in enumerate(pairs)]
        heading = "neurons"
    else:
        entries, heading = _bands(axes, time, _quantiles(places, pairs)), f"{len(pairs):,} pairs"
    decorate(axes, time_label(trajectory), r"distance $\|q_j - q_i\|$")
    whole_numbers(axes, time)
    axes.set_ylim(bottom=0)
    which = f", copy {copy}" if trajectory.copies > 1 else ""
    axes.set_title(title or f"Pair distances of {some_of(len(chosen), trajectory.neurons)}{which}")
    legend(figure, entries, heading)
    note(figure, thinned(len(time), trajectory.frames, "frames"), UNITS)
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
