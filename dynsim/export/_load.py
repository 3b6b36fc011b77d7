"""One door for models in files of every form."""

from __future__ import annotations

from pathlib import Path

from dynsim import models
from dynsim.errors import DataError

from . import _materialized, _packed
from ._safetensors import open_safetensors

FORMS = ("model.h5", "packed", "materialized", "onnx")


def form(path):
    """What a model file is: one of `FORMS`.

    Raises
    ------
    FileNotFoundError, DataError, FileError
        If there is no such file, or it is of another kind, or damaged.
    """
    path = Path(path)
    if path.suffix == ".onnx":
        return "onnx"
    if path.suffix != ".safetensors":
        return "model.h5"
    with open_safetensors(path) as (metadata, _):
        found = {_packed.FORMAT: "packed", _materialized.FORMAT: "materialized"}.get(metadata.get("format"))
    if found is None:
        raise DataError(f"{path}: not a model of dynsim; expected a file of `dynsim export`.")
    return found


def load_model(path):
    """Read a model: model.h5, or what `dynsim export` wrote as packed or materialised safetensors.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ImportError
        If it is safetensors, and that is not installed.
    DataError
        If it is of another kind; ONNX is for other programs and does not come back.
    FileError
        If it is damaged.
    """
    kind = form(path)
    if kind == "onnx":
        raise DataError(f"{path}: an ONNX file, which does not hold places; use the model.h5 that it was made from.")
    readers = {"packed": _packed.load_packed, "materialized": _materialized.load_materialized}
    return readers.get(kind, models.load_model)(path)
