"""Model files: one HDF5 file, the configuration as JSON and one data set per array.

A file is never trusted when it is read: sizes are checked before memory is taken, and nothing is unpickled.
"""

from __future__ import annotations

import math
import os

import numpy as np

from dynsim._check import as_like
from dynsim._files import (
    Stored,
    attribute,
    damaged,
    expect_sealed,
    expect_table,
    from_json,
    reading,
    replacing_hdf5,
    seal,
    to_json,
)
from dynsim.errors import FileError

from ._build import build
from ._count import count
from ._model import Model
from ._size import check_size

FORMAT = 1
DESCRIPTION = ("dynsim", "format", "config", "results", "parameters")  # attributes
LARGEST_IMAGE = 2**28  # numbers


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
        masks = {name: parameter.mask for name, parameter in model.parameters.items() if parameter.mask is not None}
        if masks:
            group = file.create_group("masks")
            group.attrs["names"] = to_json(sorted(masks))
            seal(group)
            for name, mask in masks.items():
                seal(group.create_dataset(name, data=(mask != 0).astype(np.uint8)))


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
        config, results = _entries(file, path, "config", "results").values()
        check_size(config, stored=file.id.get_filesize(), path=path)
        model = build(config)
        take_results(model, results, path)
        fill(model, Stored(file, "arrays", "f"), path=path)
        if "masks" in file:
            masks = Stored(file, "masks", "u")
            expect_sealed(file["masks"])
            if from_json(attribute(file["masks"], "names"), path) != sorted(masks.names):
                raise damaged(path, "of what is pruned something is missing")
            _prune(model, masks, path)
    return model


def _prune(model, stored, path):
    """Keep pruned weights pruned: a mask for every parameter that has one, 1 where a number is left."""
    parameters = model.parameters
    for name in stored.names:
        parameter = parameters.get(name)
        if parameter is None or (mask := stored[name]).shape != parameter.value.shape:
            raise damaged(path, f"its mask {name} fits no parameter")
        mask = mask[()]
        if (mask > 1).any() or parameter.value[mask == 0].any():
            raise damaged(path, f"its mask {name} is not 0 and 1, or numbers that it leaves out are there")
        parameter.prune(mask)


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
        entries = _entries(file, path, "config", "results", "parameters")
        return {**entries.pop("config"), **entries}


def _entries(file, path, *names):
    """{name: dict} of entries of the description."""
    expect_sealed(file, *DESCRIPTION)
    return {name: expect_table(from_json(attribute(file, name), path), path, f"an entry {name}") for name in names}


def take_results(model: Model, results: dict, path: str | os.PathLike):
    """Give a model the results in a file, which say what images it is for; raises FileError where they make no sense.

    Examples
    --------
    >>> import dynsim
    >>> model = dynsim.models.mlp(widths=(64, 10))
    >>> take_results(model, {"image": [1, 8, 8]}, "model.h5")
    >>> model.image
    (1, 8, 8)
    """
    model.results = expect_table(results, path, "an entry results")
    image = model.image
    if len(image) != 3 or any(type(size) is not int or size < 1 for size in image) or math.prod(image) > LARGEST_IMAGE:
        raise damaged(path, f"its images are of shape {image}")
    names, background = results.get("class_names"), results.get("background", 0.0)
    if names is not None and not (isinstance(names, list) and all(isinstance(name, str) for name in names)):
        raise damaged(path, "the names of its classes are no texts")
    if background is not None and (type(background) not in (int, float) or not 0 <= background <= 1):
        raise damaged(path, f"its background has the brightness {background}")
