"""Checkpoints: all that the rest of a run or a training depends on; a kill at any moment leaves a whole one."""

import hashlib
import json
import os
import tempfile
from pathlib import Path

import h5py
import numpy as np

from dynsim.errors import FileError
from dynsim.trajectory._open import DAMAGE, open_hdf5

LARGEST = 2**36  # bytes


def save_checkpoint(path, state):
    """Write a state beside `path`, then rename it there; the one before is kept as `path` + ".previous".

    `state` is a dict of numbers, strings, None, NumPy arrays, and dicts and lists of them. Raises OSError if it cannot
    be written; the old checkpoints are then as they were.

    >>> import tempfile, numpy as np
    >>> path = Path(tempfile.mkdtemp()) / "run.checkpoint"
    >>> save_checkpoint(path, {"q": np.arange(3), "step": 7})
    >>> load_checkpoint(path)["q"].tolist()
    [0, 1, 2]
    """
    path = Path(path)
    if not isinstance(state, dict):
        raise TypeError(f"got state of type {type(state).__name__}, expected a dict")
    arrays = []
    text = json.dumps(_encode(state, arrays))
    handle, temporary = tempfile.mkstemp(prefix=path.name, suffix=".tmp", dir=path.parent)
    os.close(handle)
    try:
        with h5py.File(temporary, "w") as file:
            file.attrs["dynsim"] = "checkpoint"
            file.attrs["digest"] = _digest(text, arrays)
            file.create_dataset("state", data=np.frombuffer(text.encode(), np.uint8))
            for number, array in enumerate(arrays):
                file.create_dataset(f"arrays/{number}", data=array)
        with open(temporary, "rb") as written:
            os.fsync(written.fileno())
        if path.exists():
            os.replace(path, previous(path))
        os.replace(temporary, path)
        _sync_folder(path.parent)
    finally:
        if os.path.exists(temporary):
            os.unlink(temporary)


def load_checkpoint(path):
    """Return the state of the newest whole checkpoint of `path`: itself, or the one before.

    Raises FileNotFoundError if there is none, FileError if all are damaged; DataError if it is another file.
    """
    path = Path(path)
    reasons = []
    for candidate in (path, previous(path)):
        if not candidate.exists():
            continue
        try:
            return _load(candidate)
        except FileError as error:
            reasons.append(str(error))
    if not reasons:
        raise FileNotFoundError(f"{path} does not exist; there is no checkpoint to go on from")
    raise FileError("; ".join(reasons))


def previous(path):
    """Where the checkpoint before the last is kept."""
    return Path(f"{path}.previous")


def _load(path):
    with open_hdf5(path) as file:
        try:
            if file.attrs.get("dynsim") != "checkpoint" or file["state"].nbytes > LARGEST:
                raise FileError(f"{path} is not a checkpoint that dynsim wrote; give its path")
            text = file["state"][()].tobytes().decode()
            stored = file["arrays"] if "arrays" in file else {}
            if sum(stored[name].nbytes for name in stored) > LARGEST:
                raise FileError(f"{path} asks for more than {LARGEST} bytes; it is damaged")
            arrays = [stored[str(number)][()] for number in range(len(stored))]
            if _digest(text, arrays) != file.attrs["digest"]:
                raise FileError(f"{path} is damaged: its contents do not agree with its digest")
            return _decode(json.loads(text), arrays)
        except FileError:
            raise
        except DAMAGE as error:
            raise FileError(f"{path} is damaged ({error}); use the one before it") from None


def _encode(value, arrays):
    if isinstance(value, dict):
        return {"dict": [[key, _encode(item, arrays)] for key, item in value.items()]}
    if isinstance(value, list | tuple):
        return {"list": [_encode(item, arrays) for item in value]}
    if isinstance(value, np.ndarray):
        arrays.append(np.ascontiguousarray(value))
        return {"array": len(arrays) - 1}
    if isinstance(value, np.generic):
        return value.item()
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise TypeError(f"checkpoint: got {type(value).__name__}; expected numbers, strings, arrays, dicts and lists")


def _decode(value, arrays):
    if not isinstance(value, dict):
        return value
    ((kind, content),) = value.items()
    if kind == "array":
        return arrays[content]
    if kind == "list":
        return [_decode(item, arrays) for item in content]
    return {key: _decode(item, arrays) for key, item in content}


def _digest(text, arrays):
    digest = hashlib.sha256(text.encode())
    for array in arrays:
        digest.update(f"{array.dtype.str}{array.shape}".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()


def _sync_folder(folder):
    """The renames themselves reach the disk."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
