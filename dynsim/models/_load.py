"""Reading a model file, which is never trusted: sizes are checked before memory is taken, nothing is unpickled."""

from __future__ import annotations

import json
from pathlib import Path

import h5py
import numpy as np

from dynsim.errors import DataError, FileError

from ._build import build

LARGEST = 2**31  # floats; a configuration that asks for more is refused before memory is taken


def load_model(path):
    """Read a model file; predictions are those of the model that was saved.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    DataError
        If it is not a model file of this program.
    FileError
        If it is damaged.
    """
    with _open(path) as file:
        try:
            config = json.loads(file.attrs["config"])
            results = json.loads(file.attrs["results"])
            check_size(config)
            model = build(config)
            model.results = results
            fill(model, file["arrays"], path)
        except FileError:
            raise
        except (KeyError, TypeError, ValueError, AttributeError, OSError) as error:
            raise FileError(f"{path}: damaged model file ({error}); write it again or use another.") from None
    return model


def fill(model, stored, path):
    """Take a model's arrays from `stored[name]`, which has a shape and a dtype before it is read.

    Raises FileError where they do not fit.
    """
    for name, array in model.arrays.items():
        found = stored[name]
        if found.shape != array.shape or found.dtype != array.dtype:
            raise FileError(
                f"{path}: array {name} is {found.dtype} {found.shape}; "
                f"expected {array.dtype} {array.shape}; the file is damaged."
            )
        array[...] = found[()]
        if not np.isfinite(array).all():
            raise FileError(f"{path}: array {name} holds a number that is not finite; the file is damaged.")


def describe(path):
    """Return what a model file says of itself: config, results and parameters, as a dict.

    Raises as `load_model`.
    """
    with _open(path) as file:
        try:
            entries = {name: json.loads(file.attrs[name]) for name in ("config", "results", "parameters")}
        except (KeyError, TypeError, ValueError, OSError) as error:
            raise FileError(f"{path}: damaged model file ({error}); write it again or use another.") from None
    return {**entries.pop("config"), **entries}


def _open(path):
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file; expected a model file (model.h5).")
    if not h5py.is_hdf5(path):
        raise DataError(f"{path}: not an HDF5 file; expected a model file (model.h5).")
    try:
        file = h5py.File(path, "r")
    except OSError as error:
        raise FileError(f"{path}: damaged HDF5 file ({error}); write it again or use another.") from None
    kind = file.attrs.get("dynsim")
    if kind != "model":
        file.close()
        raise DataError(f"{path}: an HDF5 file, but not a model of dynsim; expected a model file (model.h5).")
    return file


def check_size(config):
    """Refuse a configuration that asks for too many numbers, before memory is taken; raises ValueError."""
    neurons, weights = _sizes(config)
    copies = max(int(config.get(key, 1)) for key in ("copies", "copies_fc", "copies_conv"))
    floats = copies * int(config["dim"]) * neurons + weights
    if not 0 < floats < LARGEST:
        raise ValueError(f"the configuration asks for {floats} numbers")


def _sizes(config):
    """Neurons of a copy, and the weights that are held at once."""
    if config.get("model") != "vit":
        widths = [int(width) for width in config.get("widths", [784])]
        return sum(widths), max(a * b for a, b in zip(widths, [*widths[1:], 1], strict=True))
    names = ("image", "channels", "patch", "width", "depth", "hidden")
    image, channels, patch, width, depth, hidden = (int(config[name]) for name in names)
    embedding = width * (channels * patch**2 + (image // patch) ** 2)
    return depth * (5 * width + hidden), depth * width * (4 * width + 2 * hidden) + embedding
