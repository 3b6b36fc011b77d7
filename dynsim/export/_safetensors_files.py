"""Safetensors files, and materialised models in them: ordinary weights by name, which other programs read."""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path

import numpy as np

from dynsim._check import refusal
from dynsim._files import DAMAGE, damaged, digest, expect_input, expect_table, from_json, reason, replacing, to_json
from dynsim.errors import DataError, FileError
from dynsim.models import Model, build, check_size, fill, materialize, take_results

MATERIALIZED = "dynsim materialized 1"
LARGEST = 2**31  # bytes
DIGITS = 20  # of a digest
FEW = 8  # of a small file's: enough against accidents


def save_safetensors(tensors, path, metadata, *, digits=DIGITS):
    """Write arrays and strings; returns the bytes of the file. Raises ImportError if safetensors is not installed."""
    package = _package()
    metadata = {**metadata, "digest": _digest(metadata, tensors)[:digits]}
    with replacing(path) as temporary:
        mode = temporary.stat().st_mode
        try:
            package.numpy.save_file(tensors, str(temporary), metadata)
        except package.SafetensorError as error:  # what the system says, as a text
            raise OSError(f"{path} cannot be written ({reason(error)}); choose another path.") from None
        if temporary.stat().st_mode != mode:  # the package puts a file of its own there, which only its owner may read
            temporary.chmod(mode)
    return Path(path).stat().st_size


def safetensors_size(tensors, metadata, *, digits=DIGITS):
    """Return the bytes of the file that `save_safetensors` would write; raises ImportError as it."""
    return len(_package().numpy.save(tensors, {**metadata, "digest": _digest(metadata, tensors)[:digits]}))


@contextmanager
def open_safetensors(path):
    """Give (metadata, tensors) of a file; `tensors[name]` is an array. Sizes are checked before anything is read.

    Raises
    ------
    ImportError
        If safetensors is not installed.
    FileNotFoundError, IsADirectoryError
        If there is no such file.
    DataError, FileError
        If it is too large, or damaged; also where the block that reads it finds values that do not fit.
    """
    package, path = _package(), expect_input(path)
    if path.stat().st_size > LARGEST:
        raise refusal(path, f"{path.stat().st_size:,} bytes", f"a model of at most {LARGEST:,}", error=DataError)
    try:
        with package.safe_open(str(path), "np") as file:
            metadata = file.metadata() or {}
            if "digest" in metadata:  # files of 0.1.0 have none
                found = _digest(metadata, {name: file.get_tensor(name) for name in file.keys()})
                if metadata["digest"] not in (found[:DIGITS], found[:FEW]):
                    raise damaged(path, "it is not what its digest says")
            yield metadata, _Tensors(file)
    except (DataError, FileError):
        raise
    except (package.SafetensorError, *DAMAGE) as error:
        raise damaged(path, error) from None


def _digest(metadata, tensors):
    """Of all that a file holds."""
    facts = [sorted((key, value) for key, value in metadata.items() if key != "digest"), sorted(tensors)]
    return digest(to_json(facts), [tensors[name] for name in sorted(tensors)])


class _Tensors:
    """Arrays by name."""

    def __init__(self, file):
        self.file = file

    def __getitem__(self, name):
        return self.file.get_tensor(name)


def _package():
    try:
        import safetensors
        import safetensors.numpy
    except ImportError:
        raise ImportError("Safetensors files need safetensors: pip install 'dynsim[export]'.") from None
    return safetensors


def save_materialized(model: Model, path: str | Path) -> int:
    """Write the ordinary network with the predictions of `model`; returns the bytes of the file.

    Weights, biases and norms by name, in float32; configuration and results as JSON strings in the metadata.

    Raises
    ------
    ImportError
        If safetensors is not installed.
    """
    ordinary = materialize(model)
    metadata = {"format": MATERIALIZED, "config": to_json(ordinary.config), "results": to_json(ordinary.results)}
    arrays = {name: np.ascontiguousarray(array) for name, array in ordinary.arrays.items()}
    return save_safetensors(arrays, path, metadata)


def load_materialized(path: str | Path) -> Model:
    """Read what `save_materialized` wrote, as an ordinary network with the same predictions.

    Raises
    ------
    ImportError
        If safetensors is not installed.
    DataError, FileError
        If it is another file, or damaged.
    """
    with open_safetensors(path) as (metadata, tensors):
        if metadata.get("format") != MATERIALIZED:
            raise DataError(f"{path} is not a materialised model; give a file of `dynsim export --materialized`.")
        config = expect_table(from_json(metadata["config"], path), path, "an entry config")
        check_size(config, stored=Path(path).stat().st_size, path=path)
        model = build({**config, "weights": True})
        take_results(model, from_json(metadata["results"], path), path)
        fill(model, tensors, path=path)
        return model
