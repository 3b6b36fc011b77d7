"""What was written with every frame: loss, accuracy, energy."""

import numpy as np

from dynsim.plots._style import colours, decorate, legend, line, new_figure, time_label, whole_numbers

_MOST_PANELS = 4
_FEW_POINTS = 60  # up to here every frame gets a mark


def draw_observables(trajectory, *, names=None, against="time", title=None, size=None):
    """One panel for every kind of observable: train_loss and test_loss share one."""
    names = (names,) if isinstance(names, str) else tuple(names or trajectory.observables)
    for name in names:
        if name not in trajectory.observables:
            raise ValueError(f"got observable {name!r}, expected some of {', '.join(trajectory.observables)}")
    if against not in ("time", "step"):
        raise ValueError(f"got against {against!r}, expected time or step")
    panels = {}
    for name in names:
        panels.setdefault(name.rsplit("_", 1)[-1], []).append(name)
    if len(panels) > _MOST_PANELS:
        panels = {"value": list(names)}
    x = trajectory.time if against == "time" else trajectory.step
    label = time_label(trajectory) if against == "time" else "step"
    palette = dict(zip(names, colours(len(names)), strict=True))
    figure = new_figure(size)
    rows = figure.subplots(len(panels), 1, sharex=True, squeeze=False)[:, 0]
    for axes, (kind, members) in zip(rows, panels.items(), strict=True):
        every = np.concatenate([trajectory.observables[name] for name in members])
        for name in members:
            values = trajectory.observables[name]
            some = np.isfinite(values)  # an observable need not be measured at every frame
            marker = "o" if some.sum() <= _FEW_POINTS else None
            axes.plot(x[some], values[some], color=palette[name], linewidth=1.5, marker=marker, markersize=3.5)
        decorate(axes, label if axes is rows[-1] else "", kind)
        every = every[np.isfinite(every)]
        if len(every) and every.min() > 0 and every.max() > 50 * every.min():
            axes.set_yscale("log")
    whole_numbers(rows[-1], x)
    rows[0].set_title(title or f"Observables over {trajectory.frames:,} frames")
    legend(figure, [line(name, palette[name], linewidth=2) for name in names[:20]])
    return figure
