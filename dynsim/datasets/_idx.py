"""IDX files (MNIST's format): big-endian header 0 0 type axes, one uint32 per axis, then the numbers."""

from __future__ import annotations

import gzip
import math
import zlib
from pathlib import Path

import numpy as np

from dynsim.errors import DataError

LARGEST = 2**31  # bytes


def read_idx(path):
    """Return the unsigned bytes of an IDX file (gz or not) as a uint8 array.

    The size that the header promises is checked before memory is taken, and again when read.

    Raises
    ------
    DataError
        If the file is no IDX file of unsigned bytes, is cut short or too long.
    FileNotFoundError
        If there is none.

    Examples
    --------
    >>> from dynsim.datasets import EMBEDDED
    >>> read_idx(EMBEDDED / "t10k-images-idx3-ubyte.gz").shape
    (360, 8, 8)
    """
    path = Path(path)
    opener = gzip.open if path.suffix == ".gz" else open
    try:
        with opener(path, "rb") as file:
            start = file.read(4)
            if len(start) < 4 or start[:3] != b"\0\0\x08" or not 1 <= start[3] <= 4:
                raise DataError(f"{path}: starts with {start.hex()}; expected an IDX file of unsigned bytes.")
            header = file.read(4 * start[3])
            shape = tuple(int.from_bytes(header[k : k + 4], "big") for k in range(0, len(header), 4))
            size = math.prod(shape)
            if len(header) != 4 * start[3] or size > LARGEST:
                raise DataError(
                    f"{path}: its header promises {shape}; expected at most {LARGEST} bytes; fetch it again."
                )
            if opener is open and path.stat().st_size != 4 + len(header) + size:
                raise DataError(
                    f"{path}: has {path.stat().st_size} bytes; expected {4 + len(header) + size}; fetch it again."
                )
            data = file.read(size + 1)
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise DataError(f"{path}: damaged gz file ({error}); fetch it again.") from None
    if len(data) != size:
        found = "fewer" if len(data) < size else "more"
        raise DataError(f"{path}: has {found} than the {size} bytes of its header; fetch it again.")
    return np.frombuffer(data, np.uint8).reshape(shape)
