"""Received and emitted signals over time."""

import numpy as np

from dynsim.plots._select import chosen_neurons, component_of, evenly, frame_stride, some_of
from dynsim.plots._style import (
    GREY,
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

_MOST_LINES = 7
_MOST_IN_BAND = 1000
_MOST_FRAMES = 2000
_NAMES = {"R": "received signal", "E": "emitted signal"}


def draw_signals(trajectory, *, neurons=None, signal="both", component=0, title=None, size=None):
    """R and E of some neurons, over the band in which 90 % of all neurons are."""
    if signal not in ("R", "E", "both"):
        raise ValueError(f"got signal {signal!r}, expected R, E or both")
    component_of(trajectory.signals, component, "signals")
    shown = ["R", "E"] if signal == "both" else [signal]
    chosen = chosen_neurons(trajectory, neurons, _MOST_LINES)
    frames = frame_stride(trajectory, _MOST_FRAMES)
    time, palette = trajectory.time[frames], looks(len(chosen))
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
    rows[0].set_title(title or f"Signals of {some_of(len(chosen), trajectory.neurons)}")
    entries = [line(f"neuron {n}", linewidth=2, **palette[k]) for k, n in enumerate(chosen[:20])]
    if crowd is not None:
        entries.append(line("90 % of all", color=GREY, linewidth=6, alpha=0.35))
    legend(figure, entries)
    note(figure, thinned(len(time), trajectory.frames, "frames"), UNITS)
    return figure
