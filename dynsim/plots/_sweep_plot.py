"""What simulations came to, against the values that were varied."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from dynsim._check import as_instance, refusal

from ._figure_style import LARGEST_LOGARITHM, MARKS, colours, decorate, legend, line, new_figure, note

if TYPE_CHECKING:
    from matplotlib.figure import Figure

ENDED = ("finished", "event", "stopped")  # outcomes of runs that went well
_SPAN = 100.0  # ratio of the largest to the smallest number from which on an axis is logarithmic
_MOST_SERIES = 12
_FAILED = "#B00020"


def sweep_figure(
    rows: Sequence[Mapping[str, Any]],
    keys: Sequence[str],
    observables: Sequence[str],
    *,
    title: str = "Sweep",
    size: tuple[int, int] | None = None,
) -> Figure:
    """Draw observables of a sweep's rows against the first key, a line for each combination of the others.

    Repetitions are drawn as mean and standard deviation. Runs that diverged or failed are marked by a cross above
    the panel, and are in no mean. Axes are logarithmic where positive numbers span two decades, which is said.

    Raises
    ------
    ValueError
        If there are no rows, keys or observables, or a row lacks one.

    Examples
    --------
    >>> rows = [{"delay": d, "seed": s, "outcome": "finished", "spread": d + s} for d in (1, 2) for s in (0, 1)]
    >>> sweep_figure(rows, ["delay"], ["spread"]).axes[0].get_xlabel()
    'delay'
    """
    for name, value in (("rows", rows), ("keys", keys), ("observables", observables)):
        if not as_instance(value, list | tuple, name):
            raise refusal(name, "none", "at least one")
    for row in rows:
        lacking = [name for name in (*keys, *observables, "outcome") if name not in as_instance(row, Mapping, "rows")]
        if lacking:
            raise refusal("rows", f"one without {', '.join(lacking)}", "all keys and observables, and the outcome")
    x_of, ticks = _positions([row[keys[0]] for row in rows])
    series = {}
    for row in rows:
        name = ", ".join(f"{key} = {_text(row[key])}" for key in keys[1:])
        series.setdefault(name, []).append(row)
    shown = dict(list(series.items())[:_MOST_SERIES])
    columns = 1 if len(observables) == 1 else 2
    figure = new_figure(size)
    figure.suptitle(as_instance(title, str, "title"))
    grid = figure.subplots(-(-len(observables) // columns), columns, squeeze=False)
    logarithmic, failed = [], False
    for number, observable in enumerate(observables):
        axes = grid.flat[number]
        for some, colour, mark in zip(shown.values(), colours(len(shown)), MARKS * 2, strict=False):
            failed |= _draw(axes, some, keys[0], observable, x_of, colour=colour, mark=mark)
        numbers = [row[observable] for some in shown.values() for row in some if row["outcome"] in ENDED]
        if _spans_decades(numbers):
            axes.set_yscale("log")
            logarithmic.append(observable)
        if ticks:
            axes.set_xticks(range(len(ticks)), ticks)
        elif _spans_decades([row[keys[0]] for row in rows]):
            axes.set_xscale("log")
            logarithmic.append(keys[0])
        decorate(axes, keys[0], observable)
    for axes in grid.flat[len(observables) :]:
        axes.set_axis_off()
    marks = zip(shown, colours(len(shown)), MARKS * 2, strict=False)
    entries = [line(name, color=colour, marker=mark) for name, colour, mark in marks if name]
    if failed:
        entries.append(line("diverged or failed: no value", color=_FAILED, marker="x", linestyle="none"))
    legend(figure, entries)
    names = ", ".join(dict.fromkeys(logarithmic))
    left = len(series) - len(shown)
    lost = sorted({name for row in rows for name in observables if not _is_drawable(row[name])})
    note(
        figure,
        "bars: standard deviation over seeds" if _has_repetitions(rows, keys) else "",
        f"logarithmic axes: {names}" if names else "",
        f"not drawn where beyond {LARGEST_LOGARITHM:g}: {', '.join(lost)}" if lost else "",
        f"{left} more combinations not drawn" if left else "",
    )
    return figure


def _draw(axes, rows, key, observable, x_of, *, colour, mark):
    """Means of the runs that went well, and crosses of the others; returns whether there were any."""
    grouped = {}
    for row in rows:
        if row["outcome"] in ENDED and _is_drawable(row[observable]):
            grouped.setdefault(x_of(row[key]), []).append(float(row[observable]))
    xs = sorted(grouped)
    means = [np.mean(grouped[x]) for x in xs]
    bars = [np.std(grouped[x], ddof=1) if len(grouped[x]) > 1 else 0.0 for x in xs]
    axes.errorbar(xs, means, yerr=bars if any(bars) else None, color=colour, marker=mark, markersize=5, capsize=3)
    bad = [row for row in rows if row["outcome"] not in ENDED]
    for row in bad:
        # Above the panel, where no value is: what they came to may be any number.
        axes.plot(x_of(row[key]), 1.04, "x", color=_FAILED, transform=axes.get_xaxis_transform(), clip_on=False)
    return bool(bad)


def _positions(values):
    """A function from a value to its place on the axis, and names of the places where values are no numbers."""
    if all(isinstance(value, int | float) and not isinstance(value, bool) for value in values):
        return float, []
    names = list(dict.fromkeys(map(_text, values)))
    return (lambda value: names.index(_text(value))), names


def _text(value):
    return f"{value:g}" if isinstance(value, float) else str(value)


def _is_drawable(value):
    """Whether a value can be drawn."""
    return isinstance(value, int | float) and abs(value) < LARGEST_LOGARITHM


def _spans_decades(numbers):
    """Whether positive numbers span two decades.

    >>> _spans_decades([1, 50.0]), _spans_decades([0.1, 20.0]), _spans_decades([-1, 1000.0])
    (False, True, False)
    """
    found = [number for number in numbers if _is_drawable(number)]
    return bool(found) and min(found) > 0 and max(found) >= _SPAN * min(found)


def _has_repetitions(rows, keys):
    values = [tuple(_text(row[key]) for key in keys) for row in rows]
    return len(set(values)) < len(values)
