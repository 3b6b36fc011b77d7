"""Finished fits in a file, so that a conversion that was stopped goes on."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np

from dynsim.errors import FileError
from dynsim.learning import FittedWeights

PARTS = ("sources", "targets", "strengths", "left", "right")


class Finished:
    """Fits by what they depend on: the weights, the kernel and the options. Without a path nothing is kept.

    One HDF5 file, a group a fit; flushed after each.
    """

    def __init__(self, path=None):
        self.path = None if path is None else Path(path)

    def find(self, name, weights, kernel, options):
        """The fit of these weights with these options, or None.

        Raises
        ------
        FileError
            If the file is damaged.
        """
        if self.path is None or not self.path.exists():
            return None
        import h5py

        try:
            with h5py.File(self.path, "r") as file:
                key = _key(name, weights, kernel, options)
                if key not in file or "error" not in file[key].attrs:
                    return None
                group = file[key]
                parts = [np.array(group[part]) if part in group else None for part in PARTS]
                return FittedWeights(*parts, float(group.attrs["error"]))
        except (OSError, KeyError) as error:
            raise FileError(f"{self.path}: damaged file of fits ({error}); remove it to begin anew.") from None

    def keep(self, name, weights, kernel, options, fitted):
        """Write a fit."""
        if self.path is None:
            return
        import h5py

        with h5py.File(self.path, "a") as file:
            key = _key(name, weights, kernel, options)
            if key in file:
                del file[key]
            group = file.create_group(key)
            for part in PARTS:
                if getattr(fitted, part) is not None:
                    group.create_dataset(part, data=getattr(fitted, part))
            group.attrs["layer"] = name
            group.attrs["error"] = fitted.error  # last: a group without it is not whole


def _key(name, weights, kernel, options):
    text = json.dumps([name, kernel.to_dict(), options], sort_keys=True)
    return hashlib.sha256(text.encode() + np.ascontiguousarray(weights).tobytes()).hexdigest()[:32]
