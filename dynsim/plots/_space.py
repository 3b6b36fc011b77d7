"""Axes in two and three dimensions."""

import numpy as np


def dimensions(trajectory, dim):
    """The number of dimensions to draw in: as asked for, else three where there are three coordinates."""
    dim = min(3, max(2, trajectory.dimension)) if dim is None else dim
    if isinstance(dim, np.ndarray) or dim not in (2, 3):
        raise ValueError(f"got dim {np.shape(dim) or dim!r}, expected 2 or 3")
    if dim == 3 and trajectory.dimension < 3:
        raise ValueError(f"got dim 3 for places of {trajectory.dimension} coordinates; choose dim 2")
    return dim


def space(figure, dim, *place):
    """Axes of two or three dimensions; `place` as for add_subplot."""
    return figure.add_subplot(*place, projection="3d" if dim == 3 else None)


def in_space(places, dim):
    """Places (..., k) with zeros where k < dim: one coordinate is drawn along a line.

    >>> in_space(np.ones((2, 1)), 2).tolist()
    [[1.0, 0.0], [1.0, 0.0]]
    """
    missing = dim - places.shape[-1]
    return np.concatenate([places, np.zeros((*places.shape[:-1], missing))], axis=-1) if missing else places


def decorate_space(axes, names):
    """Names for three axes, and room for them."""
    axes.set_xlabel(names[0])
    axes.set_ylabel(names[1])
    axes.set_zlabel(names[2])
    axes.tick_params(labelsize=8)
    # A vertical label beside the third axis would be cut off at the figure's edge.
    axes.set_box_aspect(None, zoom=0.9)
    axes.patch.set_visible(False)  # it would cover the label of a panel to the left


def same_scale(axes, places, adjustable="datalim"):
    """One scale for all coordinates, unless the places (..., 2 or 3) are so flat that nothing would be seen."""
    finite = places[np.isfinite(places).all(axis=-1)]
    if not len(finite):
        return
    extent = np.ptp(finite, axis=0)
    if extent.min() > 0.1 * extent.max():
        if places.shape[-1] == 3:
            axes.set_aspect("equal")
        else:
            axes.set_aspect("equal", adjustable=adjustable)
