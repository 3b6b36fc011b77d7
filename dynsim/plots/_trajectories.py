"""Paths of neurons through space."""

import numpy as np
from matplotlib.collections import LineCollection
from mpl_toolkits.mplot3d.art3d import Line3DCollection

from dynsim.plots._names import group_names
from dynsim.plots._project import Projection
from dynsim.plots._select import chosen_neurons, evenly, frame_stride, particles, some_of
from dynsim.plots._space import decorate_space, dimensions, same_scale, space
from dynsim.plots._style import (
    UNITS,
    decorate,
    ends,
    legend,
    line,
    looks,
    mark_ends,
    new_figure,
    note,
    thinned,
    time_label,
)

_MOST_PATHS = 120
_MOST_FRAMES = 1000
_MOST_NAMED = 7
_MOST_GROUPS_NAMED = 16


def draw_trajectories(trajectory, *, neurons=None, dim=None, axes="auto", title=None, size=None):
    """Paths in two or three dimensions, coloured by group, or by neuron if there is one group."""
    dim = dimensions(trajectory, dim)
    chosen = chosen_neurons(trajectory, neurons, max(1, _MOST_PATHS // trajectory.copies))
    which, frames = particles(trajectory, chosen), frame_stride(trajectory, _MOST_FRAMES)
    places = trajectory.places(frames, which)
    projection = Projection(places, dim, axes)
    paths, names = projection(places), projection.labels
    if trajectory.dimension == 1:  # one coordinate is drawn over time
        time = np.broadcast_to(trajectory.time[frames][:, None, None], paths.shape)
        paths, names = np.concatenate([time, paths], axis=2), [time_label(trajectory), names[0]]
    figure = new_figure(size)
    panel = space(figure, dim)
    look, entries = _colouring(trajectory, chosen, which)
    _draw(panel, paths, look)
    if len(which) <= _MOST_PATHS:
        mark_ends(panel, paths, [one["color"] for one in look])
    decorate(panel, *names) if dim == 2 else decorate_space(panel, names)
    if trajectory.dimension > 1:
        same_scale(panel, paths)
    panel.set_title(title or _title(trajectory, len(chosen)))
    legend(figure, entries + (ends() if len(which) <= _MOST_PATHS else []))
    note(figure, projection.note, thinned(len(places), trajectory.frames, "frames"), UNITS)
    return figure


def _title(trajectory, shown):
    text = f"Paths of {some_of(shown, trajectory.neurons)}"
    return f"{text}, {trajectory.copies} copies" if trajectory.copies > 1 else text


def _colouring(trajectory, chosen, which):
    """A look for every path, and a legend of bounded length that explains it."""
    groups = trajectory.groups[which]
    kinds = np.unique(groups)
    if len(np.unique(trajectory.groups)) > 1:
        palette, names = looks(len(kinds)), group_names(trajectory)
        named = range(len(kinds))
        if len(kinds) > _MOST_GROUPS_NAMED:
            named = evenly(len(kinds), _MOST_GROUPS_NAMED)
        entries = [line(names[kinds[k]], linewidth=2, **palette[k]) for k in named]
        return [palette[k] for k in np.searchsorted(kinds, groups)], entries
    if len(chosen) <= _MOST_NAMED:
        palette = looks(len(chosen))
        entries = [line(f"neuron {n}", linewidth=2, **palette[k]) for k, n in enumerate(chosen)]
        return [palette[k % len(chosen)] for k in range(len(which))], entries
    return looks(1) * len(which), []


def _draw(axes, paths, look):
    crowd = paths.shape[1]
    style = {
        "colors": [one["color"] for one in look],
        "linestyles": [one["linestyle"] for one in look],
        "linewidths": 1.4 if crowd <= 20 else 0.8,
        "alpha": 0.9 if crowd <= 20 else 0.6,
    }
    many = Line3DCollection if paths.shape[2] == 3 else LineCollection
    axes.add_collection(many(list(np.swapaxes(paths, 0, 1)), **style))
    finite = paths[np.isfinite(paths).all(axis=2)]
    if len(finite):
        axes.auto_scale_xyz(*finite.T) if paths.shape[2] == 3 else axes.update_datalim(finite)
    if paths.shape[2] == 2:
        axes.autoscale_view()
