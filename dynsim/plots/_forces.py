"""Forces as arrows: where neurons are driven to."""

import numpy as np

from dynsim.layers import softmax_cross_entropy
from dynsim.plots._names import group_names
from dynsim.plots._project import Projection
from dynsim.plots._select import chosen_neurons, evenly, particles, some_of
from dynsim.plots._source import is_trajectory
from dynsim.plots._space import decorate_space, in_space, same_scale, space
from dynsim.plots._style import UNITS, colours, decorate, legend, line, new_figure, note, time_label

_MOST_ARROWS = 400
_MOST_NAMED = 16
_LONGEST = 0.12  # an arrow's length, in shares of the picture's width: of the force that 95 in 100 stay below
_IMAGES = 500


def draw_forces(
    source, *, neurons=None, frame=-1, data=None, data_dir=None, dim=None, axes="auto", title=None, size=None
):
    """Arrows at the places of a frame along q' (from differences of frames), or of a model along -dL/dq.

    Of a trajectory that is the right-hand side of equation (3), the force of overdamped motion. Of a model it is the
    force of learning: the cross entropy of the first 500 training images of the data set `data`, sent back through all
    layers.
    """
    if is_trajectory(source):
        places, arrows, groups, names, words = _motion(source, neurons, frame)
    else:
        places, arrows, groups, names, words = _learning(source, neurons, data, data_dir)
    dim = min(3, max(2, places.shape[1])) if dim is None else dim
    if dim not in (2, 3) or (dim == 3 and places.shape[1] < 3):
        raise ValueError(f"got dim {dim!r} for places of {places.shape[1]} coordinates, expected 2 or 3, not above it")
    projection = Projection(places, dim, axes)
    seen, moved = in_space(projection(places), dim), in_space(projection(places + arrows), dim)
    arrows = moved - seen
    figure = new_figure(size)
    panel = space(figure, dim)
    kinds = np.unique(groups)
    palette = dict(zip(kinds.tolist(), colours(len(kinds)), strict=True))
    scale = _scale(seen, arrows)
    _arrows(panel, seen, scale * arrows, groups, palette)
    labels = [*projection.labels, ""][:dim]
    decorate(panel, *labels) if dim == 2 else decorate_space(panel, labels)
    same_scale(panel, np.concatenate([seen, seen + scale * arrows]))
    panel.set_title(title or words)
    named = range(len(kinds)) if len(kinds) <= _MOST_NAMED else evenly(len(kinds), _MOST_NAMED)
    legend(figure, [line(names[kinds[k]], color=palette[kinds[k]], linewidth=2) for k in named])
    note(figure, projection.note, f"arrows are {scale:g} times the force", UNITS)
    return figure


def _motion(trajectory, neurons, frame):
    """Places, q', groups, their names, and a title, of one frame."""
    count = trajectory.frames
    if not -count <= frame < count:
        raise ValueError(f"got frame {frame}, expected a number from 0 to {count - 1}, or from the end, -1 to {-count}")
    frame %= count
    chosen = chosen_neurons(trajectory, neurons, max(1, _MOST_ARROWS // trajectory.copies))
    which = particles(trajectory, chosen)
    # Second-order differences of up to three frames around it.
    start = max(0, min(frame - 1, count - 3))
    block = slice(start, min(count, start + 3))
    time, places = trajectory.time[block], trajectory.places(block, which).astype(float)
    later = np.concatenate([[True], np.diff(time) > 0])
    time, places = time[later], places[later]
    here = min(frame - start, len(time) - 1)
    if len(time) < 2:
        raise ValueError(f"got frame {frame}, whose neighbours are at the same time; choose another")
    rate = np.gradient(places, time, axis=0, edge_order=min(2, len(time) - 1))[here]
    word = time_label(trajectory).split(" (")[0]
    words = f"Forces q' on {some_of(len(chosen), trajectory.neurons)} at {word} {time[here]:.4g}"
    return places[here], rate, trajectory.groups[which], group_names(trajectory), words


def _learning(model, neurons, data, data_dir):
    """Places of a model's neurons and -dL/dq on them."""
    if neurons is not None:
        raise ValueError("got neurons for a model, expected none: its neurons are spread evenly over all layers")
    if data is None:
        raise ValueError("got a model and no data; forces need images, as data='digits' (--data digits)")
    from dynsim import datasets

    images = datasets.load(data, data_dir)
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
    return places[shown], forces[shown], groups[shown], dict(enumerate(subsystems)), words


def _rows(array, d):
    rows = array.reshape(-1, array.shape[-1]).astype(float)
    return np.pad(rows, ((0, 0), (0, d - rows.shape[1])))


def _scale(places, arrows):
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


def _arrows(panel, places, arrows, groups, palette):
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
