"""Places of d coordinates seen in two or three, and the axes that they are drawn on."""

from __future__ import annotations

import numpy as np
from matplotlib.ticker import MaxNLocator

from dynsim._check import as_choice, describe, refusal

from ._figure_style import LARGEST_IN_SPACE, expect_drawable, in_units, unit_of
from ._selection import evenly

_MOST_FRAMES, _MOST_SAMPLED = 50, 2000  # frames, and particles of each, that axes are taken from
AXES = ("auto", "coordinates", "principal")


class Projection:
    """From d coordinates to `dim`: the first ones, or the principal axes of a sample of places.

    `sample` (..., d) are places to take the axes from; frames that are not finite do not count. `axes` is
    "coordinates", "principal", or "auto": principal axes where d > 3, so that no coordinate hides what it holds.

    Places that are too large to be drawn come out in a `unit`, a power of ten, which the labels state; else it is 1.

    Attributes: `dim`, `dimension` d, `unit`, `principal` (whether axes were turned), `share` (dim,), the part of the
    sample's variance along every axis.

    >>> line = np.outer(np.arange(5.0), [1.0, 2.0, 2.0, 0.0])
    >>> projection = Projection(line, 2)
    >>> projection.share.round(6).tolist(), np.ptp(projection(line)[:, 0]).round(6).tolist()
    ([1.0, 0.0], 12.0)
    """

    def __init__(self, sample, dim, axes="auto"):
        as_choice(axes, AXES, "axes")
        sample = np.asarray(sample, dtype=float)
        self.dim, self.dimension = dim, sample.shape[-1]
        self.principal = axes == "principal" or (axes == "auto" and self.dimension > 3)
        rows = sample.reshape(-1, self.dimension)
        rows = rows[np.isfinite(rows).all(axis=1)]
        self.unit = unit_of(rows)
        rows = rows / self.unit
        self.centre = rows.mean(axis=0) if len(rows) else np.zeros(self.dimension)
        spread = np.cov(rows, rowvar=False, bias=True).reshape(2 * (self.dimension,)) if len(rows) > 1 else None
        kept = min(dim, self.dimension)
        if self.principal and spread is not None:
            variance, vectors = np.linalg.eigh(spread)
            order = np.argsort(variance)[::-1][:kept]
            vectors = vectors[:, order]
            # The sign of an axis is arbitrary: the same file must give the same picture.
            largest = np.abs(vectors).argmax(axis=0)
            self.axes = vectors * np.sign(vectors[largest, np.arange(kept)])
            along = variance[order]
        else:
            self.axes = np.eye(self.dimension)[:, :kept]
            along = np.zeros(kept) if spread is None else np.diag(spread)[:kept]
        total = 0.0 if spread is None else np.trace(spread)
        self.share = np.clip(along / total, 0.0, 1.0) if total > 0 else np.zeros(kept)

    def __call__(self, places):
        """Places (..., d) as (..., min(dim, d))."""
        places = np.asarray(places, dtype=float) / self.unit
        return (places - self.centre) @ self.axes if self.principal else places[..., : self.axes.shape[1]]

    def directions(self, vectors):
        """Differences of places (..., d) as (..., min(dim, d))."""
        vectors = vectors / self.unit
        return vectors @ self.axes if self.principal else vectors[..., : self.axes.shape[1]]

    @property
    def labels(self):
        """A label for every axis, in mathematical text."""
        if self.principal:
            names = [f"axis {k} ({100 * share:.0f} %)" for k, share in enumerate(self.share)]
        else:
            names = [rf"$q_{{{k}}}$" for k in range(self.axes.shape[1])]
        return [in_units(name, self.unit) for name in names]

    @property
    def note(self):
        """What the projection leaves out, in words; empty if nothing."""
        if self.axes.shape[1] == self.dimension and not self.principal:
            return ""
        what = "principal axes" if self.principal else "coordinates"
        of = f"{self.axes.shape[1]} of {self.dimension} {what}"
        return f"{of}: {100 * self.share.sum():.0f} % of the variance"


def projection_of(trajectory, dim, axes):
    """The projection of a trajectory: the same for all its figures, films and pages, whatever part of it they show.

    Its axes come from places that are spread evenly over all frames and all particles.
    """
    some = evenly(trajectory.copies * trajectory.neurons, _MOST_SAMPLED)
    sample = np.stack([trajectory.q[int(k)][some] for k in evenly(trajectory.frames, _MOST_FRAMES)])
    return Projection(sample, dim, axes)


def dimensions(trajectory, dim):
    """The number of dimensions to draw in: as asked for, else three where there are three coordinates."""
    dim = min(3, max(2, trajectory.dimension)) if dim is None else dim
    if isinstance(dim, np.ndarray) or dim not in (2, 3):
        raise refusal("dim", describe(dim), "2 or 3")
    if dim == 3 and trajectory.dimension < 3:
        raise refusal("dim", f"3 for places of {trajectory.dimension} coordinates", "2")
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
    """Names for three axes, and room for them; after the data, which are expected to be drawable."""
    for name, limits in zip(names, np.reshape(axes.get_w_lims(), (3, 2)), strict=True):
        expect_drawable(name, limits, LARGEST_IN_SPACE)
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
            for axis, length in zip((axes.xaxis, axes.yaxis, axes.zaxis), extent, strict=True):
                # Short sides have few ticks, or their labels would meet.
                axis.set_major_locator(MaxNLocator(nbins=max(1, round(6 * length / extent.max()))))
        else:
            axes.set_aspect("equal", adjustable=adjustable)
