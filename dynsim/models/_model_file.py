"""Model files: one HDF5 file, the configuration as JSON and one data set per array.

A file is never trusted when it is read: sizes are checked before memory is taken, and nothing is unpickled.
"""

from __future__ import annotations

import os

import numpy as np

from dynsim._check import as_like, expect_memory
from dynsim._files import Stored, attribute, damaged, expect_sealed, from_json, reading, replacing_hdf5, seal, to_json
from dynsim.errors import FileError

from ._build import build
from ._count import count
from ._model import Model

FORMAT = 1
DESCRIPTION = ("dynsim", "format", "config", "results", "parameters")  # attributes
LARGEST = 2**31  # floats; a configuration that asks for more is refused before memory is taken


def save_model(model: Model, path: str | os.PathLike):
    """Write a model to one HDF5 file; a reader sees the file that was there before or the new one, whole.

    Raises
    ------
    OSError
        If the folder cannot be written.

    Examples
    --------
    >>> import tempfile, dynsim
    >>> model = dynsim.models.mlp(widths=(4, 2), copies=2, dim=2)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     model.save(folder + "/model.h5")
    ...     dynsim.load_model(folder + "/model.h5").config["widths"]
    [4, 2]
    """
    as_like(model, ("layers", "config", "arrays"), "Model", "model")
    with replacing_hdf5(path) as file:
        file.attrs["dynsim"] = "model"
        file.attrs["format"] = FORMAT
        file.attrs["config"] = to_json(model.config)
        file.attrs["results"] = to_json(model.results)
        file.attrs["parameters"] = to_json(count(model))
        seal(file, *DESCRIPTION)
        for name, array in model.arrays.items():
            seal(file.create_dataset(f"arrays/{name}", data=array))


def load_model(path: str | os.PathLike) -> Model:
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
    with reading(path, "model") as file:
        expect_sealed(file, *DESCRIPTION)
        config, results = (from_json(attribute(file, name), path) for name in ("config", "results"))
        check_size(config, stored=file.id.get_filesize(), path=path)
        model = build(config)
        model.results = results
        fill(model, Stored(file, "arrays", "f"), path=path)
    return model


def fill(model: Model, stored, *, path):
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


def describe(path: str | os.PathLike) -> dict:
    """Return the description in a model file: config, results and parameters, as a dict.

    Raises as `load_model`.
    """
    with reading(path, "model") as file:
        expect_sealed(file, *DESCRIPTION)
        entries = {name: from_json(attribute(file, name), path) for name in ("config", "results", "parameters")}
        return {**entries.pop("config"), **entries}


def check_size(config: dict, *, stored: float | None = None, path: str | os.PathLike = "model"):
    """Refuse a configuration that asks for too many numbers, before memory is taken.

    `stored` are the bytes of the file that it comes from, times 32 / b where numbers are packed to b bits. Raises
    FileError for more numbers than these hold, ValueError for more than a machine has memory for.
    """
    neurons, weights = _sizes(config)
    copies = max(int(config.get(key, 1)) for key in ("copies", "copies_fc", "copies_conv"))
    floats = copies * int(config["dim"]) * neurons + weights
    if not 0 < floats < LARGEST:
        raise ValueError(f"the configuration asks for {floats} numbers")
    least = _least(config, neurons, weights)
    if stored is not None and 4 * least > stored:
        raise damaged(path, f"its configuration asks for {least:,} numbers or more, which it does not hold")
    expect_memory(24 * weights, f"{path}: the weights that follow from its places", "use a machine with more memory")


def _least(config, neurons, weights):
    """A bound from below of the numbers in a file, exact for places of mlp and vit; neurons are those of a copy."""
    if config.get("weights"):
        return neurons if config.get("rank") else weights
    if config.get("model") == "lenet5":
        return int(config["copies_fc"]) * int(config["dim"]) * (400 + 120 + 84 + 10)
    return int(config["copies"]) * int(config["dim"]) * neurons


def _sizes(config):
    """Neurons of a copy, and the weights that are held at once."""
    if config.get("model") != "vit":
        widths = [int(width) for width in config.get("widths", [784])]
        return sum(widths), max(a * b for a, b in zip(widths, [*widths[1:], 1], strict=True))
    names = ("image", "channels", "patch", "width", "depth", "hidden")
    image, channels, patch, width, depth, hidden = (int(config[name]) for name in names)
    embedding = width * (channels * patch**2 + (image // patch) ** 2)
    return depth * (5 * width + hidden), depth * width * (4 * width + 2 * hidden) + embedding
