"""Where data sets are looked for, and what they are once read."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from dynsim.errors import DataError

from ._idx import read_idx

EMBEDDED = Path(__file__).parent / "digits"
NAMES = ("digits", "mnist", "fashion-mnist", "kmnist")
FILES = (
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
)


@dataclass(frozen=True)
class Dataset:
    """Images (n, channels, height, width) float32 in [0, 1] and labels (n,) int64, for training and for testing."""

    name: str
    train_images: np.ndarray
    train_labels: np.ndarray
    test_images: np.ndarray
    test_labels: np.ndarray
    classes: int

    def __post_init__(self):
        _expect(isinstance(self.name, str), "name", self.name, "a text")
        _expect(isinstance(self.classes, int) and self.classes > 0, "classes", self.classes, "a whole number above 0")
        for part in ("train", "test"):
            images, labels = getattr(self, f"{part}_images"), getattr(self, f"{part}_labels")
            four = isinstance(images, np.ndarray) and images.ndim == 4
            _expect(four, f"{part}_images", images, "an array (n, channels, height, width)")
            one = isinstance(labels, np.ndarray) and labels.shape == (len(images),)
            _expect(one, f"{part}_labels", labels, f"an array ({len(images)},)")


def _expect(right, name, value, wanted):
    if not right:
        text = f"shape {value.shape}" if isinstance(value, np.ndarray) else repr(value)
        raise DataError(f"data set: got {name} {text}; expected {wanted}.")


def expect_name(name):
    """Refuse what is no data set's name, with DataError."""
    _expect(isinstance(name, str) and name in NAMES, "name", name, f"one of {', '.join(NAMES)}")


def search_path(data_dir=None):
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


def find(name, data_dir=None):
    """Return the folder of a data set, the first on the search path that exists, or None.

    Examples
    --------
    >>> find("digits").name
    'digits'
    """
    expect_name(name)
    if name == "digits":
        return EMBEDDED
    return next((folder / name for folder in search_path(data_dir) if (folder / name).is_dir()), None)


def load(name, data_dir=None):
    """Read a data set: digits (embedded), mnist, fashion-mnist or kmnist.

    Raises
    ------
    DataError
        If the name is unknown, or files are missing, damaged or do not fit together.

    Examples
    --------
    >>> load("digits").train_images.shape
    (1437, 1, 8, 8)
    """
    expect_name(name)
    folder = find(name, data_dir)
    if folder is None:
        places = ", ".join(str(f / name) for f in search_path(data_dir))
        raise DataError(f"{name}: not found in {places}; run `dynsim data fetch {name}`.")
    arrays = [read_idx(_either(folder / file, name)) for file in FILES]
    for images, labels in (arrays[:2], arrays[2:]):
        if images.ndim != 3 or labels.ndim != 1 or len(images) != len(labels) or not len(images):
            raise DataError(f"{folder}: images {images.shape} and labels {labels.shape}; expected as many of both.")
        if labels.max() > 9:
            raise DataError(f"{folder}: a label is {labels.max()}; expected 0 to 9.")
    images = [np.divide(array[:, None], 255, dtype=np.float32) for array in arrays[::2]]
    labels = [array.astype(np.int64) for array in arrays[1::2]]
    return Dataset(name, images[0], labels[0], images[1], labels[1], 10)


def _either(path, name):
    for candidate in (path.with_name(path.name + ".gz"), path):
        if candidate.is_file():
            return candidate
    raise DataError(f"{path}[.gz]: no such file; run `dynsim data fetch {name}`.")
