"""Materialised models: safetensors with ordinary weights by name, which other programs read as they are."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from dynsim.errors import DataError
from dynsim.models import build, check_size, fill, materialize

from ._safetensors import open_safetensors, save_safetensors

FORMAT = "dynsim materialized 1"


def save_materialized(model, path):
    """Write the ordinary network that says the same as `model`; returns the bytes of the file.

    Weights, biases and norms by name, in float32; configuration and results as JSON strings in the metadata.

    Raises
    ------
    ImportError
        If safetensors is not installed.
    """
    ordinary = materialize(model)
    metadata = {"format": FORMAT, "config": json.dumps(ordinary.config), "results": json.dumps(ordinary.results)}
    save_safetensors({name: np.ascontiguousarray(array) for name, array in ordinary.arrays.items()}, path, metadata)
    return Path(path).stat().st_size


def load_materialized(path):
    """Read what `save_materialized` wrote, as an ordinary network with the same predictions.

    Raises
    ------
    ImportError
        If safetensors is not installed.
    DataError, FileError
        If it is another file, or damaged.
    """
    with open_safetensors(path) as (metadata, tensors):
        if metadata.get("format") != FORMAT:
            raise DataError(f"{path}: not a materialised model; expected a file of `dynsim export --materialized`.")
        config = json.loads(metadata["config"])
        check_size(config)
        model = build({**config, "weights": True})
        model.results = json.loads(metadata["results"])
        fill(model, tensors, path=path)
        return model
