"""Curves of several runs or trainings in one figure."""

from __future__ import annotations

import inspect

import numpy as np

from dynsim._check import as_choice, refusal

from ._figure_kinds import figure_kinds
from ._figure_style import (
    DASHES,
    ECHO_GAIN,
    GREY,
    SCALES,
    UNITS,
    WIDE,
    colours,
    decorate,
    evenly,
    inside,
    legend,
    line,
    mark_below,
    new_figure,
    note,
    plain,
    scale_axis,
    scale_of,
    side_by_side,
    time_label,
    titled,
)
from ._outcome import ending
from ._sources import is_trajectory

_NEURONS = 3  # of every run, where nobody says which
_APART = 1000.0  # from here on sizes of runs make an axis logarithmic
_MOST = 12  # runs: beyond, colours are told apart by nobody


def comparable():
    """Names of the kinds that draw several runs."""
    return [name for name, kind in figure_kinds().items() if kind.curves is not None]


def several_options(kind):
    """Names of the options of a figure of several runs."""
    own = [name for name in inspect.signature(figure_kinds()[kind].curves).parameters][1:]
    return [*own, "scale", "title", "size"]


def draw_several(kind, named, *, scale="auto", title=None, size=None, **options):
    """A colour for every run of {name: opened source}, dashes for what is drawn of each; a panel for every quantity."""
    as_choice(scale, SCALES, "scale")
    if len(named) > _MOST:
        raise refusal("sources", f"{len(named)} of them", f"at most {_MOST} in one figure")
    if kind == "signals" and options.get("neurons") is None and options.get("groups") is None:
        options["neurons"] = evenly(min(source.neurons for source in named.values()), _NEURONS)  # that all have
    found = {name: figure_kinds()[kind].curves(source, **options) for name, source in named.items()}
    panels = list(dict.fromkeys(label for curves in found.values() for label in curves))
    each = (name for curves in found.values() for panel in curves.values() for name in panel)
    lines = list(dict.fromkeys(filter(None, each)))  # the only curve of a panel has no name
    if len(lines) > len(DASHES):
        raise refusal("neurons", f"{len(lines)} curves of every run", f"at most {len(DASHES)}, told apart by dashes")
    dashes = {"": DASHES[0], **{name: DASHES[k % len(DASHES)] for k, name in enumerate(lines)}}
    palette = dict(zip(named, colours(len(named)), strict=True))
    figure, words = new_figure(size), []
    rows = figure.subplots(len(panels), 1, sharex=True, squeeze=False)[:, 0]
    for axes, label in zip(rows, panels, strict=True):
        drawn = [(run, name, *curve) for run, curves in found.items() for name, curve in curves.get(label, {}).items()]
        wide = WIDE if kind in ("learning", "observables") else None
        peaks = [_peak(values) for *_, values in drawn]
        smallest, largest = min(filter(None, peaks), default=0.0), max(peaks, default=0.0)
        # Runs of different sizes would be flat lines.
        asked = "log" if scale == "auto" and largest > _APART * smallest > 0 else scale_of(scale, label)
        said = scale_axis(axes, side_by_side([values for *_, values in drawn]), asked, wide, smallest or None)
        words.append(f"{label}: {said}" if said and len(panels) > 1 else said)
        if label == ECHO_GAIN:
            axes.axhline(1.0, color=GREY, linestyle="--", linewidth=1)
        for run, name, x, values in drawn:
            values = inside(axes, values)
            some = np.isfinite(values)
            marker = "o" if some.sum() <= 1 else None
            style = {"color": palette[run], "linestyle": dashes[name], "linewidth": 1.4, "marker": marker}
            axes.plot(np.asarray(x)[some], values[some], **style)
        decorate(axes, _time(named, options) if axes is rows[-1] else "", label)
    titled(rows[0], title, f"{kind.capitalize()} of {len(named)} runs")
    entries = [line(run, color=palette[run], linewidth=2) for run in named]
    legend(figure, entries + [line(name, color=GREY, linestyle=dashes[name]) for name in lines])
    missing = [f"{plain(run)} has no {label}" for label in panels for run in named if label not in found[run]]
    note(figure, *dict.fromkeys(words), *missing, UNITS)
    _mark_endings(figure, rows if options.get("against") != "step" else [], named, palette)
    return figure


def _peak(values):
    """The largest size of a curve, of its finite values."""
    sizes = np.abs(np.asarray(values, dtype=float))
    return float(sizes[np.isfinite(sizes)].max(initial=0.0))


def _time(named, options):
    """The label of the horizontal axis, which all sources have to share."""
    if options.get("against") == "step":
        return "step"
    labels = {time_label(source) if is_trajectory(source) else "epoch" for source in named.values()}
    if len(labels) > 1:
        raise refusal("sources", f"times in {' and '.join(sorted(labels))}", "runs with the same time")
    return labels.pop()


def _mark_endings(figure, rows, named, palette):
    """A line in the colour of every run that did not reach its end, and a sentence below."""
    sentences = []
    for run, source in named.items():
        end = ending(source) if is_trajectory(source) else None
        if end is not None:
            sentences.append(f"{run}: {end[2]}")
            for axes in rows:
                axes.axvline(end[1], color=palette[run], linestyle=":", linewidth=1.2, zorder=1.5)
    if sentences:
        mark_below(figure, plain(" ".join(sentences)))
