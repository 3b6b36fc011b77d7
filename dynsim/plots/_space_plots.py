"""Neurons in space: their paths, where they begin and end, and the forces on them."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from matplotlib.collections import LineCollection
from mpl_toolkits.mplot3d.art3d import Line3DCollection

from dynsim._check import refusal
from dynsim.layers import softmax_cross_entropy
from dynsim.models import load_data_for

from ._figure_kinds import figure_kind
from ._figure_style import (
    AMOUNTS,
    UNITS,
    colours,
    decorate,
    end_entries,
    evenly,
    legend,
    line,
    line_styles,
    mark_ends,
    new_figure,
    note,
    rest_entry,
    thinned,
    time_label,
    titled,
)
from ._groups import group_colours, group_entries, group_marks, group_names, shown_groups
from ._projection import Projection, decorate_space, dimensions, in_space, projection_of, same_scale, space
from ._selection import (
    VELOCITIES,
    chosen_neurons,
    frame_stride,
    has_velocities,
    is_training,
    particle_indices,
    some_of,
    subject,
    velocities,
)
from ._sources import is_trajectory

_MOST_PATHS = 120
_MOST_PIECES = 60  # of a path that is coloured by time
_INK = "#333333"
_MOST_FRAMES = 1000
_MOST_NEURONS_NAMED = 7
_MOST_GROUPS_NAMED = 16
_MOST_PLACES = 6000
_MOST_ARROWS = 400
_LONGEST = 0.12  # length of an arrow, in shares of the picture's width, of the force that 95 in 100 stay below
_IMAGES = 500  # on which the forces of learning are evaluated


@figure_kind("trajectories", "paths in two or three dimensions, with start and end")
def draw_trajectories(trajectory, *, neurons=None, groups=None, dim=None, axes="auto", title=None, size=None):
    """Paths in two or three dimensions, coloured by group, or by neuron if there is one group."""
    dim = dimensions(trajectory, dim)
    chosen = chosen_neurons(trajectory, neurons, max(1, _MOST_PATHS // trajectory.copies), groups)
    which, frames = particle_indices(trajectory, chosen), frame_stride(trajectory, _MOST_FRAMES)
    places = trajectory.places(frames, which)
    projection = projection_of(trajectory, dim, axes)
    paths, names = projection(places), projection.labels
    if trajectory.dimension == 1:  # one coordinate is drawn over time
        time = np.broadcast_to(trajectory.time[frames][:, None, None], paths.shape)
        paths, names = np.concatenate([time, paths], axis=2), [time_label(trajectory), names[0]]
    figure = new_figure(size)
    panel = space(figure, dim)
    styles, entries = _path_styles(trajectory, chosen, which)
    if styles is None and trajectory.dimension > 1 and len(places) > 1:
        bar = figure.colorbar(
            _draw_paths_in_time(panel, paths, trajectory.time[frames]), ax=panel, pad=0.1, shrink=0.85
        )
        bar.set_label(time_label(trajectory))
        bar.solids.set_alpha(1.0)
    styles = [{"color": _INK, "linestyle": "-"}] * len(which) if styles is None else styles
    if not panel.collections:
        _draw_paths(panel, paths, styles)
    mark_ends(panel, paths, [one["color"] for one in styles])
    decorate(panel, *names) if dim == 2 else decorate_space(panel, names)
    if trajectory.dimension > 1:
        same_scale(panel, paths)
    titled(panel, title, f"Paths of {_subject(trajectory, chosen, neurons, groups)}")
    legend(figure, entries + end_entries())
    note(figure, projection.note, thinned(len(places), trajectory.frames, "frames"), UNITS)
    return figure


def _subject(trajectory, chosen, neurons, groups):
    """Words for a title, with the number of copies."""
    text = subject(trajectory, chosen, neurons, groups)
    return f"{text}, {trajectory.copies} copies" if trajectory.copies > 1 else text


def _path_styles(trajectory, chosen, which):
    """A style for every path, and a legend of bounded length that explains them; None where many are of one group."""
    groups = trajectory.groups[which]
    names = group_names(trajectory)
    if len(names) > 1:
        palette = dict(zip(names, line_styles(len(names)), strict=True))
        kinds = shown_groups(trajectory, chosen)
        named = [kinds[k] for k in evenly(len(kinds), _MOST_GROUPS_NAMED)]
        entries = [line(names[k], linewidth=2, **palette[k]) for k in named]
        return [palette[k] for k in groups.tolist()], entries + rest_entry(len(kinds), len(named))
    if len(chosen) <= _MOST_NEURONS_NAMED:
        palette = line_styles(len(chosen))
        entries = [line(f"neuron {n}", linewidth=2, **palette[k]) for k, n in enumerate(chosen)]
        return [palette[k % len(chosen)] for k in range(len(which))], entries
    return None, []


def _draw_paths(axes, paths, styles):
    crowd = paths.shape[1]
    style = {
        "colors": [one["color"] for one in styles],
        "linestyles": [one["linestyle"] for one in styles],
        "linewidths": 1.4 if crowd <= 20 else 0.8,
        "alpha": 0.9 if crowd <= 20 else 0.6,
    }
    many = Line3DCollection if paths.shape[2] == 3 else LineCollection
    axes.add_collection(many(list(np.swapaxes(paths, 0, 1)), **style))
    _fit(axes, paths)


def _draw_paths_in_time(axes, paths, time):
    """Paths (T, P, 2 or 3) coloured by time, in some pieces each; returns what the colours stand for."""
    ends = np.unique(np.linspace(0, len(time) - 1, _MOST_PIECES + 1).astype(int))
    pieces = [paths[a : b + 1, p] for p in range(paths.shape[1]) for a, b in pairwise(ends)]
    middles = np.tile((time[ends[1:]] + time[ends[:-1]]) / 2, paths.shape[1])
    many = Line3DCollection if paths.shape[2] == 3 else LineCollection
    drawn = many(pieces, array=middles, cmap=AMOUNTS, linewidths=0.8)
    drawn.set_clim(time[0], time[-1])
    axes.add_collection(drawn)
    _fit(axes, paths)
    return drawn


def _fit(axes, paths):
    """Limits of the axes that hold all paths."""
    finite = paths[np.isfinite(paths).all(axis=2)]
    if len(finite):
        axes.auto_scale_xyz(*finite.T) if paths.shape[2] == 3 else axes.update_datalim(finite)
    if paths.shape[2] == 2:
        axes.autoscale_view()


@figure_kind(
    "neurons",
    "neurons before and after, in space, coloured by layer",
    needs=lambda trajectory: trajectory.frames > 1,
    requires="two frames",
)
def draw_neurons(trajectory, *, neurons=None, groups=None, dim=None, axes="auto", title=None, size=None):
    """Places in the first and in the last frame, side by side on the same axes, coloured by group (layer)."""
    dim = dimensions(trajectory, dim)
    chosen = chosen_neurons(trajectory, neurons, max(1, _MOST_PLACES // trajectory.copies), groups)
    which = particle_indices(trajectory, chosen)
    ends = [0, trajectory.frames - 1]
    places = np.stack([trajectory.q[k][which] for k in ends]).astype(float)
    projection = projection_of(trajectory, dim, axes)
    seen = in_space(projection(places), dim)
    group, kinds = trajectory.groups[which], shown_groups(trajectory, chosen)
    palette, marks = group_colours(trajectory), group_marks(trajectory)
    figure = new_figure((1500, 800) if size is None else size)
    labels = [*projection.labels, ""][:dim]
    word = time_label(trajectory).split(" (")[0]
    panels = []
    for column, k in enumerate(ends):
        panel = space(figure, dim, 1, 2, column + 1)
        for kind in kinds:
            here = seen[column][group == kind]
            style = {"color": palette[kind], "marker": marks[kind], "alpha": 0.75, "linewidths": 0}
            panel.scatter(*here.T, s=_mark_area(len(which)), **style)
        decorate(panel, *labels) if dim == 2 else decorate_space(panel, labels)
        panel.set_title(f"{'before' if column == 0 else 'after'}: {word} {trajectory.time[k]:.4g}")
        panels.append(panel)
    _same_limits(panels, seen, dim)
    titled(figure, title, _subject(trajectory, chosen, neurons, groups))
    legend(figure, group_entries(trajectory, kinds, _MOST_GROUPS_NAMED, markersize=6))
    note(figure, projection.note, UNITS)
    return figure


def _mark_area(count):
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


def _has_forces(source):
    if is_trajectory(source):
        return has_velocities(source)
    return any(parameter.kind == "places" for parameter in source.parameters.values())


@figure_kind(
    "forces",
    "arrows: q' of a frame, or -dL/dq of a model's neurons on a data set",
    sources=("trajectory", "model"),
    needs=_has_forces,
    requires=f"{VELOCITIES}; or places of a model's neurons",
)
def draw_forces(
    source,
    *,
    neurons=None,
    groups=None,
    frame=None,
    data=None,
    data_dir=None,
    dim=None,
    axes="auto",
    title=None,
    size=None,
):
    """Arrows at the places of a frame along q', or of a model along -dL/dq.

    Of a run q' is the right-hand side of equation (3), the force of overdamped motion, or the velocity of neurons with
    mass; of a training it is what moved since the frame before. Of a model it is the force of learning: the cross
    entropy of the first 500 training images of the data set `data`, sent back through all layers.
    """
    if is_trajectory(source):
        if data is not None or data_dir is not None:
            raise refusal("data, data_dir", "some for a trajectory", "none: they are for the forces of a model")
        places, arrows, group, words = _rates_of_change(source, neurons, groups, -1 if frame is None else frame)
        names, palette = group_names(source), group_colours(source)
    else:
        if neurons is not None or groups is not None:
            raise refusal("neurons, groups", "some for a model", "none: those shown are spread evenly over all layers")
        if frame is not None:
            raise refusal("frame", f"{frame} for a model", "none: a model has no frames")
        places, arrows, group, names, words = _learning_forces(source, data, data_dir)
        palette = dict(zip(names, colours(len(names)), strict=True))
    dim = min(3, max(2, places.shape[1])) if dim is None else dim
    if dim not in (2, 3) or (dim == 3 and places.shape[1] < 3):
        raise refusal("dim", f"{dim!r} for places of {places.shape[1]} coordinates", "2 or 3, not above it")
    projection = projection_of(source, dim, axes) if is_trajectory(source) else Projection(places, dim, axes)
    seen, arrows = in_space(projection(places), dim), in_space(projection.directions(arrows), dim)
    figure = new_figure(size)
    panel = space(figure, dim)
    kinds = np.unique(group).tolist()
    scale = _arrow_scale(seen, arrows)
    _draw_arrows(panel, seen, scale * arrows, group, {kind: palette[kind] for kind in kinds})
    labels = [*projection.labels, ""][:dim]
    decorate(panel, *labels) if dim == 2 else decorate_space(panel, labels)
    same_scale(panel, np.concatenate([seen, seen + scale * arrows]))
    titled(panel, title, words)
    named = evenly(len(kinds), _MOST_GROUPS_NAMED)
    entries = [line(names[kinds[k]], color=palette[kinds[k]], linewidth=2) for k in named]
    legend(figure, entries + rest_entry(len(kinds), len(named)))
    moved = is_trajectory(source) and is_training(source)
    fast = is_trajectory(source) and source.velocity is not None
    what = "difference of two frames" if moved else "velocity" if fast else "force"
    length = f"arrows are {scale:g} times the {what}"
    note(figure, projection.note, length if arrows.any() else "", UNITS)
    return figure


def _rates_of_change(trajectory, neurons, groups, frame):
    """Places, q', their groups, and a title, of one frame."""
    count = trajectory.frames
    if not -count <= frame < count:
        raise refusal("frame", frame, f"a number from 0 to {count - 1}, or from the end, -1 to {-count}")
    frame %= count
    chosen = chosen_neurons(trajectory, neurons, max(1, _MOST_ARROWS // trajectory.copies), groups)
    which = particle_indices(trajectory, chosen)
    places = trajectory.q[frame][which].astype(float)
    rate = velocities(trajectory, slice(frame, frame + 1), which)[0]
    word = time_label(trajectory).split(" (")[0]
    what = "Displacement per epoch of" if is_training(trajectory) else "Forces q' on"
    if trajectory.velocity is not None:
        what = "Velocities q' of"
    if not rate.any():
        what = "Nothing moved: displacement 0 of" if is_training(trajectory) else "Nothing moves: q' is 0 on"
    words = f"{what} {subject(trajectory, chosen, neurons, groups)} at {word} {trajectory.time[frame]:.4g}"
    return places, rate, trajectory.groups[which], words


def _learning_forces(model, data, data_dir):
    """Places of a model's neurons and -dL/dq on them."""
    if data is None:
        raise refusal("data", "none for the forces of a model", "a data set, as data='digits' (--data digits)")
    images = load_data_for(model, data, data_dir)
    batch, labels = images.train_images[:_IMAGES], images.train_labels[:_IMAGES]
    for parameter in model.parameters.values():
        parameter.reset()
    kept = {name: array.copy() for name, array in model.arrays.items()}  # norms average over what they see
    loss, gradient = softmax_cross_entropy(model.forward(batch, training=True), labels)
    model.backward(gradient)
    for name, array in model.arrays.items():
        array[...] = kept[name]
    subsystems = {name: p for name, p in model.parameters.items() if p.kind == "places"}
    widths = {parameter.value.shape[-1] for parameter in subsystems.values()}
    d = max(widths)
    rows = [_rows(parameter.value, d) for parameter in subsystems.values()]
    forces = [-_rows(parameter.gradient, d) for parameter in subsystems.values()]
    groups = np.concatenate([np.full(len(part), k) for k, part in enumerate(rows)])
    places, forces = np.concatenate(rows), np.concatenate(forces)
    shown = evenly(len(places), _MOST_ARROWS)
    words = f"Forces -dL/dq on {some_of(len(shown), len(places), 'places')}, loss {loss:.3g}"
    names = dict(enumerate(model.subsystem_names.values()))
    return places[shown], forces[shown], groups[shown], names, words


def _rows(array, d):
    rows = array.reshape(-1, array.shape[-1]).astype(float)
    return np.pad(rows, ((0, 0), (0, d - rows.shape[1])))


def _arrow_scale(places, arrows):
    """What arrows are multiplied by: a round number that makes most of them short against the picture."""
    finite = np.isfinite(places).all(axis=1) & np.isfinite(arrows).all(axis=1)
    if not finite.any():
        return 1.0
    width = np.ptp(places[finite], axis=0).max() or 1.0
    typical = np.quantile(np.linalg.norm(arrows[finite], axis=1), 0.95)
    if not typical > 0:
        return 1.0
    exact = _LONGEST * width / typical
    size = 10.0 ** np.floor(np.log10(exact))
    return float(size * max(step for step in (1, 2, 5) if step * size <= exact))


def _draw_arrows(panel, places, arrows, groups, palette):
    """Arrows of every group in its colour."""
    finite = np.isfinite(places).all(axis=1) & np.isfinite(arrows).all(axis=1)
    for kind, colour in palette.items():
        here = finite & (groups == kind)
        ends = (*places[here].T, *arrows[here].T)
        if places.shape[1] == 2:
            panel.quiver(*ends, color=colour, angles="xy", scale_units="xy", scale=1, width=0.003, zorder=3)
            panel.scatter(*ends[:2], s=9, color=colour, zorder=4)
            panel.update_datalim(places[here] + arrows[here])
        else:
            panel.quiver(*ends, color=colour, linewidth=1)
            panel.scatter(*ends[:3], s=9, color=colour, depthshade=False)
    if places.shape[1] == 2:
        panel.autoscale_view()
