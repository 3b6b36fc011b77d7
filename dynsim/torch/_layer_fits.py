"""Fits of layers, each done once: reported to the caller, and kept in a file so that a stopped conversion continues."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from dynsim._files import (
    attribute,
    claim_hdf5,
    dataset,
    digest,
    expect_group,
    expect_sealed,
    holds,
    open_hdf5,
    reading,
    seal,
    to_json,
    uninterrupted,
)
from dynsim.learning import FittedWeights, fit_weights

from ._allocation import sets_of

TRIAL, LEAST = 0.3, 12  # share of the steps that a trial fit takes, and the least that distinguish forms
PARTS = ("sources", "targets", "strengths", "left", "right")


class LayerFits:
    """Fits with common options; `stopped` is true once the caller's progress function has returned true."""

    def __init__(self, *, total, sets, steps, restarts, seed, progress, path):
        self.total, self.done, self.stopped = total, 0, False
        self.sets, self.steps, self.restarts, self.seed = sets, steps, restarts, seed
        self.progress, self.stored = progress, StoredFits(path)

    def __call__(self, entry, form, kernel, trial=False, target=None):
        """Fit a layer in a form (copies, dim, rank, ...), for a trial with fewer steps; returns (fit, kernel)."""
        copies, dim, rank, _ = form
        options = {"copies": copies, "dim": dim, "rank": rank, "sets": sets_of(entry, self.sets), "seed": self.seed}
        options["steps"] = min(self.steps, max(LEAST, round(TRIAL * self.steps))) if trial else self.steps
        options["restarts"] = 1 if trial else self.restarts
        weights, moments = (entry.weights, None) if target is None else target
        scale = _scale(entry, weights.dtype)
        arrays = [array for array in (weights, moments, scale) if array is not None]
        key = digest(to_json([entry.name, kernel.to_dict(), options], sort_keys=True), arrays)[:32]
        fitted = self.stored.find(key)
        if fitted is None:
            fitted = _fit(weights, kernel, moments=moments, scale=scale, **options)
            self.stored.keep(key, entry.name, fitted)
        self.done += 1
        if self.progress is not None and self.progress(self.done, self.total, name=entry.name):
            self.stopped = True
        return fitted, kernel


def _scale(entry, dtype):
    """Weights of the squared errors, or None: the row of an embedding's padding keeps its numbers."""
    if entry.padding is None:
        return None
    scale = np.ones((entry.shape[2], 1), dtype)
    scale[entry.padding] = 0.0
    return scale


def _fit(weights, kernel, **options):
    """As `fit_weights`, for weights of any size: places do not depend on it, lambdas and factors are in proportion."""
    largest = float(np.abs(weights).max(initial=0.0))
    unit = weights.dtype.type(2.0 ** np.frexp(largest)[1]) if largest else weights.dtype.type(1)
    fitted = fit_weights(weights / unit, kernel, **options)
    left = None if fitted.left is None else fitted.left * unit
    return replace(fitted, strengths=fitted.strengths * unit, left=left)


class StoredFits:
    """Fits in one HDF5 file, a group each; without a path nothing is kept."""

    def __init__(self, path=None):
        self.path = None if path is None else Path(path)

    def find(self, key):
        """The fit of that key, or None.

        Raises
        ------
        FileError, DataError
            If the file is damaged or another file.
        """
        if self.path is None or not self.path.exists():
            return None
        with reading(self.path, "fits") as file:
            group = expect_group(file, key) if holds(file, key) else None
            if group is None or "error" not in group.attrs:
                return None
            parts = [dataset(file, f"{key}/{part}")[()] if holds(group, part) else None for part in PARTS]
            return FittedWeights(*parts, float(attribute(expect_sealed(group), "error")))

    def keep(self, key, name, fitted):
        """Write a fit."""
        if self.path is None:
            return
        exists = self.path.exists()
        with open_hdf5(self.path, "r+") if exists else claim_hdf5(self.path, _begin) as file, uninterrupted():
            if key in file:
                del file[key]
            group = file.create_group(key)
            for part in PARTS:
                if getattr(fitted, part) is not None:
                    seal(group.create_dataset(part, data=getattr(fitted, part)))
            group.attrs["layer"] = name
            group.attrs["error"] = fitted.error  # last: a group without it is not whole
            seal(group)


def _begin(file):
    file.attrs["dynsim"] = "fits"
