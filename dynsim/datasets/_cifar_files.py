"""CIFAR-10's binary files: records of a label and 3072 bytes, planes R, G, B of 32 x 32 pixels (Krizhevsky, 2009)."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import numpy.typing as npt

from dynsim._check import refusal
from dynsim._files import expect_stored
from dynsim.errors import DataError

from ._archives import unpack
from ._gz_files import find_gz, reading_gz
from ._own_data import Shape, reshaped

TRAINING = tuple(f"data_batch_{number}.bin" for number in range(1, 6))
TEST = "test_batch.bin"
BATCHES = (*TRAINING, TEST)
ARCHIVE, UNPACKED = "cifar-10-binary.tar.gz", "cifar-10-batches-bin"  # what is published, and the folder in it
CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
IMAGE = (3, 32, 32)
RECORD = 3073  # bytes
MOST = 10_000  # records of a file


def read_cifar10(path: str | os.PathLike) -> tuple[npt.NDArray, npt.NDArray]:
    """Return the images (n, 3, 32, 32) uint8 and labels (n,) int64 of a file of binary records, gz or not.

    No more is read than the 10,000 records that a file of CIFAR-10 has.

    Raises
    ------
    DataError
        If the file is no such file, is cut short or too long, or has labels above 9.
    FileError
        If it unpacks to more than $DYNSIM_BUDGET GiB.
    FileNotFoundError
        If there is none.

    References
    ----------
    A. Krizhevsky, Learning multiple layers of features from tiny images, University of Toronto, 2009.

    Examples
    --------
    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "one.bin"
    >>> _ = path.write_bytes(bytes([3]) + bytes(3072))
    >>> images, labels = read_cifar10(path)
    >>> images.shape, CLASSES[labels[0]]
    ((1, 3, 32, 32), 'cat')
    """
    path = Path(path)
    with reading_gz(path, "a binary file of CIFAR-10") as (file, packed):
        stored = path.stat().st_size
        _expect_records(path, 0 if packed else stored)
        data = file.read(MOST * RECORD + 1)  # 31 MB, whatever a small gz file unpacks to
    _expect_records(path, len(data))
    expect_stored(len(data), stored, path)
    if not data:
        raise refusal(path, "no bytes", f"records of {RECORD}", "fetch it again", error=DataError)
    records = np.frombuffer(data, np.uint8).reshape(-1, RECORD)
    labels = records[:, 0].astype(np.int64)
    if labels.max() >= len(CLASSES):
        raise refusal(path, f"the label {labels.max()}", f"labels from 0 to {len(CLASSES) - 1}", error=DataError)
    return records[:, 1:].reshape(-1, *IMAGE), labels


def _expect_records(path, size):
    if size % RECORD or size > MOST * RECORD:
        got = f"{size} bytes" if size <= MOST * RECORD else f"more than {MOST * RECORD} bytes"
        raise refusal(path, got, f"1 to {MOST} records of {RECORD}", "fetch it again", error=DataError)


def read_cifar_files(folder: Path, shape: Shape, do: str) -> dict:
    """What a Dataset takes of a folder with the test batch and at least one training batch, each gz or not.

    `do` is what to do where one is missing. Where there are fewer images than CIFAR-10 has, a note says how many.

    Raises
    ------
    DataError
        If there is no training batch or no test batch, or a file is damaged.
    FileError
        If a file unpacks to more than $DYNSIM_BUDGET GiB.
    """
    paths = {"train": [path for name in TRAINING if (path := find_gz(folder, name))], "test": [find_gz(folder, TEST)]}
    missing = [] if paths["train"] else [f"{TRAINING[0]}[.gz] (and to {TRAINING[-1]})"]
    missing += [] if paths["test"][0] else [f"{TEST}[.gz]"]
    if missing:
        raise DataError(f"{folder} lacks {', '.join(missing)}; {do}.")
    found, counts = {"classes": len(CLASSES), "class_names": CLASSES}, {}
    for part, files in paths.items():
        read = [read_cifar10(path) for path in files]
        for path, (images, _) in zip(files, read, strict=True):  # bytes become float32
            expect_stored(4 * images.size, path.stat().st_size, path)
        labels = np.concatenate([some for _, some in read])
        images = np.concatenate([some for some, _ in read], dtype=np.float32)
        images /= 255
        found |= {f"{part}_images": reshaped(images, shape), f"{part}_labels": labels}
        counts[part] = len(labels)
    if counts != {"train": MOST * len(TRAINING), "test": MOST}:
        found["notes"] = (
            f"{folder}: a part of CIFAR-10, {counts['train']:,} of the {MOST * len(TRAINING):,} training images "
            f"and {counts['test']:,} of the {MOST:,} test images.",
        )
    return found


def folder_of_batches(folder: Path) -> Path:
    """The folder that the archive unpacks to, if it is in `folder` and has the test batch; otherwise `folder`.

    The test batch is the last to be written by `dynsim.datasets.fetch`.
    """
    return folder / UNPACKED if find_gz(folder / UNPACKED, TEST) else folder


def has_all_batches(folder: Path) -> bool:
    """Whether all 60,000 images are there and sound."""
    paths = [find_gz(folder, name) for name in BATCHES]
    try:
        return all(paths) and all(len(read_cifar10(path)[1]) == MOST for path in paths)
    except (ValueError, OSError):  # damaged, or not to be read
        return False


def unpack_batches(folder: Path) -> Path:
    """Unpack the archive in a folder, remove it, and return the folder of its batches.

    Raises
    ------
    DataError
        If the archive does not hold the six files of 10,000 images.
    OSError
        If a file cannot be written.
    """
    unpack(folder / ARCHIVE, {f"{UNPACKED}/{name}": MOST * RECORD for name in BATCHES}, folder / UNPACKED)
    (folder / ARCHIVE).unlink()
    return folder / UNPACKED
