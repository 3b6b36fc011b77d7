"""IDX files, the format of MNIST."""

from __future__ import annotations

import math
import os
from pathlib import Path

import numpy as np
import numpy.typing as npt

from dynsim._check import refusal
from dynsim._files import expect_stored
from dynsim.errors import DataError

from ._gz_files import find_gz, reading_gz
from ._own_data import Shape, reshaped

FILES = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")
LARGEST_IDX = 2**31  # bytes


def read_idx(path: str | os.PathLike) -> npt.NDArray:
    """Return the unsigned bytes of an IDX file (gz or not) as a uint8 array.

    The size that the header promises is checked before memory is taken, and again when read.

    Raises
    ------
    DataError
        If the file is no IDX file of unsigned bytes, is cut short or too long.
    FileError
        If it unpacks to more than $DYNSIM_BUDGET GiB.
    FileNotFoundError
        If there is none.

    Examples
    --------
    >>> from dynsim.datasets import EMBEDDED
    >>> read_idx(EMBEDDED / "t10k-images-idx3-ubyte.gz").shape
    (360, 8, 8)
    """
    path, again = Path(path), "fetch it again"
    with reading_gz(path, "an IDX file") as (file, packed):
        start = file.read(4)
        if len(start) < 4 or start[:3] != b"\0\0\x08" or not 1 <= start[3] <= 4:
            raise refusal(path, f"the bytes {start.hex()}", "an IDX file of unsigned bytes", error=DataError)
        header = file.read(4 * start[3])
        shape = tuple(int.from_bytes(header[k : k + 4], "big") for k in range(0, len(header), 4))
        size = math.prod(shape)
        if len(header) != 4 * start[3] or not 0 < size <= LARGEST_IDX:
            raise refusal(path, f"a header of shape {shape}", f"1 to {LARGEST_IDX} bytes", again, error=DataError)
        stored, whole = path.stat().st_size, 4 + len(header) + size
        # No gzip file holds more than 1032 times its own bytes, so a small file takes little memory.
        if 1032 * stored < whole if packed else stored != whole:
            raise refusal(path, f"{stored} bytes", f"{whole} bytes of content", again, error=DataError)
        expect_stored(size, stored, path)
        data = file.read(size + 1)
    if len(data) != size:
        found = "fewer" if len(data) < size else "more"
        raise refusal(path, f"{found} bytes", f"the {size} bytes of its header", again, error=DataError)
    return np.frombuffer(data, np.uint8).reshape(shape)


def read_idx_files(folder: Path, shape: Shape, do: str, *, most: int | None = None) -> dict:
    """What a Dataset takes of a folder with MNIST's four files, gz or not: images, labels and the number of classes.

    `do` is what to do where one is missing; `most` is the number of classes, if it is known.

    Raises
    ------
    DataError
        If files are missing, damaged or do not fit together.
    FileError
        If they unpack to more than $DYNSIM_BUDGET GiB.
    """
    paths = _expect_all(folder, do)
    arrays = [read_idx(path) for path in paths]
    for images, labels in (arrays[:2], arrays[2:]):
        if images.ndim != 3 or labels.ndim != 1 or len(images) != len(labels):
            shapes = f"images of shape {images.shape} and labels of shape {labels.shape}"
            raise refusal(folder, shapes, "as many of both", error=DataError)
        if most is not None and labels.max() >= most:
            raise refusal(folder, f"the label {labels.max()}", f"labels from 0 to {most - 1}", error=DataError)
    sizes = [array.shape[1:] for array in arrays[::2]]
    if sizes[0] != sizes[1]:
        got = f"images of {sizes[0]} pixels for training and of {sizes[1]} for testing"
        raise refusal(folder, got, "one size", error=DataError)
    for path, array in zip(paths, arrays, strict=True):  # bytes become float32 and int64
        expect_stored(array.size * (4 if array.ndim == 3 else 8), path.stat().st_size, path)
    images = [reshaped(np.divide(array[:, None], 255, dtype=np.float32), shape) for array in arrays[::2]]
    labels = [array.astype(np.int64) for array in arrays[1::2]]
    classes = most or max(int(some.max()) + 1 for some in labels)
    found = {"train_images": images[0], "test_images": images[1]}
    return found | {"train_labels": labels[0], "test_labels": labels[1], "classes": classes}


def _expect_all(folder, do):
    """The four files, each gz or not; raises DataError that names those that are missing."""
    found = {name: find_gz(folder, name) for name in FILES}
    missing = [f"{name}[.gz]" for name, path in found.items() if path is None]
    if missing:
        raise DataError(f"{folder} lacks {', '.join(missing)}; {do}.")
    return list(found.values())
