"""What a file of `dynsim convert` says of itself, read without PyTorch."""

from __future__ import annotations

from os import PathLike
from pathlib import Path

from dynsim._files import attribute, damaged, dataset, expect_sealed, expect_table, from_json, holds, reading

FACTS = ("parameters", "parameters_before", "share", "bytes_share", "seconds")
NUMBER, NONE = (int, float), type(None)
LAYER = {
    "name": str, "kind": str, "converted": bool, "reason": str, "weights": int, "floats": int, "copies": (int, NONE),
    "dim": (int, NONE), "rank": (int, NONE), "bits": (int, NONE), "error": (*NUMBER, NONE),
}  # fmt: skip


def describe_converted(path: str | PathLike) -> dict:
    """Facts about a converted network: its source, sizes before and now, options, kernels and layers.

    Raises
    ------
    FileNotFoundError, DataError, FileError
        If there is no such file, it is of another kind, or damaged.
    """
    with reading(path, "converted") as file:
        expect_sealed(file, "dynsim", "format", "source")
        report = expect_table(from_json(dataset(file, "report", (), "O")[()], path), path, "a report")
        source = expect_table(from_json(attribute(file, "source"), path), path, "a source")
        weights = from_json(dataset(file, "weights", (), "O")[()], path)
        program = holds(file, "program")
    layers = [_layer(layer, path) for layer in _expect(list, report.get("layers"), path, "layers")]
    entries = [_expect(dict, entry, path, "a weight") for entry in _expect(list, weights, path, "weights")]
    kernels = [entry["kernel"] for entry in entries if "kernel" in entry]
    found = {"source": "a program of PyTorch" if program else f"timm:{source.get('timm')}"}
    found |= {name: report.get(name) for name in FACTS}
    found["particles"] = sum(layer["converted"] and layer["bits"] is None for layer in layers)
    found["in 8 bits"] = sum(layer["bits"] is not None for layer in layers)
    found["layers"] = len(layers)
    found["file_bytes"] = Path(path).stat().st_size
    options = _expect(dict, report.get("options"), path, "options")
    found["options"] = {name: value for name, value in options.items() if value or type(value) is int}
    found["kernels"] = [kernel for k, kernel in enumerate(kernels) if kernel not in kernels[:k]]
    found["layer_list"] = layers
    return found


def _layer(layer, path):
    """What is told of a layer, with its types checked."""
    layer = _expect(dict, layer, path, "a layer")
    return {name: _expect(kind, layer.get(name), path, f"a layer's {name}") for name, kind in LAYER.items()}


def _expect(kind, value, path, what):
    if not isinstance(value, kind):
        raise damaged(path, f"it has {what} of type {type(value).__name__}")
    return value
