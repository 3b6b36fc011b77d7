"""Writing a model file: one HDF5 file, configuration as JSON and one data set per array."""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path

import h5py

from dynsim._check import as_like

from ._count import count

FORMAT = 1


def save_model(model, path):
    """Write a model beside `path` and rename it there, so that a reader never sees half a file.

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
    path = Path(path)
    handle, temporary = tempfile.mkstemp(suffix=".h5", dir=path.parent)
    os.close(handle)
    try:
        with h5py.File(temporary, "w") as file:
            file.attrs["dynsim"] = "model"
            file.attrs["format"] = FORMAT
            file.attrs["config"] = json.dumps(model.config)
            file.attrs["results"] = json.dumps(model.results)
            file.attrs["parameters"] = json.dumps(count(model))
            for name, array in model.arrays.items():
                file.create_dataset(f"arrays/{name}", data=array)
        with open(temporary, "rb") as written:
            os.fsync(written.fileno())
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    finally:
        if os.path.exists(temporary):
            os.unlink(temporary)
