"""Places of d coordinates seen in two or three."""

from __future__ import annotations

import numpy as np

from dynsim._check import as_choice

AXES = ("auto", "coordinates", "principal")


class Projection:
    """From d coordinates to `dim`: the first ones, or the principal axes of a sample of places.

    `sample` (..., d) are places to take the axes from; frames that are not finite do not count. `axes` is
    "coordinates", "principal", or "auto": principal axes where d > 3, so that no coordinate hides what it holds.

    Attributes: `dim`, `dimension` d, `principal` (whether axes were turned), `share` (dim,), the part of the sample's
    variance along every axis.

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
        places = np.asarray(places, dtype=float)
        return (places - self.centre) @ self.axes if self.principal else places[..., : self.axes.shape[1]]

    @property
    def labels(self):
        """A label for every axis, in mathematical text."""
        if self.principal:
            return [f"axis {k + 1} ({100 * share:.0f} %)" for k, share in enumerate(self.share)]
        return [rf"$q_{{{k + 1}}}$" for k in range(self.axes.shape[1])]

    @property
    def note(self):
        """What the projection leaves out, in words; empty if nothing."""
        if self.axes.shape[1] == self.dimension and not self.principal:
            return ""
        what = "principal axes" if self.principal else "coordinates"
        of = f"{self.axes.shape[1]} of {self.dimension} {what}"
        return f"{of}: {100 * self.share.sum():.0f} % of the variance"
