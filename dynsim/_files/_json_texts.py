"""JSON that every program reads."""

from __future__ import annotations

import json
import math
import os

import numpy as np

from dynsim.errors import FileError

from ._inputs import damaged, expect_input
from ._outputs import write_whole

LARGEST_JSON = 2**28  # bytes
DEEPEST = 100  # levels of tables and lists; what is done with a value takes Python some calls for each


def to_json(value, **options):
    """Return `value` as JSON that every program reads: numbers that are not finite become null, arrays lists.

    Paths become texts, sets sorted lists, generators their state. Raises TypeError for what is none of these and for
    a value nested too deeply.

    Examples
    --------
    >>> to_json({"gain": float("inf"), "places": np.zeros(2)})
    '{"gain": null, "places": [0.0, 0.0]}'
    """
    try:
        return json.dumps(_plain(value), allow_nan=False, **options)
    except RecursionError:
        raise TypeError("a value nested this deeply cannot be stored as JSON; give flatter tables.") from None


def _plain(value):
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, set | frozenset):
        return [_plain(item) for item in sorted(value, key=str)]
    if isinstance(value, np.ndarray | np.generic):
        return _plain(value.tolist())
    if isinstance(value, np.random.Generator):
        return _plain(value.bit_generator.state)
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, os.PathLike | np.dtype):
        return str(value)
    if value is None or isinstance(value, bool | int | str):
        return value
    raise TypeError(
        f"a value of type {type(value).__name__} cannot be stored as JSON; "
        "give numbers, texts, lists, arrays or dictionaries."
    )


def write_json(path, value, **options):
    """Write `value` to `path` as `to_json` and `replacing` do."""
    write_whole(path, to_json(value, **options) + "\n")


def read_json(path):
    """Return what the JSON file `path` holds; FileNotFoundError if there is none, FileError if it is no JSON."""
    return from_json(_content(path), path)


def read_json_lines(path):
    """Return what each line of the file `path` holds as JSON; raises as `read_json`."""
    return [from_json(line, path) for line in _content(path).splitlines() if line.strip()]


def _content(path):
    path = expect_input(path)
    if path.stat().st_size > LARGEST_JSON:
        raise FileError(f"{path} has {path.stat().st_size:,} bytes, more than a JSON file of dynsim; write it again.")
    return path.read_bytes()


def from_json(text, path, **options):
    """Return what a JSON text from the file `path` says; raises FileError if it is none, or nested too deeply.

    >>> from_json('{"widths": [4, 2]}', "model.h5")
    {'widths': [4, 2]}
    """
    try:
        value = json.loads(text.decode("utf-8-sig") if isinstance(text, bytes) else text, **options)
    except (ValueError, RecursionError) as error:
        raise damaged(path, error) from None
    inner, depth = [value], 0
    while inner := [item for part in inner if isinstance(part, dict | list) for item in _parts(part)]:
        depth += 1
        if depth > DEEPEST:
            raise FileError(f"{path} holds JSON nested more than {DEEPEST} levels deep; dynsim writes a few.")
    return value


def expect_table(value, path, what):
    """Return `value`, which the file `path` holds as its `what`, if it is a dictionary; raises FileError otherwise."""
    if not isinstance(value, dict):
        raise FileError(f"{path} has {what} that is not a dictionary; it is damaged.")
    return value


def _parts(value):
    return value.values() if isinstance(value, dict) else value
