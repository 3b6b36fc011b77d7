"""Numbers over time, a panel for every kind of them."""

import numpy as np

from dynsim.plots._style import decorate, legend, line, looks, new_figure, whole_numbers

_MOST_PANELS = 4
_FEW_POINTS = 60  # up to here every number gets a mark
_UNITS = {"accuracy": "accuracy (%)", "loss": "loss (nats)"}


def draw_curves(curves, label, title, size=None):
    """A figure of curves {name: (x, values)}; train_loss and test_loss, with the same last word, share a panel.

    Values that are not finite were not measured and are left out. Panels beyond four become one.
    """
    panels = {}
    for name in curves:
        panels.setdefault(name.rsplit("_", 1)[-1], []).append(name)
    if len(panels) > _MOST_PANELS:
        panels = {"value": list(curves)}
    palette = dict(zip(curves, looks(len(curves)), strict=True))
    figure = new_figure(size)
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
        decorate(axes, label if axes is rows[-1] else "", _UNITS.get(kind, kind))
        every = np.concatenate(seen)
        if len(every) and every.min() > 0 and every.max() > 50 * every.min():
            axes.set_yscale("log")
    rows[0].set_title(title)
    legend(figure, [line(name, linewidth=2, **palette[name]) for name in list(curves)[:20]])
    return figure
