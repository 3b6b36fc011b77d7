"""Data sets of one's own: folders of pictures, tables, arrays, and IDX files under the usual names."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from dynsim._check import as_instance, refusal
from dynsim._files import expect_stored
from dynsim.errors import DataError

from ._pictures import ENDINGS, fit_images, read_picture
from ._tables import read_csv, read_npy, read_npz, to_planes, to_unit

PARTS = {"train": ("train", "training"), "test": ("test", "testing", "val", "valid", "validation")}  # folders and files
ARRAYS = {
    "train": (("x_train", "y_train"), ("train_images", "train_labels"), ("x", "y"), ("images", "labels")),
    "test": (("x_test", "y_test"), ("test_images", "test_labels")),
}
TABLES = (".csv", ".tsv")
TESTED = 6  # without images for testing every sixth of each class is one


class Part(NamedTuple):
    """Images (n, channels, height, width) and their labels, as texts or numbers; None if there are none."""

    images: npt.NDArray
    labels: npt.NDArray | None


class Shape(NamedTuple):
    """What images are to become: (height, width) and channels, None as they are; and who is told of each that is read.

    `progress(done, total)` counts pictures.
    """

    size: tuple[int, int] | None = None
    channels: int | None = None
    progress: Callable | None = None


def read_parts(path: Path, shape: Shape) -> tuple[dict[str, Part], list[str]]:
    """The parts "train" and, if there is one, "test" of a data set of one's own, and sentences on how they were read.

    Raises
    ------
    DataError
        If there is none, or something in it cannot be read.
    FileError
        If it takes more than $DYNSIM_BUDGET GiB and more than the files have.
    """
    said = []
    if path.is_dir():
        parts = _folder_parts(path, shape, said)
    elif path.suffix.lower() == ".npz":
        parts = _array_parts(path, shape, said)
    elif path.suffix.lower() in TABLES:
        parts = {"train": _table(path, shape, said)}
    else:
        wanted = f"a folder of a folder for each class, .npz or {' or '.join(TABLES)}"
        raise refusal("data", repr(str(path)), wanted, error=DataError)
    for name, part in parts.items():
        if part.labels is None:
            raise refusal(path, f"images without labels ({name})", "a label for each image", error=DataError)
        if len(part.labels) != len(part.images):
            got = f"{len(part.images)} images and {len(part.labels)} labels ({name})"
            raise refusal(path, got, "as many of both", error=DataError)
        if not len(part.images):
            raise refusal(path, f"no images ({name})", "at least one", error=DataError)
    return parts, said


def read_images(path: str | os.PathLike, shape: Shape | None = None) -> Iterator[tuple[str, npt.NDArray]]:
    """Iterate over (name, image) of a picture, of all pictures in a folder, or of the images in a .npy file or table.

    Images are (channels, height, width) in [0, 1], of any size. Labels in a table are ignored.

    Raises
    ------
    DataError
        If there are none, or one cannot be read.
    FileNotFoundError
        If there is no such file.

    Examples
    --------
    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "two.npy"
    >>> np.save(path, np.zeros((2, 8, 8), np.uint8))
    >>> [(Path(name).name, image.shape) for name, image in read_images(path)]
    [('two.npy[0]', (1, 8, 8)), ('two.npy[1]', (1, 8, 8))]
    """
    if shape is not None:
        as_instance(shape, Shape, "shape")
    path = Path(as_instance(path, str | os.PathLike, "path"))
    if not path.exists():
        raise FileNotFoundError(2, "No such file or directory", str(path))
    return _images_of(path, shape and shape.size)


def _images_of(path, size):
    if path.is_dir():
        found = pictures_in(path)
        if not found:
            raise refusal(path, "no pictures", f"files that end in {', '.join(ENDINGS)}", error=DataError)
        yield from ((str(one), read_picture(one)) for one in found)
    elif path.suffix.lower() == ".npy":
        array = read_npy(path)
        array = array[None] if array.ndim == 2 else array
        images = to_unit(to_planes(array, path), path)[0]
        yield from ((f"{path}[{number}]", image) for number, image in enumerate(images))
    elif path.suffix.lower() in TABLES:
        images = read_csv(path, size)[0]
        yield from ((f"{path}[{number}]", image) for number, image in enumerate(images))
    else:
        yield str(path), read_picture(path)


def pictures_in(folder: Path) -> list[Path]:
    """Pictures of a folder and of the folders in it, in order; hidden ones are left out."""
    found = (path for path in folder.rglob("*") if path.suffix.lower() in ENDINGS and path.is_file())
    hidden = (".", "__MACOSX")
    return sorted(path for path in found if not any(p.startswith(hidden) for p in path.relative_to(folder).parts))


def _folder_parts(folder, shape, said):
    tables = {part: _first(folder, [name + ending for name in PARTS[part] for ending in TABLES]) for part in PARTS}
    if tables["train"]:
        parts = {part: _table(path, shape, said) for part, path in tables.items() if path}
        if "test" in parts and parts["test"].labels is None:
            said.append(f"{tables['test']}: it has no labels and is left out.")
            del parts["test"]
        return parts
    folders = {part: _first(folder, PARTS[part]) for part in PARTS}
    if not folders["train"]:
        folders = {"train": folder}
    listed = {part: _classes_in(place) for part, place in folders.items() if place}
    paths = [path for classes in listed.values() for some in classes.values() for path in some]
    if not paths:
        wanted = f"a folder for each class with files that end in {', '.join(ENDINGS)}, or the IDX files of MNIST"
        raise refusal(folder, "none", wanted, error=DataError)
    images = _pictures(paths, shape, folder)
    parts, start = {}, 0
    for part, classes in listed.items():
        labels = np.array([name for name, some in classes.items() for _ in some])
        parts[part] = Part(images[start : start + len(labels)], labels)
        start += len(labels)
    return parts


def _first(folder, names):
    """The first of these names that is in a folder, whatever its case, or None."""
    inside = {path.name.lower(): path for path in folder.iterdir()}
    return next((inside[name] for name in names if name in inside), None)


def _classes_in(folder):
    """{class: its pictures} of the folders in a folder."""
    inside = sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith((".", "__MACOSX")))
    found = {path.name: pictures_in(path) for path in inside}
    return {name: paths for name, paths in found.items() if paths}


def _pictures(paths, shape, folder):
    """The pictures as one array of one shape."""
    found, first = None, None
    for number, path in enumerate(paths):
        image = read_picture(path)
        channels = len(image) if shape.channels is None else shape.channels
        wanted = (channels, *(shape.size or image.shape[1:]))
        if found is None:
            first, size = path, len(paths) * int(np.prod(wanted))
            expect_stored(4 * size, sum(one.stat().st_size for one in paths), folder)
            found = np.empty((len(paths), *wanted), np.float32)
        if wanted != found.shape[1:]:
            described = [f"{c} channel{'s' * (c > 1)} of {h} x {w} pixels" for c, h, w in (wanted, found.shape[1:])]
            do = "say what they are to become (size, channels; --image-size, --grey)"
            raise refusal(path, described[0], f"{described[1]}, as {first} has", do, error=DataError)
        found[number] = fit_images([image], wanted)[0][0]
        if shape.progress is not None:
            shape.progress(number + 1, len(paths))
    return found


def _table(path, shape, said):
    images, labels, sentence = read_csv(path, shape.size)
    said += [sentence] if sentence else []
    return Part(reshaped(images, shape), labels)


def _array_parts(path, shape, said):
    arrays, parts = read_npz(path), {}
    named = {name.lower(): name for name in arrays}
    for part, pairs in ARRAYS.items():
        pair = next((pair for pair in pairs if pair[0] in named), None)
        if pair is None:
            continue
        where = f"{path}: {named[pair[0]]}"
        images, sentence = to_unit(to_planes(arrays[named[pair[0]]], where), where)
        said += [sentence] if sentence else []
        labels = arrays[named[pair[1]]] if pair[1] in named else None
        if labels is not None and labels.ndim == 2 and labels.shape[1] == 1:
            labels = labels[:, 0]
        if labels is not None and labels.ndim != 1:
            got = f"labels of shape {labels.shape}"
            raise refusal(f"{path}: {named[pair[1]]}", got, "(n,), the number of a class", error=DataError)
        parts[part] = Part(reshaped(images, shape), labels)
    used = {name for pairs in ARRAYS.values() for pair in pairs for name in pair}
    others = [name for name in arrays if name.lower() not in used]
    if parts and others:
        said.append(f"{path}: {', '.join(others)}: not used.")
    if "train" not in parts:
        got = f"the arrays {', '.join(arrays) or 'of none'}"
        raise refusal(path, got, "x_train, y_train, x_test and y_test", error=DataError)
    return parts


def reshaped(images: npt.NDArray, shape: Shape) -> npt.NDArray:
    """Images (n, channels, height, width) of the size and with the channels that are asked for."""
    wanted = (shape.channels or images.shape[1], *(shape.size or images.shape[2:]))
    return np.ascontiguousarray(images if wanted == images.shape[1:] else fit_images(images, wanted)[0])


def numbered(parts: dict[str, Part], path: Path) -> tuple[dict[str, npt.NDArray], tuple[str, ...]]:
    """Labels as whole numbers from 0, part by part, and the classes' names.

    Whole numbers of which one is 0 are kept. Anything else is numbered in the order of its names.

    Raises
    ------
    DataError
        If a label is no name and no whole number from 0.

    Examples
    --------
    >>> part = Part(np.zeros((3, 1, 2, 2)), np.array(["cat", "dog", "cat"]))
    >>> numbered({"train": part}, Path("pets"))
    ({'train': array([0, 1, 0])}, ('cat', 'dog'))
    """
    labels = {name: _texts(part.labels, path) for name, part in parts.items()}
    present = sorted(set(np.concatenate(list(labels.values())).tolist()))
    if all(text.isdecimal() for text in present):
        numbers = sorted(map(int, present))
        if numbers[0] == 0 and [str(number) for number in numbers] == sorted(present, key=int):
            if numbers[-1] > 2 * len(numbers) + 1000:
                raise refusal(path, f"the label {numbers[-1]}", "numbers of classes, from 0 on", error=DataError)
            return {name: some.astype(np.int64) for name, some in labels.items()}, tuple(
                map(str, range(numbers[-1] + 1))
            )
        present.sort(key=int)
    place = {text: number for number, text in enumerate(present)}
    return {name: np.array([place[text] for text in some.tolist()], np.int64) for name, some in labels.items()}, tuple(
        present
    )


def _texts(labels, path):
    """Labels as texts; whole numbers that are stored as fractions lose their point."""
    labels = np.asarray(labels)
    if labels.dtype.kind == "U":
        texts = [text.strip().strip("\"'") for text in labels.tolist()]
        if all(text.endswith(".0") and text[:-2].isdecimal() for text in texts):
            texts = [text[:-2] for text in texts]
        if "" in texts:
            raise refusal(path, "an image without label", "a label for each", error=DataError)
        return np.array(texts)
    if labels.dtype.kind == "S":
        return _texts(labels.astype(str), path)
    if labels.dtype.kind not in "iuf" or not np.isfinite(labels).all() or (labels % 1 != 0).any() or (labels < 0).any():
        raise refusal(path, f"labels of type {labels.dtype}", "names, or whole numbers from 0", error=DataError)
    return labels.astype(np.int64).astype(str)


def split_off_test(labels: npt.NDArray) -> npt.NDArray:
    """Which images of a set without a part for testing are for testing: of each class every sixth, the last included.

    Examples
    --------
    >>> split_off_test(np.zeros(7, int)).nonzero()[0].tolist()
    [5]
    """
    chosen = np.zeros(len(labels), bool)
    for number in np.unique(labels):
        places = np.flatnonzero(labels == number)
        chosen[places[TESTED - 1 :: TESTED]] = True
    return chosen
