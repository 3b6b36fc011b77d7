"""Neurons before and after a run or a training."""

import numpy as np

from dynsim.plots._names import group_names
from dynsim.plots._project import Projection
from dynsim.plots._select import chosen_neurons, evenly, particles, some_of
from dynsim.plots._space import decorate_space, dimensions, in_space, same_scale, space
from dynsim.plots._style import MARKS, UNITS, colours, decorate, legend, line, new_figure, note, time_label

_MOST_PLACES = 6000
_MOST_NAMED = 16


def draw_neurons(trajectory, *, neurons=None, dim=None, axes="auto", title=None, size=None):
    """Places in the first and in the last frame, side by side on the same axes, coloured by group (layer)."""
    dim = dimensions(trajectory, dim)
    chosen = chosen_neurons(trajectory, neurons, max(1, _MOST_PLACES // trajectory.copies))
    which = particles(trajectory, chosen)
    ends = [0, trajectory.frames - 1]
    places = np.stack([trajectory.q[k][which] for k in ends]).astype(float)
    projection = Projection(places, dim, axes)
    seen = in_space(projection(places), dim)
    groups = trajectory.groups[which]
    kinds = np.unique(groups)
    palette, names = colours(len(kinds)), group_names(trajectory)
    figure = new_figure((1500, 800) if size is None else size)
    labels = [*projection.labels, ""][:dim]
    word = time_label(trajectory).split(" (")[0]
    panels = []
    for column, k in enumerate(ends):
        panel = space(figure, dim, 1, 2, column + 1)
        for number, kind in enumerate(kinds):
            here = seen[column][groups == kind]
            mark = MARKS[number % len(MARKS)]
            panel.scatter(*here.T, s=_area(len(which)), color=palette[number], marker=mark, alpha=0.75, linewidths=0)
        decorate(panel, *labels) if dim == 2 else decorate_space(panel, labels)
        panel.set_title(f"{'before' if column == 0 else 'after'}: {word} {trajectory.time[k]:.4g}")
        panels.append(panel)
    _same_limits(panels, seen, dim)
    figure.suptitle(title or _title(trajectory, len(chosen)))
    named = range(len(kinds)) if len(kinds) <= _MOST_NAMED else evenly(len(kinds), _MOST_NAMED)
    entries = [
        line(names[kinds[k]], color=palette[k], marker=MARKS[k % len(MARKS)], linestyle="none", markersize=6)
        for k in named
    ]
    legend(figure, entries)
    note(figure, projection.note, UNITS)
    return figure


def _title(trajectory, shown):
    text = some_of(shown, trajectory.neurons).capitalize()
    return f"{text}, {trajectory.copies} copies" if trajectory.copies > 1 else text


def _area(count):
    """Square points of a mark: smaller where there are many."""
    return float(np.clip(6000 / count, 5, 40))


def _same_limits(panels, seen, dim):
    finite = seen[np.isfinite(seen).all(axis=-1)]
    if not len(finite):
        return
    low, high = finite.min(axis=0), finite.max(axis=0)
    margin = 0.05 * np.maximum(high - low, 1e-12)
    for panel in panels:
        for axis, name in enumerate("xyz"[:dim]):
            getattr(panel, f"set_{name}lim")(low[axis] - margin[axis], high[axis] + margin[axis])
        same_scale(panel, seen, adjustable="box")
