"""How evenly the distances of a population are spread, over time."""

from itertools import combinations

import numpy as np

from dynsim.plots._select import chosen_neurons, frame_stride, some_of
from dynsim.plots._style import PALETTE, UNITS, decorate, new_figure, note, thinned, time_label, whole_numbers

_MOST_NEURONS = 150  # 11,175 pairs
_MOST_FRAMES = 500


def draw_entropy(trajectory, *, neurons=None, copy=0, bins=32, title=None, size=None):
    """Shannon entropy (bits) of the histogram of pair distances, frame by frame.

    The bins are the same for all frames, from 0 to the largest distance of all, so that a fall means that distances
    became alike. It is 0 where all fall into one bin, log2(bins) where they spread evenly.
    """
    if not 0 <= copy < trajectory.copies:
        raise ValueError(f"got copy {copy}, expected a number from 0 to {trajectory.copies - 1}")
    if not 2 <= bins <= 10_000:
        raise ValueError(f"got {bins} bins, expected 2 to 10000")
    chosen = chosen_neurons(trajectory, neurons, _MOST_NEURONS)
    if len(chosen) < 3:
        raise ValueError(f"got {len(chosen)} neurons, expected three or more: two have one distance only")
    frames = frame_stride(trajectory, _MOST_FRAMES)
    time = trajectory.time[frames]
    places = trajectory.places(frames, chosen + copy * trajectory.neurons).astype(float)
    bits = entropies(places, bins)
    figure = new_figure(size)
    axes = figure.add_subplot()
    axes.plot(time, bits, color=PALETTE[0], linewidth=1.8, marker="o" if len(time) <= 60 else None, markersize=3.5)
    axes.axhline(np.log2(bins), color=PALETTE[1], linestyle="--", linewidth=1.2)
    axes.annotate("evenly spread", (1, np.log2(bins)), (-4, -12), ("axes fraction", "data"), "offset points",
                  ha="right", fontsize=9, color=PALETTE[1])  # fmt: skip
    decorate(axes, time_label(trajectory), "entropy of distances (bits)")
    whole_numbers(axes, time)
    axes.set_ylim(0, 1.04 * np.log2(bins))
    which = f", copy {copy}" if trajectory.copies > 1 else ""
    axes.set_title(title or f"Entropy of pair distances, {some_of(len(chosen), trajectory.neurons)}{which}")
    note(figure, f"{bins} bins up to the largest distance", thinned(len(time), trajectory.frames, "frames"), UNITS)
    return figure


def entropies(places, bins):
    """Entropy (T,) in bits of the distances of places (T, n, d); NaN where a frame is not finite.

    >>> corners = np.array([[0.0], [1.0], [3.0]])  # distances 1, 2, 3 in bins (0, 1.5) and (1.5, 3)
    >>> entropies(corners[None], 2).round(4).tolist()
    [0.9183]
    """
    first, second = np.array(list(combinations(range(places.shape[1]), 2))).T
    lengths = np.stack([np.linalg.norm(frame[first] - frame[second], axis=1) for frame in places])
    finite = np.isfinite(lengths).all(axis=1)
    result = np.full(len(places), np.nan)
    largest = lengths[finite].max(initial=0.0)
    for k in np.flatnonzero(finite):
        share = np.histogram(lengths[k], bins, (0.0, largest or 1.0))[0] / lengths.shape[1]
        share = share[share > 0]
        result[k] = abs(-np.sum(share * np.log2(share)))  # abs: -1 log 1 is -0
    return result
