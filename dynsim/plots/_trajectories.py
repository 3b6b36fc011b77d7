"""Paths of neurons through space."""

import numpy as np
from matplotlib.collections import LineCollection
from mpl_toolkits.mplot3d.art3d import Line3DCollection

from dynsim.plots._select import chosen_neurons, evenly, frame_stride, particles, some_of
from dynsim.plots._style import colours, decorate, ends, legend, line, mark_ends, new_figure, time_label

_MOST_PATHS = 120
_MOST_FRAMES = 1000
_MOST_NAMED = 7
_MOST_GROUPS_NAMED = 16


def draw_trajectories(trajectory, *, neurons=None, dim=None, title=None, size=None):
    """Paths in the first two or three coordinates, coloured by group, or by neuron if there is one group."""
    dim = min(3, max(2, trajectory.dimension)) if dim is None else dim
    if dim not in (2, 3):
        raise ValueError(f"got dim {dim!r}, expected 2 or 3")
    if dim == 3 and trajectory.dimension < 3:
        raise ValueError(f"got dim 3 for places of {trajectory.dimension} coordinates; choose dim 2")
    chosen = chosen_neurons(trajectory, neurons, max(1, _MOST_PATHS // trajectory.copies))
    which, frames = particles(trajectory, chosen), frame_stride(trajectory, _MOST_FRAMES)
    paths = trajectory.places(frames, which)[:, :, :dim].astype(float)
    names = [rf"$q_{{{k + 1}}}$" for k in range(dim)]
    if trajectory.dimension == 1:  # one coordinate is drawn over time
        time = np.broadcast_to(trajectory.time[frames][:, None, None], paths.shape)
        paths, names = np.concatenate([time, paths], axis=2), [time_label(trajectory), names[0]]
    figure = new_figure(size)
    axes = figure.add_subplot(projection="3d" if dim == 3 else None)
    colour, entries, heading = _colouring(trajectory, chosen, which)
    _draw(axes, paths, colour)
    if len(which) <= _MOST_PATHS:
        mark_ends(axes, paths, colour)
    decorate(axes, *names[:2]) if dim == 2 else _decorate_3d(axes, names)
    if trajectory.dimension > 1:
        _same_scale(axes, paths)
    axes.set_title(title or _title(trajectory, len(chosen), dim))
    legend(figure, entries + (ends() if len(which) <= _MOST_PATHS else []), heading)
    return figure


def _title(trajectory, shown, dim):
    text = f"Paths of {some_of(shown, trajectory.neurons)}"
    if trajectory.copies > 1:
        text += f", {trajectory.copies} copies"
    return text if trajectory.dimension <= dim else f"{text}, {dim} of {trajectory.dimension} coordinates"


def _colouring(trajectory, chosen, which):
    """A colour for every path, and a legend of bounded length that explains it."""
    groups = trajectory.groups[which]
    kinds = np.unique(groups)
    if len(np.unique(trajectory.groups)) > 1:
        palette = colours(len(kinds))
        named = range(len(kinds))
        if len(kinds) > _MOST_GROUPS_NAMED:
            named = evenly(len(kinds), _MOST_GROUPS_NAMED)
        entries = [line(f"group {kinds[k]}", palette[k], linewidth=2) for k in named]
        return [palette[k] for k in np.searchsorted(kinds, groups)], entries, None
    if len(chosen) <= _MOST_NAMED:
        palette = colours(len(chosen))
        entries = [line(f"neuron {n}", palette[k], linewidth=2) for k, n in enumerate(chosen)]
        return [palette[k % len(chosen)] for k in range(len(which))], entries, None
    return [colours(1)[0]] * len(which), [], None


def _draw(axes, paths, colour):
    crowd = paths.shape[1]
    style = {
        "colors": colour,
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


def _decorate_3d(axes, names):
    axes.set_xlabel(names[0])
    axes.set_ylabel(names[1])
    axes.set_zlabel(names[2])
    axes.tick_params(labelsize=8)
    # A vertical label beside the third axis would be cut off at the figure's edge.
    axes.set_box_aspect(None, zoom=0.9)


def _same_scale(axes, paths):
    """One scale for all coordinates, unless the paths are so flat that nothing would be seen."""
    finite = paths[np.isfinite(paths).all(axis=2)]
    if not len(finite):
        return
    extent = np.ptp(finite, axis=0)
    if extent.min() > 0.1 * extent.max():
        if paths.shape[2] == 3:
            axes.set_aspect("equal")
        else:
            axes.set_aspect("equal", adjustable="datalim")
