"""Data sets by name or by path, and where those with a name are looked for."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from dynsim._check import as_callable, as_choice, as_count, as_instance, refusal
from dynsim.errors import DataError

from ._cifar_files import BATCHES, folder_of_batches, read_cifar_files
from ._dataset import Dataset
from ._idx_files import FILES, read_idx_files
from ._own_data import TESTED, Shape, numbered, read_parts, split_off_test

EMBEDDED = Path(__file__).parent / "digits"
NAMES = ("digits", "mnist", "fashion-mnist", "kmnist", "cifar10")


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

    That of cifar10 may be cifar-10-batches-bin in it, as its archive unpacks.

    Examples
    --------
    >>> find("digits").name
    'digits'
    """
    as_choice(name, NAMES, "name")
    if name == "digits":
        return EMBEDDED
    found = next((folder / name for folder in search_path(data_dir) if (folder / name).is_dir()), None)
    return folder_of_batches(found) if found and name == "cifar10" else found


def load(
    name: str | os.PathLike,
    data_dir: str | os.PathLike | None = None,
    *,
    size: tuple[int, int] | None = None,
    channels: int | None = None,
    progress: Callable | None = None,
) -> Dataset:
    """Read a data set: digits (embedded), mnist, fashion-mnist, kmnist or cifar10, or one of your own by its path.

    Parameters
    ----------
    name : str or path
        A name, or the path of a folder with a folder of pictures for each class, either directly or in folders train
        and test; of a folder with the IDX files of MNIST (torchvision's MNIST/raw) or with train.csv and test.csv; of a
        table (.csv or .tsv: a label column and pixels, as Kaggle's); or of an .npz file with the arrays x_train,
        y_train, x_test and y_test (as Keras') or train_images and so on (as MedMNIST's). Without images for testing,
        every sixth of each class is for testing.
        Of cifar10 the test batch and at least one training batch are read; a note says how many images are there.
    data_dir : path, optional
        Where those with a name are looked for first.
    size : (height, width), optional
        Images become so large; they keep their proportions and get margins of their border's brightness. By default all
        have to be of one size.
    channels : {1, 3}, optional
        Grey or colour; by default as they are.
    progress : callable, optional
        Called as `progress(done, total)` after every picture.

    Raises
    ------
    ValueError
        If the name is unknown and there is no such path.
    DataError
        If files are missing, damaged or do not fit together.
    FileError
        If they unpack to images or labels of more than $DYNSIM_BUDGET GiB.

    Examples
    --------
    >>> load("digits")
    <Dataset: name digits, training images 1437, test images 360, channels x height x width 1 x 8 x 8, classes 10>
    """
    if size is not None:
        size = tuple(as_count(side, "size") for side in as_instance(size, tuple | list, "size"))
    if channels is not None and as_count(channels, "channels") not in (1, 3):
        raise refusal("channels", channels, "1 or 3")
    shape, name = Shape(size, channels, as_callable(progress, "progress")), os.fspath(name)
    if name not in NAMES:
        return _own(Path(name), shape)
    folder, do = find(name, data_dir), f"run `dynsim data fetch {name}`"
    if folder is None:
        places = ", ".join(str(place / name) for place in search_path(data_dir))
        files = ", ".join(BATCHES if name == "cifar10" else FILES)
        raise DataError(f"{name}: not found in {places}; {do}, or put {files} (gz or not) there.")
    if name == "cifar10":
        return Dataset(name, **read_cifar_files(folder, shape, do))
    return Dataset(name, **read_idx_files(folder, shape, do, most=10))


def _own(path, shape):
    if not path.exists():
        expected = f"one of {', '.join(NAMES)}, or the path of a folder, a table or an .npz file"
        raise refusal("data", repr(str(path)), expected, "there is no such file or folder")
    for folder in (path, path / "raw", path / "MNIST/raw"):
        if any((folder / (file + ending)).is_file() for file in FILES for ending in ("", ".gz")):
            return Dataset(str(path), **read_idx_files(folder, shape, "put all four there, or give another folder"))
    parts, notes = read_parts(path, shape)
    labels, names = numbered(parts, path)
    images = {name: part.images for name, part in parts.items()}
    if "test" not in parts:
        tested = split_off_test(labels["train"])
        if not tested.any():
            got = f"no images for testing, and fewer than {TESTED} of each class"
            raise refusal(path, got, "a part called test, or more images", error=DataError)
        notes.append(f"{path}: there is no part for testing; every sixth image of each class is one.")
        labels = {"train": labels["train"][~tested], "test": labels["train"][tested]}
        images = {"train": images["train"][~tested], "test": images["train"][tested]}
    return Dataset(
        str(path), images["train"], train_labels=labels["train"], test_images=images["test"],
        test_labels=labels["test"], classes=len(names), class_names=names, notes=tuple(notes),
    )  # fmt: skip
