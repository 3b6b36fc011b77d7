"""Signals over time, and phase portraits."""

from __future__ import annotations

import numpy as np

from dynsim._check import as_choice, refusal

from ._figure_kinds import figure_kind
from ._figure_style import (
    GREY,
    UNITS,
    decorate,
    end_entries,
    legend,
    line,
    line_styles,
    mark_ends,
    new_figure,
    note,
    rest_entry,
    thinned,
    time_label,
    titled,
    whole_numbers,
)
from ._selection import (
    chosen_neurons,
    component_of,
    evenly,
    frame_stride,
    has_velocities,
    is_training,
    particle_indices,
    some_of,
    velocities,
)

_MOST_LINES = 7
_MOST_NAMED = 16
_MOST_POINTS = 4000  # of a phase portrait
_MOST_IN_BAND = 1000
_MOST_FRAMES = 2000
_NAMES = {"R": "received signal", "E": "emitted signal"}


@figure_kind(
    "signals",
    "received and emitted signals over time",
    needs=lambda trajectory: trajectory.signals is not None,
    requires="signals R and E",
)
def draw_signals(trajectory, *, neurons=None, signal="both", component=0, title=None, size=None):
    """R and E of some neurons, over the band in which 90 % of all neurons are."""
    as_choice(signal, ("R", "E", "both"), "signal")
    component_of(trajectory.signals, component, "signals")
    shown = ["R", "E"] if signal == "both" else [signal]
    chosen = chosen_neurons(trajectory, neurons, _MOST_LINES)
    frames = frame_stride(trajectory, _MOST_FRAMES)
    time, palette = trajectory.time[frames], line_styles(len(chosen))
    crowd = evenly(trajectory.neurons, _MOST_IN_BAND) if len(chosen) < trajectory.neurons else None
    figure = new_figure(size)
    rows = figure.subplots(len(shown), 1, sharex=True, squeeze=False)[:, 0]
    marker = "o" if len(time) == 1 else None
    for axes, name in zip(rows, shown, strict=True):
        data = trajectory.R if name == "R" else trajectory.E
        if crowd is not None:
            # A frame that is all NaN (a diverged run) has no quantiles, and needs none.
            values = data.read(frames, crowd)[:, :, component]
            some = np.isfinite(values).any(axis=1)
            low, high = np.nanquantile(values[some], [0.05, 0.95], axis=1)
            axes.fill_between(time[some], low, high, color=GREY, alpha=0.25, linewidth=0)
        for index, values in enumerate(data.read(frames, chosen)[:, :, component].T):
            axes.plot(time, values, **palette[index], linewidth=1.4, marker=marker, markersize=4)
        which = f", component {component}" if trajectory.signals > 1 else ""
        decorate(axes, time_label(trajectory) if axes is rows[-1] else "", f"{_NAMES[name]} ${name}${which}")
    whole_numbers(rows[-1], time)
    titled(rows[0], title, f"Signals of {some_of(len(chosen), trajectory.neurons)}")
    entries = [line(f"neuron {n}", linewidth=2, **palette[k]) for k, n in enumerate(chosen[:_MOST_NAMED])]
    entries += rest_entry(len(chosen), len(chosen[:_MOST_NAMED]))
    if crowd is not None:
        entries.append(line("90 % of all", color=GREY, linewidth=6, alpha=0.35))
    legend(figure, entries)
    note(figure, thinned(len(time), trajectory.frames, "frames"), UNITS)
    return figure


@figure_kind(
    "phase",
    "a coordinate or signal against its rate of change",
    needs=lambda trajectory: len(set(trajectory.time.tolist())) >= 3,
    requires="three frames at different times",
)
def draw_phase(trajectory, *, neurons=None, quantity=None, component=0, title=None, size=None):
    """A coordinate or a signal against its derivative in time: of q by equation (3), of signals by differences.

    `quantity` is "q" where q' is known, else "R". Of a training the derivative is the displacement per epoch.
    """
    quantity = ("q" if has_velocities(trajectory) or is_training(trajectory) else "R") if quantity is None else quantity
    as_choice(quantity, ("q", "R", "E"), "quantity")
    if quantity != "q" and trajectory.signals is None:
        raise refusal("quantity", f"{quantity} of a trajectory without signals", "q")
    width = trajectory.dimension if quantity == "q" else trajectory.signals
    component_of(width, component, "coordinates" if quantity == "q" else "signals")
    copies = trajectory.copies if quantity == "q" else 1
    chosen = chosen_neurons(trajectory, neurons, max(1, _MOST_LINES // copies))
    if quantity == "q":
        which, frames, origin = particle_indices(trajectory, chosen), frame_stride(trajectory, _MOST_POINTS), ""
        rates = velocities(trajectory, frames, which)[:, :, component]
        portrait = np.stack([trajectory.places(frames, which)[:, :, component], rates], axis=2)
        if is_training(trajectory):
            origin = "the rate is the displacement per epoch, the difference of frames"
    else:
        which, origin = chosen, f"d{quantity}/dt from differences of frames"
        # The derivative is taken from all frames, and only then are they thinned out.
        later = np.concatenate([[True], np.diff(trajectory.time) > 0])
        values = getattr(trajectory, quantity).read(None, which)[later][:, :, component]
        portrait = np.stack([values, _differences(values, trajectory.time[later])], axis=2)
        portrait = portrait[:: -(-len(portrait) // _MOST_POINTS)]
    palette = line_styles(len(chosen))
    figure = new_figure(size)
    axes = figure.add_subplot()
    for index in range(len(which)):
        axes.plot(*portrait[:, index].T, linewidth=1.3, **palette[index % len(chosen)])
    mark_ends(axes, portrait, [palette[k % len(chosen)]["color"] for k in range(len(which))])
    symbol = quantity + (f"_{{{component}}}" if width > 1 or quantity == "q" else "")
    decorate(axes, f"${symbol}$", rf"$\mathrm{{d}}{symbol}/\mathrm{{d}}t$")
    titled(axes, title, f"Phase portrait of {some_of(len(chosen), trajectory.neurons)}")
    entries = [line(f"neuron {n}", **palette[k]) for k, n in enumerate(chosen[:_MOST_NAMED])]
    legend(figure, entries + rest_entry(len(chosen), len(chosen[:_MOST_NAMED])) + end_entries())
    note(figure, origin, thinned(len(portrait), trajectory.frames, "frames"), UNITS)
    return figure


def _differences(values, time):
    """Second-order differences (T, n) of values; 0 where neighbours are alike but for 8 units of their rounding.

    >>> _differences(np.array([[1.0], [1.0 + 1e-15], [1.0]]), np.array([0.0, 0.1, 0.2])).tolist()
    [[0.0], [0.0], [0.0]]
    """
    steps = np.abs(np.diff(values, axis=0))
    rounding = 8 * np.spacing(np.maximum(np.abs(values[1:]), np.abs(values[:-1])))
    with np.errstate(over="ignore", invalid="ignore"):
        rates = np.gradient(values.astype(float), time, axis=0, edge_order=2)
    still = np.concatenate([steps <= rounding, steps[-1:] <= rounding[-1:]])
    return np.where(still & np.concatenate([still[:1], still[:-1]]), 0.0, rates)
