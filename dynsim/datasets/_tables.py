"""Images in tables: comma-separated values with a row an image, and arrays in .npy and .npz files."""

from __future__ import annotations

import math
import os
import zipfile
import zlib
from pathlib import Path
from tokenize import TokenError

import numpy as np
import numpy.typing as npt
from numpy.lib import format as npy

from dynsim._check import is_number, refusal
from dynsim._files import expect_stored
from dynsim.errors import DataError

LABELS = ("label", "labels", "class", "target", "y", "digit", "category")
NUMBERING = ("", "id", "index", "unnamed: 0")  # columns that say nothing of the image
SCALES = (1, 16, 255, 65535)  # brightest values that are usual
DELIMITERS = ",;\t"


def to_unit(images: npt.NDArray, where: str | os.PathLike) -> tuple[npt.NDArray, str]:
    """Pixels as float32 in [0, 1], and a sentence on what they were divided by ("" if by nothing).

    Bytes are divided by 255 and 16 bits by 65,535. Other numbers are divided by the least of 1, 16, 255 and 65,535 that
    is not below any of them.

    Raises
    ------
    DataError
        If they are no numbers, not finite, below 0 or above 65,535.

    Examples
    --------
    >>> to_unit(np.array([[0.0, 16.0]]), "t.csv")
    (array([[0., 1.]], dtype=float32), 't.csv: its pixels, from 0 to 16, were divided by 16.')
    """
    if images.dtype.kind not in "fiub":
        raise refusal(where, f"pixels of type {images.dtype}", "numbers", error=DataError)
    if images.dtype in (np.uint8, np.uint16):
        return np.divide(images, np.iinfo(images.dtype).max, dtype=np.float32), ""
    low, high = (float(images.min()), float(images.max())) if images.size else (0.0, 0.0)
    if not (0 <= low and high <= SCALES[-1]):
        raise refusal(where, f"pixels from {low:g} to {high:g}", f"0 to 1, or to {SCALES[-1]} at most", error=DataError)
    scale = next(scale for scale in SCALES if high <= scale)
    said = f"{where}: its pixels, from {low:g} to {high:g}, were divided by {scale}." if scale > 1 else ""
    return np.divide(images, scale, dtype=np.float32), said


def to_planes(array: npt.NDArray, where: str | os.PathLike) -> npt.NDArray:
    """Images (n, channels, height, width) of an array (n, h, w), (n, h, w, c) or (n, c, h, w), c being 1 or 3.

    Raises
    ------
    DataError
        If it is of another shape.

    Examples
    --------
    >>> to_planes(np.zeros((5, 28, 28, 3)), "x").shape
    (5, 3, 28, 28)
    """
    if array.ndim == 3:
        return array[:, None]
    if array.ndim == 4 and array.shape[3] in (1, 3):
        return array.transpose(0, 3, 1, 2)
    if array.ndim == 4 and array.shape[1] in (1, 3):
        return array
    wanted = "(n, height, width), or with 1 or 3 channels (n, height, width, channels)"
    raise refusal(where, f"an array of shape {array.shape}", wanted, error=DataError)


def read_csv(
    path: str | os.PathLike, size: tuple[int, int] | None = None
) -> tuple[npt.NDArray, npt.NDArray | None, str]:
    """Images (n, channels, height, width), labels as texts (None without) and a sentence on the pixels, of a table.

    A row is an image, row of pixels after row; its label is in a column called label, class, target, y, digit or
    category or, without names, in the first column if the others make a square. As Kaggle's tables are. Of `size`
    (height, width) the images are if it has as many pixels as there are columns; otherwise they are square. Three
    squares are channels one after the other.

    Raises
    ------
    DataError
        If it is no such table.

    Examples
    --------
    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "two.csv"
    >>> _ = path.write_text("label,a,b,c,d\\n7,0,255,0,0\\n1,255,0,0,0\\n")
    >>> images, labels, _ = read_csv(path)
    >>> images.shape, labels.tolist()
    ((2, 1, 2, 2), ['7', '1'])
    """
    path = Path(path)
    try:
        with open(path, encoding="utf-8-sig") as file:
            first = file.readline()
    except UnicodeDecodeError:
        raise refusal(path, "bytes that are no text", "comma-separated values", error=DataError) from None
    delimiter = max(DELIMITERS, key=first.count)
    cells = [cell.strip().strip("\"'") for cell in first.strip("\r\n").split(delimiter)]
    names = None if all(map(is_number, cells)) else [cell.lower() for cell in cells]
    label, pixels = _columns(path, names, len(cells), size)
    options = {"delimiter": delimiter, "skiprows": 0 if names is None else 1, "comments": None, "encoding": "utf-8-sig",
               "ndmin": 2, "quotechar": '"'}  # fmt: skip
    try:
        numbers = np.loadtxt(path, np.float32, usecols=pixels, **options)
        labels = None if label is None else np.loadtxt(path, str, usecols=label, **options)[:, 0]
    except (ValueError, IndexError) as error:
        raise DataError(f"{path} is no table of pixels ({error}); expected the same numbers of cells.") from None
    if not len(numbers):
        raise refusal(path, "no rows", "a row for each image", error=DataError)
    if not np.isfinite(numbers).all():
        row = int(np.argwhere(~np.isfinite(numbers))[0][0])
        raise refusal(path, f"a pixel that is not finite in image {row}", "numbers", error=DataError)
    images, said = to_unit(numbers, path)
    return images.reshape(len(images), *_shape(len(pixels), size)), labels, said


def _columns(path, names, count, size):
    """The column of the labels, or None, and those of the pixels."""
    columns = list(range(count))
    if names is not None:
        columns = [k for k in columns if names[k] not in NUMBERING]
        label = next((k for k in columns if names[k] in LABELS), None)
        if label is not None:
            columns.remove(label)
            if _shape(len(columns), size):
                return label, columns
    if names is None or label is None:
        if _shape(len(columns), size):
            return None, columns
        if _shape(len(columns) - 1, size):
            return columns[0], columns[1:]
    wanted = "as many as a square image has pixels (or three times so many), beside one called label"
    do = "give the size of the images" if size is None else f"images of {size[0]} x {size[1]} have {math.prod(size)}"
    raise refusal(path, f"{len(columns)} columns of pixels", wanted, do, error=DataError)


def _shape(count, size):
    """(channels, height, width) of images with so many numbers, or None."""
    for channels in (1, 3):
        if count > 0 and count % channels == 0:
            pixels = count // channels
            side = math.isqrt(pixels)
            if size is not None and math.prod(size) == pixels:
                return channels, *size
            if side * side == pixels:
                return channels, side, side
    return None


def read_npy(path: str | os.PathLike) -> npt.NDArray:
    """The array in a .npy file; nothing is unpickled, and its size is checked before memory is taken.

    Raises
    ------
    DataError
        If it is no such file, or is damaged.
    FileError
        If it takes more than $DYNSIM_BUDGET GiB and more than the file has.
    FileNotFoundError
        If there is none.
    """
    with open(path, "rb") as file:
        return _array(file, path, Path(path).stat().st_size)


def read_npz(path: str | os.PathLike) -> dict[str, npt.NDArray]:
    """All arrays of an .npz file by name, with the checks of `read_npy`.

    Examples
    --------
    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "two.npz"
    >>> np.savez(path, x=np.arange(3))
    >>> read_npz(path)
    {'x': array([0, 1, 2])}
    """
    path = Path(path)
    try:
        with zipfile.ZipFile(path) as archive:
            stored, found = path.stat().st_size, {}
            for entry in archive.infolist():
                if entry.filename.endswith(".npy"):
                    with archive.open(entry) as file:
                        name = entry.filename[: -len(".npy")]
                        found[name] = _array(file, f"{path}: {name}", stored)
            return found
    except (FileNotFoundError, PermissionError):
        raise
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError, NotImplementedError, RuntimeError) as error:
        raise DataError(f"{path} is no whole .npz file ({error}); write it again.") from None


def _array(file, where, stored):
    shape, fortran, dtype = _header(file, where)
    if dtype.hasobject:
        raise refusal(where, "Python objects", "an array of numbers or texts", error=DataError)
    size = math.prod(shape) * dtype.itemsize
    expect_stored(max(size, 4 * math.prod(shape)), stored, where)  # pixels become float32
    content = file.read(size + 1)
    if len(content) != size:
        found = "fewer" if len(content) < size else "more"
        raise refusal(where, f"{found} bytes", f"the {size} bytes of its header", "write it again", error=DataError)
    array = np.frombuffer(content, dtype)
    return array.reshape(shape[::-1]).T if fortran else array.reshape(shape)


def _header(file, where):
    readers = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}
    try:
        version = npy.read_magic(file)
        if version not in readers:
            raise ValueError(f"version {version}")
        return readers[version](file)
    except (ValueError, EOFError, SyntaxError, TokenError) as error:
        raise DataError(f"{where} is no .npy array ({error}); write it with numpy.save.") from None
