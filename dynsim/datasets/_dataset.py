"""Data sets: where they are looked for, their IDX files (MNIST's format), and what they are once read."""

from __future__ import annotations

import gzip
import math
import os
import zlib
from dataclasses import KW_ONLY, dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from dynsim._check import as_array, as_choice, as_count, as_instance, refusal
from dynsim._files import expect_stored
from dynsim.errors import DataError

EMBEDDED = Path(__file__).parent / "digits"
NAMES = ("digits", "mnist", "fashion-mnist", "kmnist")
FILES = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")
LARGEST_IDX = 2**31  # bytes


@dataclass(frozen=True)
class Dataset:
    """Images (n, channels, height, width) float32, as in [0, 1], and labels (n,) int64, for training and for testing.

    Raises TypeError or ValueError for anything else: whole numbers as images, numbers that are not finite, labels that
    are no whole numbers from 0 to classes - 1, images for testing of another size than those for training.
    """

    name: str
    train_images: npt.NDArray
    _: KW_ONLY
    train_labels: npt.NDArray
    test_images: npt.NDArray
    test_labels: npt.NDArray
    classes: int

    def __post_init__(self):
        self.check()

    def check(self):
        """Refuse what is not as the class says, also if the arrays were changed since they were given."""
        as_instance(self.name, str, "name")
        as_count(self.classes, "classes")
        for part in ("train", "test"):
            images = as_instance(getattr(self, f"{part}_images"), np.ndarray, f"{part}_images")
            labels = as_instance(getattr(self, f"{part}_labels"), np.ndarray, f"{part}_labels")
            _check_images(images, f"{part}_images")
            _check_labels(labels, f"{part}_labels", len(images), self.classes)
        sizes = [images.shape[1:] for images in (self.train_images, self.test_images)]
        if sizes[0] != sizes[1]:
            raise refusal(
                "test_images", f"images of shape {sizes[1]}", f"{sizes[0]}, as of train_images", "make them alike"
            )


def _check_images(images, name):
    if images.dtype.kind in "iub":
        do = "divide bytes by 255, as images.astype('float32') / 255"
        raise refusal(name, f"whole numbers ({images.dtype})", "float32", do, error=TypeError)
    as_array(images, name, ("n", "channels", "height", "width"))


def _check_labels(labels, name, count, classes):
    expected = f"whole numbers from 0 to {classes - 1}"
    if labels.dtype.kind not in "iu":
        do = "convert them, as labels.astype('int64'), or number the classes"
        raise refusal(name, f"labels of type {labels.dtype}", expected, do, error=TypeError)
    if labels.shape != (count,):
        raise refusal(name, f"shape {labels.shape}", f"({count},), a label for every image")
    wrong = (labels < 0) | (labels >= classes)
    if wrong.any():
        raise refusal(name, f"the label {labels[wrong][0]}", expected, "count from 0, or give more classes")


def search_path(data_dir: str | os.PathLike | None = None) -> list[Path]:
    """Return the folders that are searched, in order: data_dir, $DYNSIM_DATA, data/, the user's cache.

    Examples
    --------
    >>> str(search_path("here")[0])
    'here'
    """
    import pooch

    data_dir = None if data_dir is None else Path(data_dir)
    given = [data_dir, os.environ.get("DYNSIM_DATA"), "data", pooch.os_cache("dynsim")]
    return [Path(folder) for folder in given if folder]


def find(name: str, data_dir: str | os.PathLike | None = None) -> Path | None:
    """Return the folder of a data set, the first on the search path that exists, or None.

    Examples
    --------
    >>> find("digits").name
    'digits'
    """
    as_choice(name, NAMES, "name")
    if name == "digits":
        return EMBEDDED
    return next((folder / name for folder in search_path(data_dir) if (folder / name).is_dir()), None)


def load(name: str, data_dir: str | os.PathLike | None = None) -> Dataset:
    """Read a data set: digits (embedded), mnist, fashion-mnist or kmnist.

    Raises
    ------
    ValueError
        If the name is unknown.
    DataError
        If files are missing, damaged or do not fit together.
    FileError
        If they unpack to images or labels of more than $DYNSIM_BUDGET GiB.

    Examples
    --------
    >>> load("digits").train_images.shape
    (1437, 1, 8, 8)
    """
    as_choice(name, NAMES, "name")
    folder = find(name, data_dir)
    if folder is None:
        places = ", ".join(str(f / name) for f in search_path(data_dir))
        raise DataError(f"{name}: not found in {places}; run `dynsim data fetch {name}`.")
    paths = [_either(folder / file, name) for file in FILES]
    arrays = [read_idx(path) for path in paths]
    for images, labels in (arrays[:2], arrays[2:]):
        if images.ndim != 3 or labels.ndim != 1 or len(images) != len(labels):
            shapes = f"images of shape {images.shape} and labels of shape {labels.shape}"
            raise refusal(folder, shapes, "as many of both", error=DataError)
        if labels.max() > 9:
            raise refusal(folder, f"the label {labels.max()}", "labels from 0 to 9", error=DataError)
    sizes = [array.shape[1:] for array in arrays[::2]]
    if sizes[0] != sizes[1]:
        got = f"images of {sizes[0]} pixels for training and of {sizes[1]} for testing"
        raise refusal(folder, got, "one size", error=DataError)
    for path, array in zip(paths, arrays, strict=True):  # bytes become float32 and int64
        expect_stored(array.size * (4 if array.ndim == 3 else 8), path.stat().st_size, path)
    images = [np.divide(array[:, None], 255, dtype=np.float32) for array in arrays[::2]]
    labels = [array.astype(np.int64) for array in arrays[1::2]]
    return Dataset(name, images[0], train_labels=labels[0], test_images=images[1], test_labels=labels[1], classes=10)


def _either(path, name):
    for candidate in (path.with_name(path.name + ".gz"), path):
        if candidate.is_file():
            return candidate
    raise DataError(f"{path}[.gz] does not exist; run `dynsim data fetch {name}`.")


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
    path = Path(path)
    if path.exists() and not path.is_file():
        raise DataError(f"{path} is not a regular file; give an IDX file.")
    opener = gzip.open if path.suffix == ".gz" else open
    again = "fetch it again"
    try:
        with opener(path, "rb") as file:
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
            if stored != whole if opener is open else 1032 * stored < whole:
                raise refusal(path, f"{stored} bytes", f"{whole} bytes of content", again, error=DataError)
            expect_stored(size, stored, path)
            data = file.read(size + 1)
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise DataError(f"{path} is a damaged gz file ({error}); fetch it again.") from None
    if len(data) != size:
        found = "fewer" if len(data) < size else "more"
        raise refusal(path, f"{found} bytes", f"the {size} bytes of its header", again, error=DataError)
    return np.frombuffer(data, np.uint8).reshape(shape)
