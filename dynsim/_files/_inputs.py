"""Inputs: files are expected to be files, and what is wrong with their bytes is said in a sentence."""

from __future__ import annotations

import math
import os
from pathlib import Path

from dynsim._check import refusal
from dynsim.errors import DataError, FileError

# What h5py and json raise from inside a file whose bytes make no sense.
DAMAGE = (OSError, RuntimeError, LookupError, ValueError, TypeError, ArithmeticError, AttributeError)
BUDGET = 0.5  # GiB of memory for what takes fewer bytes in a file; $DYNSIM_BUDGET is another


def expect_input(path, what="a file that dynsim wrote"):
    """Refuse what is no file that can be read from start to end; reading from a pipe might never end."""
    path = Path(path)
    if path.is_dir():
        raise IsADirectoryError(f"{path} is a directory; give the path of {what}.")
    if not path.exists():
        raise FileNotFoundError(f"{path} does not exist; give the path of {what}.")
    if not path.is_file():
        raise DataError(f"{path} is not a regular file; give the path of {what}.")
    return path


def lacks_memory(error):
    """Whether HDF5 could not read since it got no memory: it raises the same errors as for damage.

    >>> lacks_memory(OSError("Can't synchronously read data (memory allocation failed for raw data chunk)"))
    True
    """
    return isinstance(error, MemoryError) or "memory allocation failed" in str(error)


def damaged(path, error):
    """Return the FileError for whatever HDF5 or JSON said about the bytes of `path`."""
    if lacks_memory(error):
        return FileError(f"{path} asks for more memory than there is; it is damaged, or free some.")
    return FileError(f"{path} is damaged ({reason(error)}); restore it from a copy or write it again.")


def string(value):
    """Return the text of an attribute, which other programs may have written as bytes."""
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value


def reason(error):
    """Return the first words of an error on one line."""
    return " ".join(str(error).split())[:120] or type(error).__name__


def expect_stored(size, stored, what):
    """Refuse `size` bytes of memory for what takes `stored` bytes in a file, unless they are within the budget.

    A few bytes can claim, or be unpacked to, any size. Raises FileError.

    >>> expect_stored(2**20, 2**10, "run.h5: time")
    """
    text = os.environ.get("DYNSIM_BUDGET") or str(BUDGET)
    try:
        budget = float(text) * 2**30
    except ValueError:
        budget = math.nan
    if not budget >= 0:
        raise refusal("DYNSIM_BUDGET", repr(text), "GiB of memory, as 2")
    if size > max(stored, budget):
        got = f"{-(-int(size) // 2**20):,} MiB of memory for {stored:,} bytes of the file"
        do = f"set DYNSIM_BUDGET={-(-int(size) // 2**30)} (GiB) if the file is to be trusted"
        raise refusal(what, got, f"at most {budget / 2**20:,.0f} MiB", do, error=FileError)
