"""Numbers over time, a panel for every kind of them: observables, learning, accuracy under noise."""

from __future__ import annotations

import numpy as np

from dynsim._check import as_choice, refusal

from ._comparison import compare
from ._figure_kinds import figure_kind
from ._figure_style import (
    GREY,
    SCALES,
    WIDE,
    decorate,
    legend,
    line,
    line_styles,
    new_figure,
    note,
    plain,
    rest_entry,
    scale_axis,
    scale_of,
    side_by_side,
    time_label,
    titled,
    whole_numbers,
)
from ._sources import is_trajectory

_MOST_PANELS = 4
_MOST_NAMED = 16
_FEW_POINTS = 60  # up to here every number gets a mark
_UNITS = {"accuracy": "accuracy (%)", "loss": "loss (nats)", "entropy": "entropy (bits)"}


def _panels(names):
    """{label of a panel: names in it}: train_loss and test_loss, with the same last word, share one; all, beyond four.

    >>> _panels(["train_loss", "validation_loss", "validation_accuracy"])
    {'loss (nats)': ['train_loss', 'validation_loss'], 'accuracy (%)': ['validation_accuracy']}
    """
    panels = {}
    for name in names:
        last = name.rsplit("_", 1)[-1]
        panels.setdefault(_UNITS.get(last, plain(last)), []).append(name)
    return panels if len(panels) <= _MOST_PANELS else {"value": list(names)}


def _draw_curves(curves, label, title, size=None, scale="auto"):
    """A figure of curves {name: (x, values)}.

    Values that are not finite were not measured and are left out. `title` is the user's, or None, and the default.
    """
    panels = _panels(curves)
    palette = dict(zip(curves, line_styles(len(curves)), strict=True))
    as_choice(scale, SCALES, "scale")
    figure, words = new_figure(size), []
    rows = figure.subplots(len(panels), 1, sharex=True, squeeze=False)[:, 0]
    for axes, (kind, members) in zip(rows, panels.items(), strict=True):
        seen = []
        for name in members:
            x, values = (np.asarray(part, dtype=float) for part in curves[name])
            some = np.isfinite(values)
            marker = "o" if some.sum() <= _FEW_POINTS else None
            axes.plot(x[some], values[some], linewidth=1.5, marker=marker, markersize=3.5, **palette[name])
            seen.append(values[some])
            whole_numbers(axes, x)
        decorate(axes, label if axes is rows[-1] else "", kind)
        words.append(scale_axis(axes, side_by_side(seen), scale_of(scale, kind), WIDE))
    titled(rows[0], *title)
    shown = list(curves)[:_MOST_NAMED]
    entries = [line(name, linewidth=2, **palette[name]) for name in shown]
    legend(figure, entries + rest_entry(len(curves), len(shown)))
    if any(words):
        note(figure, *dict.fromkeys(words))
    return figure


@figure_kind(
    "observables",
    "loss, accuracy and what else was written with every frame",
    needs=lambda trajectory: bool(trajectory.observables),
    requires="observables such as a loss",
    curves=lambda trajectory, *, names=None, against="time": _by_panel(_observables(trajectory, names, against)),
)
def draw_observables(trajectory, *, names=None, against="time", scale="auto", title=None, size=None):
    """One panel for every kind of observable: train_loss and test_loss share one."""
    curves = _observables(trajectory, names, against)
    label = time_label(trajectory) if against == "time" else "step"
    return _draw_curves(curves, label, (title, f"Observables over {trajectory.frames:,} frames"), size, scale)


def _observables(trajectory, names, against):
    names = (names,) if isinstance(names, str) else tuple(names or trajectory.observables)
    for name in names:
        if name not in trajectory.observables:
            raise refusal("names", f"observable {name!r}", f"some of {', '.join(trajectory.observables)}")
    as_choice(against, ("time", "step"), "against")
    x = trajectory.time if against == "time" else trajectory.step
    return {name: (x, trajectory.observables[name]) for name in names}


def _by_panel(curves):
    return {label: {name: curves[name] for name in members} for label, members in _panels(curves).items()}


def _learning_curves(source):
    if is_trajectory(source):
        return {name: (source.time, source.observables[name]) for name in _learned(source)}
    return {name: source.numbers(name) for name in _learned(source)}


def _learned(source):
    """Names of what is measured epoch by epoch."""
    if is_trajectory(source):
        names = source.observables
    else:
        names = dict.fromkeys(name for entry in source.entries if "epoch" in entry for name in entry)
    return [name for name in names if name.endswith(("loss", "accuracy"))]


@figure_kind(
    "learning",
    "loss and accuracy over the epochs of a training",
    sources=("trajectory", "lines"),
    needs=lambda source: bool(_learned(source)),
    requires="a training's loss or accuracy",
    curves=lambda source: _by_panel(_learning_curves(source)),
)
def draw_learning(source, *, scale="auto", title=None, size=None):
    """Loss and accuracy by epoch, from a training's trajectory or from metrics.jsonl; the best epoch is marked."""
    curves, label = _learning_curves(source), time_label(source) if is_trajectory(source) else "epoch"
    figure = _draw_curves(curves, label, (title, "Learning"), size, scale)
    for name, (epochs, values) in curves.items():
        if name.startswith("validation") and name.endswith("accuracy") and len(values):
            best = max(range(len(values)), key=lambda k: values[k] if values[k] == values[k] else -1.0)
            axes = figure.axes[[axis.get_ylabel().startswith("accuracy") for axis in figure.axes].index(True)]
            axes.axvline(epochs[best], color=GREY, linewidth=1, linestyle=":")
            text = f"best: {values[best]:.2f} % at epoch {epochs[best]:g}"
            side = "left" if best < len(values) / 2 else "right"
            where = {"xy": (epochs[best], 0), "xycoords": ("data", "axes fraction")}
            axes.annotate(text, **where, xytext=(4 if side == "left" else -4, 6), textcoords="offset points", ha=side,
                          fontsize=9, color=GREY)  # fmt: skip
    return figure


def _is_size(value):
    return isinstance(value, int | float) and value >= 0


@figure_kind(
    "noise",
    "accuracy against the size of a perturbation",
    sources=("lines",),
    needs=lambda lines: any("delta" in entry and "test_accuracy" in entry for entry in lines.entries),
    requires="lines of dynsim evaluate --json with delta and test_accuracy",
)
def draw_noise(lines, *, title=None, size=None):
    """Accuracy against delta with its deviation over the draws: a curve for every model and kind of noise.

    The lines are what `dynsim evaluate --json` prints, one for every delta; delta = 0, the ideal, is a dashed line.
    """
    series, ideal = {}, []
    for entry in lines.entries:
        delta, accuracy, deviation = (entry.get(key) for key in ("delta", "test_accuracy", "deviation"))
        if not isinstance(delta, int | float) or not isinstance(accuracy, int | float):
            continue
        if delta == 0:
            ideal.append(accuracy)
            continue
        name = ", ".join(str(entry[key]) for key in ("model", "noise") if entry.get(key))
        series.setdefault(name or "accuracy", []).append((delta, accuracy, deviation if _is_size(deviation) else 0.0))
    if not series:
        do = "evaluate with --delta above 0, too"
        raise refusal(lines.path, "accuracies at delta 0 only", "some at other deltas", do)
    series = {name: sorted(points) for name, points in series.items()}
    labels = {"x": r"size of the perturbation $\delta$", "y": "test accuracy (%)"}
    title = "Accuracy under noise" if title is None else title
    figure = compare(series, **labels, logarithmic=True, lines=True, title=title, size=size)
    for accuracy in sorted(set(ideal)):
        figure.axes[0].axhline(accuracy, color=GREY, linestyle="--", linewidth=1)
        figure.axes[0].annotate("ideal", (1, accuracy), (-4, 4), ("axes fraction", "data"), "offset points", ha="right",
                                fontsize=9, color=GREY)  # fmt: skip
    note(figure, "bars: standard deviation over draws")
    return figure
