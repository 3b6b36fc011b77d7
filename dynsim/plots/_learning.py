"""A training's loss and accuracy over its epochs."""

from dynsim.plots._curves import draw_curves
from dynsim.plots._kinds import learned
from dynsim.plots._source import is_trajectory
from dynsim.plots._style import GREY, time_label


def draw_learning(source, *, title=None, size=None):
    """Loss and accuracy by epoch, from a training's trajectory or from metrics.jsonl; the best epoch is marked."""
    if is_trajectory(source):
        curves = {name: (source.time, source.observables[name]) for name in learned(source)}
        label = time_label(source)
    else:
        curves = {name: source.numbers(name) for name in learned(source)}
        label = "epoch"
    figure = draw_curves(curves, label, title or "Learning", size)
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
