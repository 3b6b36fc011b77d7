"""Checkpoints: all that the rest of a run or a training depends on; a kill at any moment leaves a whole one."""

from __future__ import annotations

import math
import os
from pathlib import Path

import numpy as np

from dynsim._check import as_flag, as_instance, refusal
from dynsim._files import attribute, dataset, digest, expect_group, from_json, holds, reading, replacing_hdf5, to_json
from dynsim.errors import DataError, FileError

KINDS = "biufc"  # of numbers in arrays


def save_checkpoint(
    path: str | os.PathLike, state: dict, *, run: str | None = None, keep_previous: bool = True
) -> None:
    """Write a state to `path`, whole or not at all; the one before is kept as `path` + ".previous".

    `state` is a dict of numbers, strings, None, NumPy arrays, and dicts and lists of them; `run` the identity of the
    run that it belongs to. With keep_previous=False the one before is replaced, and that before it kept. Raises OSError
    if it cannot be written; the old checkpoints are then as they were.

    >>> import tempfile, numpy as np
    >>> path = Path(tempfile.mkdtemp()) / "run.checkpoint"
    >>> save_checkpoint(path, {"q": np.arange(3), "step": 7})
    >>> load_checkpoint(path)["q"].tolist()
    [0, 1, 2]
    """
    if run is not None:
        as_instance(run, str, "run")
    arrays, previous = [], previous_of(path) if as_flag(keep_previous, "keep_previous") else None
    text = to_json(_encode(as_instance(state, dict, "state"), arrays))
    with replacing_hdf5(path, previous=previous) as file:
        file.attrs["dynsim"] = "checkpoint"
        file.attrs["digest"] = digest(text, arrays)
        if run is not None:
            file.attrs["run"] = run
        file.create_dataset("state", data=np.frombuffer(text.encode(), np.uint8))
        for number, array in enumerate(arrays):
            file.create_dataset(f"arrays/{number}", data=array)


def load_checkpoint(path: str | os.PathLike, *, run: str | None = None) -> dict:
    """Return the state of the newest whole checkpoint of `path`: itself, or the one before.

    Only those of the run of identity `run` count, where that is given. Raises FileNotFoundError if there is no file,
    FileError if all are damaged, DataError if all that are whole belong to another run or are other files.
    """
    path = Path(path)
    if run is not None:
        as_instance(run, str, "run")
    errors = []
    for candidate in (path, previous_of(path)):
        if not candidate.exists():
            continue
        try:
            return read_checkpoint(candidate, run)
        except (FileError, DataError) as error:
            errors.append(error)
    if not errors:
        raise FileNotFoundError(f"{path} does not exist; there is no checkpoint to go on from.")
    foreign = any(isinstance(error, DataError) for error in errors)
    raise (DataError if foreign else FileError)(" ".join(map(str, errors)))


def remove_checkpoint(path: str | os.PathLike) -> None:
    """Remove the checkpoint `path` and the one before it, where they are."""
    for old in (Path(path), previous_of(path)):
        old.unlink(missing_ok=True)


def checkpoint_of(path: str | os.PathLike) -> Path:
    """Return where the checkpoints of a run into the file `path` are.

    >>> checkpoint_of("run.h5").name
    'run.h5.checkpoint'
    """
    return Path(f"{path}.checkpoint")


def previous_of(path: str | os.PathLike) -> Path:
    """Return where the checkpoint before the last is kept.

    >>> previous_of("run.h5.checkpoint").name
    'run.h5.checkpoint.previous'
    """
    return Path(f"{path}.previous")


def read_checkpoint(path, run):
    """The state in one file; raises as `load_checkpoint`."""
    with reading(path, "checkpoint") as file:
        if run is not None and (attribute(file, "run", None) or "") != run:  # "" in files of 0.1.0
            do = "move it away to begin this run anew, or restore the file it belongs to"
            raise refusal(path, "a checkpoint of another run", "one of this run", do, error=DataError)
        text = _read(file, "state").tobytes().decode()
        count = len(expect_group(file, "arrays")) if holds(file, "arrays") else 0
        arrays = [_read(file, f"arrays/{number}") for number in range(count)]
        if digest(text, arrays) != attribute(file, "digest"):
            raise FileError(f"{path} is damaged (its contents do not agree with its digest); use the one before it.")
        return as_instance(_decode(from_json(text, path), arrays), dict, "state")


def _read(file, name):
    found = dataset(file, name, kind=KINDS)
    if found.chunks is not None:  # a few bytes could claim any size
        raise FileError(f"{file.filename} is no checkpoint as dynsim writes them: {name} is stored in chunks.")
    return found[()]


def _encode(value, arrays):
    if isinstance(value, dict):
        return {"dict": [[_encode(key, arrays), _encode(item, arrays)] for key, item in value.items()]}
    if isinstance(value, list | tuple):
        return {"list": [_encode(item, arrays) for item in value]}
    if isinstance(value, np.ndarray) and value.dtype.kind in KINDS:
        arrays.append(np.ascontiguousarray(value) if value.ndim else value)
        return {"array": len(arrays) - 1}
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return {"float": str(value)}
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise refusal("checkpoint", type(value).__name__, "numbers, strings, arrays, dicts and lists", error=TypeError)


def _decode(value, arrays):
    if not isinstance(value, dict):
        return value
    ((kind, content),) = value.items()
    if kind == "array":
        return arrays[content]
    if kind == "float":
        return float(content)
    if kind == "list":
        return [_decode(item, arrays) for item in content]
    return {_decode(key, arrays): _decode(item, arrays) for key, item in content}
