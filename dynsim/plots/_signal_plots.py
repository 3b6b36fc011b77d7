"""Signals over time, and phase portraits."""

from __future__ import annotations

import textwrap

import numpy as np
from matplotlib.collections import LineCollection

from dynsim._check import as_choice, refusal

from ._figure_kinds import figure_kind, has_motion
from ._figure_style import (
    GREY,
    LARGEST_LOGARITHM,
    SCALES,
    UNITS,
    colours,
    decades_of,
    decorate,
    end_entries,
    evenly,
    expect_drawable,
    in_units,
    inside,
    legend,
    line,
    line_styles,
    mark_ends,
    new_figure,
    note,
    rest_entry,
    scale_axis,
    thinned,
    time_label,
    titled,
    unit_of,
    value_colours,
    whole_numbers,
)
from ._groups import group_names, grouped_neurons, shown_groups
from ._selection import (
    chosen_neurons,
    component_of,
    frame_stride,
    has_velocities,
    is_training,
    particle_indices,
    some_of,
    subject,
    velocities,
)

_MOST_LINES = 7
_MOST_NAMED = 16
_MOST_POINTS = 4000  # of a phase portrait
_MOST_IN_CROWD, _MOST_IN_GROUP = 200, 60  # neurons that are drawn grey, or in the colour of their group
_MOST_ROWS = 8  # of panels
_MOST_ROWS_OF_MAP, _MOST_COLUMNS_OF_MAP = 1000, 2000
_MOST_ROWS_NAMED = 16
_MOST_TURNS = 30  # of a curve whose dashes are told from its turns
_NOTHING = "#bbbbbb"  # of what is not a number
_MOST_FRAMES = 2000
_NAMES = {"R": "received signal", "E": "emitted signal"}


def _signal_curves(trajectory, *, neurons=None, groups=None, signal="both", component=0):
    """Curves of a few neurons, for several runs in one figure."""
    as_choice(signal, ("R", "E", "both"), "signal")
    component_of(trajectory.signals, component, "signals")
    chosen, frames = (chosen_neurons(trajectory, neurons, _MOST_LINES, groups), frame_stride(trajectory, _MOST_FRAMES))
    found = {}
    for name in ("R", "E") if signal == "both" else (signal,):
        values = (trajectory.R if name == "R" else trajectory.E).read(frames, chosen)[:, :, component].T
        lines = {f"neuron {n}": (trajectory.time[frames], line) for n, line in zip(chosen, values, strict=True)}
        found[_signal_label(trajectory, name, component)] = lines
    return found


@figure_kind(
    "signals",
    "received and emitted signals over time",
    needs=lambda trajectory: trajectory.signals is not None,
    requires="signals R and E",
    curves=_signal_curves,
)
def draw_signals(
    trajectory, *, neurons=None, groups=None, signal="both", component=0, scale="auto", title=None, size=None
):
    """R and E over time: of a run with two to eight groups, a row of panels a group; else of some neurons.

    Where no neurons are asked for, up to seven have a colour and up to 200 more are grey.
    """
    as_choice(signal, ("R", "E", "both"), "signal")
    as_choice(scale, SCALES, "scale")
    component_of(trajectory.signals, component, "signals")
    shown = ["R", "E"] if signal == "both" else [signal]
    rows = shown_groups(trajectory, grouped_neurons(trajectory, groups)) if neurons is None else []
    if 2 <= len(rows) <= _MOST_ROWS:
        return _signals_by_group(trajectory, rows, groups, shown, component, scale, title, size)
    chosen = chosen_neurons(trajectory, neurons, _MOST_LINES, groups)
    frames = frame_stride(trajectory, _MOST_FRAMES)
    time, palette = trajectory.time[frames], line_styles(len(chosen))
    crowd = np.setdiff1d(grouped_neurons(trajectory, groups), chosen) if neurons is None else chosen[:0]
    crowd = crowd[evenly(len(crowd), _MOST_IN_CROWD)]
    figure = new_figure(size)
    panels = figure.subplots(len(shown), 1, sharex=True, squeeze=False)[:, 0]
    marker = "o" if len(time) == 1 else None
    words = []
    for axes, name in zip(panels, shown, strict=True):
        data = trajectory.R if name == "R" else trajectory.E
        grey, lines = (data.read(frames, some)[:, :, component] for some in (crowd, chosen))
        words.append(scale_axis(axes, np.concatenate([grey, lines], axis=1), scale))
        grey, lines = inside(axes, grey), inside(axes, lines)
        _draw_crowd(axes, time, grey)
        fast = _turns(lines) > _MOST_TURNS
        for index, values in enumerate(lines.T):
            style = {**palette[index], **({"linestyle": "-"} if fast else {})}
            axes.plot(time, values, **style, linewidth=1.4, marker=marker, markersize=4)
        label = _signal_label(trajectory, name, component)
        decorate(axes, time_label(trajectory) if axes is panels[-1] else "", label)
    whole_numbers(panels[-1], time)
    shown = np.union1d(chosen, crowd)
    titled(panels[0], title, f"Signals of {subject(trajectory, shown, neurons, groups)}")
    entries = [line(f"neuron {n}", linewidth=2, **palette[k]) for k, n in enumerate(chosen[:_MOST_NAMED])]
    entries += rest_entry(len(chosen), len(chosen[:_MOST_NAMED]))
    if len(crowd):
        others = len(grouped_neurons(trajectory, groups)) - len(chosen)
        entries.append(line(some_of(len(crowd), others, "others"), color=GREY, linewidth=1, alpha=0.6))
    legend(figure, entries)
    note(figure, *dict.fromkeys(words), thinned(len(time), trajectory.frames, "frames"), UNITS)
    return figure


def _turns(lines):
    """How often the liveliest of some curves (T, n) turns.

    >>> _turns(np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0], [1.0, 2.0]]))
    2
    """
    with np.errstate(invalid="ignore"):
        steps = np.sign(np.diff(lines, axis=0))
    return int((steps[1:] * steps[:-1] < 0).sum(axis=0).max(initial=0))


def _draw_crowd(axes, time, values):
    """Thin grey lines, or points of one frame, behind the others."""
    if not values.size:
        return
    if len(time) == 1:
        axes.plot(np.broadcast_to(time[:, None], values.shape), values, "o", color=GREY, alpha=0.35, markersize=2)
        return
    paths = [np.column_stack([time, one]) for one in values.T]
    axes.add_collection(LineCollection(paths, colors=GREY, alpha=0.35, linewidths=0.5, zorder=1))
    finite = np.concatenate([path[np.isfinite(path[:, 1])] for path in paths])
    if len(finite):
        axes.update_datalim(finite)
        axes.autoscale_view()


def _signal_label(trajectory, name, component):
    which = f"_{{{component}}}" if trajectory.signals > 1 else ""
    return f"{_NAMES[name]} ${name}{which}$"


def _signals_by_group(trajectory, rows, groups, shown, component, scale, title, size):
    """A row of panels for every group, a column for every signal; a thin line for every neuron."""
    frames = frame_stride(trajectory, _MOST_FRAMES)
    time, names = trajectory.time[frames], group_names(trajectory)
    palette = dict(zip(names, colours(len(names)), strict=True))
    figure = new_figure(size)
    panels = figure.subplots(len(rows), len(shown), sharex=True, squeeze=False)
    marker, words, thin = "o" if len(time) == 1 else None, [], ""
    for row, group in zip(panels, rows, strict=True):
        members = grouped_neurons(trajectory, group)
        some = members[evenly(len(members), _MOST_IN_GROUP)]
        thin = thin or (f"at most {_MOST_IN_GROUP} neurons of a group" if len(some) < len(members) else "")
        for axes, name in zip(row, shown, strict=True):
            data = trajectory.R if name == "R" else trajectory.E
            values = data.read(frames, some)[:, :, component]
            words.append(scale_axis(axes, values, scale))
            values = inside(axes, values)
            axes.plot(time, values, color=palette[group], linewidth=0.8, marker=marker, markersize=3)
            decorate(axes, time_label(trajectory) if group == rows[-1] else "", "")
        row[0].set_ylabel(textwrap.shorten(names[group], 24, placeholder="..."), parse_math=False)
    for axes, name in zip(panels[0], shown, strict=True):
        axes.set_title(_signal_label(trajectory, name, component), fontsize=10)
    figure.align_ylabels(panels[:, 0])
    whole_numbers(panels[-1, 0], time)
    every = grouped_neurons(trajectory, groups)
    titled(figure, title, f"Signals of {subject(trajectory, every, None, groups)}, by group")
    note(figure, *dict.fromkeys(words), thin, thinned(len(time), trajectory.frames, "frames"), UNITS)
    return figure


@figure_kind(
    "activity",
    "neurons against time, coloured by their signal",
    needs=lambda trajectory: trajectory.signals is not None and has_motion(trajectory),
    requires="signals R and E in two frames",
)
def draw_activity(
    trajectory, *, neurons=None, groups=None, signal="E", component=0, order="group", scale="auto", title=None,
    size=None,
):  # fmt: skip
    """Every neuron is a row, coloured by R or E over time; rows are sorted by group, or by the time of their peak.

    Signed values have white at 0, others go from dark to light. A peak is the first time of the largest size.
    """
    as_choice(signal, ("R", "E"), "signal")
    as_choice(order, ("group", "peak", "number"), "order")
    as_choice(scale, SCALES, "scale")
    component_of(trajectory.signals, component, "signals")
    chosen = chosen_neurons(trajectory, neurons, _MOST_ROWS_OF_MAP, groups)
    frames = frame_stride(trajectory, _MOST_COLUMNS_OF_MAP)
    time = trajectory.time[frames]
    values = (trajectory.R if signal == "R" else trajectory.E).read(frames, chosen)[:, :, component].astype(float).T
    group = trajectory.groups[: trajectory.neurons][chosen]
    if order == "group":
        rank = np.argsort(group, kind="stable")
    elif order == "peak":
        rank = np.argsort(np.argmax(np.nan_to_num(np.abs(values), nan=-1.0, posinf=-1.0), axis=1), kind="stable")
    else:
        rank = np.arange(len(chosen))
    expect_drawable("time", time)
    values, group = values[rank], group[rank]
    values[~np.isfinite(values)] = np.nan
    values[np.abs(values) > LARGEST_LOGARITHM] = np.nan
    decades = decades_of(values.T, scale)
    unit = 1.0 if decades is not None else unit_of(values)
    colour, low, high = value_colours(values / unit)
    limits = {"vmin": low, "vmax": high} if decades is None else {"norm": decades.colours(low, high)}
    figure = new_figure(size)
    axes = figure.add_subplot()
    ends = _column_ends(time)
    picture = axes.pcolormesh(
        ends, np.arange(len(chosen) + 1) - 0.5, values / unit, cmap=colour, rasterized=True, **limits
    )
    axes.set_facecolor(_NOTHING)
    decorate(axes, time_label(trajectory), "neuron" if order == "number" else f"neurons, by {order}")
    axes.grid(False)
    axes.set_ylim(len(chosen) - 0.5, -0.5)
    _label_rows(axes, trajectory, group, chosen[rank], order)
    bar = figure.colorbar(picture, ax=axes, label=in_units(_signal_label(trajectory, signal, component), unit))
    if decades is not None:
        bar.set_ticks(decades.ticks(low))
        bar.minorticks_off()
    titled(axes, title, f"Activity of {subject(trajectory, chosen, neurons, groups)}")
    missing = f"grey: not a number, or beyond {LARGEST_LOGARITHM:g}" if np.isnan(values).any() else ""
    words = "" if decades is None else decades.words.replace("axis", "colours")
    note(figure, missing, words, thinned(len(time), trajectory.frames, "frames"), UNITS)
    return figure


def _column_ends(time):
    """Where the columns of a map begin and end: halfway between frames, which need not be evenly spaced.

    >>> _column_ends(np.array([0.0, 1.0, 3.0])).tolist()
    [-0.5, 0.5, 2.0, 4.0]
    """
    middle = (time[1:] + time[:-1]) / 2
    return np.concatenate([[time[0] - (middle[0] - time[0])], middle, [time[-1] + (time[-1] - middle[-1])]])


def _label_rows(axes, trajectory, group, numbers, order):
    """Names of groups where rows are sorted by them, with lines between; else numbers of some neurons."""
    if order == "group" and len(np.unique(group)) > 1:
        starts = np.flatnonzero(np.concatenate([[True], np.diff(group) != 0]))
        sizes = np.diff(np.append(starts, len(group)))
        for start in starts[1:]:
            axes.axhline(start - 0.5, color="white", linewidth=1.0)
            axes.axhline(start - 0.5, color="black", linewidth=0.4)
        names = group_names(trajectory)
        some = evenly(len(starts), _MOST_NAMED)
        axes.set_yticks(starts[some] + (sizes[some] - 1) / 2)
        labels = [textwrap.shorten(names[group[start]], 24, placeholder="...") for start in starts[some]]
        for text, label in zip(axes.set_yticklabels(labels), labels, strict=True):
            text.set_parse_math(False)
            text.set_text(label)
        return
    some = range(0, len(numbers), -(-len(numbers) // _MOST_ROWS_NAMED))
    axes.set_yticks(some)
    axes.set_yticklabels([str(numbers[k]) for k in some])


@figure_kind(
    "phase",
    "a coordinate or signal against its rate of change",
    needs=lambda trajectory: (
        len(set(trajectory.time.tolist())) >= 3 and (trajectory.signals is not None or has_velocities(trajectory))
    ),
    requires="three frames at different times, and signals or q'",
)
def draw_phase(trajectory, *, neurons=None, groups=None, quantity=None, component=0, title=None, size=None):
    """A coordinate or a signal against its derivative in time: of q by equation (3), of signals by differences.

    `quantity` is "q" where q' is known, else "R". Of a training the derivative is the displacement per epoch.
    """
    quantity = ("q" if has_velocities(trajectory) else "R") if quantity is None else quantity
    as_choice(quantity, ("q", "R", "E"), "quantity")
    if quantity != "q" and trajectory.signals is None:
        raise refusal("quantity", f"{quantity} of a trajectory without signals", "q")
    width = trajectory.dimension if quantity == "q" else trajectory.signals
    component_of(width, component, "coordinates" if quantity == "q" else "signals")
    copies = trajectory.copies if quantity == "q" else 1
    chosen = chosen_neurons(trajectory, neurons, max(1, _MOST_LINES // copies), groups)
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
    titled(axes, title, f"Phase portrait of {subject(trajectory, chosen, neurons, groups)}")
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
