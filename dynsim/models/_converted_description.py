"""What a file of `dynsim convert` says of itself, read without PyTorch."""

from __future__ import annotations

from os import PathLike
from pathlib import Path

from dynsim._files import attribute, dataset, expect_sealed, expect_table, from_json, holds, reading

FACTS = ("parameters", "parameters_before", "share", "bytes_share", "seconds")
LAYER = ("name", "kind", "converted", "reason", "weights", "floats", "copies", "dim", "rank", "bits", "error")


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
    layers = [layer for layer in report.get("layers") or [] if isinstance(layer, dict)]
    kernels = [entry["kernel"] for entry in weights if isinstance(entry, dict) and "kernel" in entry]
    found = {"source": "a program of PyTorch" if program else f"timm:{source.get('timm')}"}
    found |= {name: report.get(name) for name in FACTS}
    found["particles"] = sum(bool(layer.get("converted")) and layer.get("bits") is None for layer in layers)
    found["in 8 bits"] = sum(layer.get("bits") is not None for layer in layers)
    found["layers"] = len(layers)
    found["file_bytes"] = Path(path).stat().st_size
    options = report.get("options") or {}
    found["options"] = {name: value for name, value in options.items() if value or type(value) is int}
    found["kernels"] = [kernel for k, kernel in enumerate(kernels) if kernel not in kernels[:k]]
    found["layer_list"] = [{name: layer.get(name) for name in LAYER} for layer in layers]
    return found
