"""Open HDF5 files that may be missing, foreign or damaged, and say which."""

import os
from pathlib import Path

import h5py

from dynsim.errors import DataError, FileError

_SIGNATURE = b"\x89HDF\r\n\x1a\n"
# What h5py raises from inside a file whose bytes make no sense.
DAMAGE = (OSError, RuntimeError, LookupError, ValueError, TypeError, ArithmeticError, AttributeError)


def expect_new(path, overwrite):
    """Refuse a path that cannot be written, before work is put into what would be written there."""
    path = Path(path)
    if path.is_dir():
        raise IsADirectoryError(f"{path} is a directory; give the path of a file in it")
    if path.exists() and not overwrite:
        raise FileExistsError(f"{path} exists; choose another path or pass overwrite=True")
    if not path.parent.is_dir():
        raise FileNotFoundError(f"{path.parent} is not a directory; make it before writing {path.name}")
    if not os.access(path.parent, os.W_OK):
        raise PermissionError(f"{path.parent} cannot be written by this user; choose another directory")


def create(path, overwrite):
    """A new HDF5 file of the default version; an existing one is an error unless `overwrite`."""
    expect_new(path, overwrite)
    try:
        return h5py.File(path, "w" if overwrite else "x")
    except FileExistsError:
        raise FileExistsError(f"{path} exists; choose another path or pass overwrite=True") from None
    except OSError as error:
        raise OSError(f"{path} cannot be written ({reason(error)}); choose another path") from error


def open_hdf5(path):
    """`path` opened for reading. Raises FileNotFoundError, DataError (no HDF5) or FileError (damaged)."""
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(f"{path} does not exist; give the path of a file that dynsim wrote")
    if path.is_dir():
        raise IsADirectoryError(f"{path} is a directory; give the path of a file that dynsim wrote")
    with path.open("rb") as file:
        start = file.read(len(_SIGNATURE))
    if start != _SIGNATURE:
        if _SIGNATURE.startswith(start):
            raise FileError(f"{path} ends after {len(start)} bytes; it was cut short, so write it again")
        raise DataError(f"{path} is not an HDF5 file; give a file that dynsim wrote")
    try:
        return h5py.File(path, "r")
    except PermissionError:
        raise
    except BlockingIOError:
        raise OSError(f"{path} is open in another program that writes to it; close that one first") from None
    except DAMAGE as error:
        raise damaged(path, error) from error


def damaged(path, error):
    """The FileError for whatever HDF5 said about the bytes of `path`."""
    return FileError(f"{path} is damaged ({reason(error)}); restore it from a copy or run again")


def file_kind(path):
    """What dynsim file `path` is: "trajectory" or "model".

    Raises FileNotFoundError, DataError for files of other programs and FileError for damaged ones.

    >>> import tempfile, os
    >>> from dynsim.trajectory import TrajectoryWriter
    >>> path = os.path.join(tempfile.mkdtemp(), "run.h5")
    >>> TrajectoryWriter(path, neurons=2, dimension=3).close()
    >>> file_kind(path)
    'trajectory'
    """
    with open_hdf5(path) as file:
        try:
            kind = string(file.attrs.get("dynsim"))
        except DAMAGE as error:
            raise damaged(path, error) from error
    if kind not in ("trajectory", "model"):
        raise DataError(f"{path} is an HDF5 file of another program; give a trajectory or model that dynsim wrote")
    return kind


def hard_links_only(file, path):
    """The object at `path`, refusing links that lead elsewhere, as into other files."""
    parts = path.split("/")
    for end in range(1, len(parts) + 1):
        here = "/".join(parts[:end])
        if not isinstance(file.get(here, getlink=True), h5py.HardLink):
            raise FileError(f"{file.filename} has no {here} of its own; the file is damaged")
    return file[path]


def dataset(file, path, shape, kind="f"):
    """The dataset at `path`, of `shape`, None for the axis of frames."""
    found = hard_links_only(file, path)
    name = f"{file.filename}: {path}"
    if not isinstance(found, h5py.Dataset) or found.dtype.kind != kind:
        raise FileError(f"{name} is not a dataset of the expected type; the file is damaged")
    if found.ndim != len(shape) or any(s not in (None, got) for s, got in zip(shape, found.shape, strict=True)):
        raise FileError(f"{name} has shape {found.shape}, expected {shape}; the file is damaged")
    if found.is_virtual or found.external:
        raise FileError(f"{name} keeps its data outside of the file; dynsim does not follow that")
    if found.chunks is None and found.nbytes > found.id.get_storage_size():
        raise FileError(f"{name} claims shape {found.shape} but stores fewer bytes; the file is damaged")
    return found


def stored_frames(data):
    """How many frames of a dataset are really stored.

    A few bytes of header can claim terabytes, and a killed process can leave a header that is ahead of the
    chunks, so the length is what the chunks bear out.
    """
    if data.chunks is None:
        return data.shape[0]
    per_frame = 1
    for size, chunk in zip(data.shape[1:], data.chunks[1:], strict=True):
        per_frame *= -(-size // chunk)
    return min(data.shape[0], data.id.get_num_chunks() // per_frame * data.chunks[0])


def string(value):
    """Text of an attribute, which other programs may have written as bytes."""
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value


def reason(error):
    """The first words of an HDF5 error on one line."""
    return " ".join(str(error).split())[:120] or type(error).__name__
