"""Every way to the disk: write a file whole, claim a growing output, open HDF5, JSON, digests."""

from __future__ import annotations

import hashlib
import json
import math
import os
import tempfile
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np

from dynsim.errors import DataError, FileError

SIGNATURE = b"\x89HDF\r\n\x1a\n"
LARGEST_JSON = 2**28  # bytes
# What h5py and json raise from inside a file whose bytes make no sense.
DAMAGE = (OSError, RuntimeError, LookupError, ValueError, TypeError, ArithmeticError, AttributeError)


def expect_output(path, overwrite=True):
    """Refuse a path that cannot be written, before work is put into what would be written there.

    Raises
    ------
    FileExistsError
        If the file exists and `overwrite` is false.
    OSError
        If it is a directory, or its folder is missing or cannot be written.

    Examples
    --------
    >>> expect_output("no-such-folder/run.h5")
    Traceback (most recent call last):
    ...
    FileNotFoundError: no-such-folder is not a directory; make it before writing run.h5.
    """
    path = Path(path)
    if path.is_dir():
        raise IsADirectoryError(f"{path} is a directory; give the path of a file in it.")
    if path.exists() and not overwrite:
        raise FileExistsError(f"{path} exists; choose another path, or overwrite it (overwrite=True, --overwrite).")
    if not path.parent.is_dir():
        raise FileNotFoundError(f"{path.parent} is not a directory; make it before writing {path.name}.")
    if not os.access(path.parent, os.W_OK):
        raise PermissionError(f"{path.parent} cannot be written by this user; choose another directory.")
    return path


@contextmanager
def replacing(path, previous=None):
    """A temporary path beside `path`, of the same suffix, that becomes `path` when the block ends well.

    The temporary file reaches the disk before it is renamed, so a reader sees the old file or the new one and never a
    part of it. Whatever ends the block otherwise leaves the old file as it was. `previous` is where the old file goes.

    Examples
    --------
    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "note.txt"
    >>> with replacing(path) as temporary:
    ...     _ = temporary.write_text("whole")
    >>> path.read_text()
    'whole'
    """
    path = expect_output(path)
    temporary = _temporary(path)
    try:
        yield temporary
        with open(temporary, "rb") as written:
            os.fsync(written.fileno())
        if previous is not None and path.exists():
            os.replace(path, previous)
        os.replace(temporary, path)
        _sync_folder(path.parent)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def write_whole(path, content):
    """Write a text or bytes to `path` as `replacing` does."""
    with replacing(path) as temporary:
        temporary.write_bytes(content.encode("utf-8") if isinstance(content, str) else content)


def _temporary(path):
    """An empty file beside `path` with the permissions that an ordinary new file has."""
    handle, name = tempfile.mkstemp(prefix=f".{path.stem}-", suffix=path.suffix, dir=path.parent)
    umask = os.umask(0)
    os.umask(umask)
    with suppress(OSError):  # a file system without permissions
        os.chmod(name, 0o666 & ~umask)
    os.close(handle)
    return Path(name)


def _sync_folder(folder):
    """Let the rename itself reach the disk."""
    with suppress(OSError):  # not every system opens folders
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def claim_hdf5(path, fill, overwrite=False):
    """Return a new HDF5 file at `path`, open for writing and locked, that a run may let grow.

    `fill(file)` makes what the file begins with; until it has returned nothing at `path` is touched. An existing file
    is replaced only if `overwrite` is true and no other program has it open.

    Raises
    ------
    FileExistsError
        If the file exists and `overwrite` is false.
    OSError
        If another program has it open, or it cannot be written.

    Examples
    --------
    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "run.h5"
    >>> with claim_hdf5(path, lambda file: file.create_dataset("x", data=1.0)):
    ...     path.exists()
    True
    """
    import h5py

    path = expect_output(path, overwrite)
    with _locked(path):
        temporary = _temporary(path)
        file = None
        try:
            file = h5py.File(temporary, "w")
            fill(file)
            file.flush()
            if overwrite:
                os.replace(temporary, path)
            else:
                _link(temporary, path)
        except BaseException as error:
            if file is not None:
                with suppress(*DAMAGE):
                    file.close()
            temporary.unlink(missing_ok=True)
            if isinstance(error, FileExistsError):
                expect_output(path, overwrite)
            raise
    return file


def _link(temporary, path):
    """Give a file its name unless that is taken meanwhile."""
    try:
        os.link(temporary, path)
    except FileExistsError:
        raise
    except OSError:  # a file system without hard links
        with open(path, "xb"):
            os.replace(temporary, path)
    else:
        temporary.unlink()


@contextmanager
def _locked(path):
    """Hold the lock of an existing file that HDF5 takes, too, so that nobody else has it open while it is replaced."""
    try:
        handle = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        yield
        return
    try:
        try:
            import fcntl
        except ImportError:  # a system whose open files cannot be replaced anyway
            yield
            return
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise OSError(f"{path} is open in another program; close that one, or choose another path.") from None
        except OSError:  # a file system without locks
            pass
        yield
    finally:
        os.close(handle)


def open_hdf5(path, mode="r"):
    """Return the HDF5 file `path`, open for reading ("r") or changing ("r+").

    Raises
    ------
    FileNotFoundError, IsADirectoryError
        If there is no such file.
    DataError
        If it is not HDF5.
    FileError
        If it is damaged.
    OSError
        If another program writes to it.
    """
    import h5py

    path = Path(path)
    if path.is_dir():
        raise IsADirectoryError(f"{path} is a directory; give the path of a file that dynsim wrote.")
    if not path.is_file():
        raise FileNotFoundError(f"{path} does not exist; give the path of a file that dynsim wrote.")
    with path.open("rb") as file:
        start = file.read(len(SIGNATURE))
    if start != SIGNATURE:
        if SIGNATURE.startswith(start):
            raise FileError(f"{path} ends after {len(start)} bytes; it was cut short, so write it again.")
        raise DataError(f"{path} is not an HDF5 file; give a file that dynsim wrote.")
    try:
        return h5py.File(path, mode)
    except PermissionError:
        raise
    except BlockingIOError:
        raise OSError(f"{path} is open in another program that writes to it; close that one first.") from None
    except DAMAGE as error:
        raise damaged(path, error) from error


@contextmanager
def reading(path, kind=None):
    """The HDF5 file `path` open for reading; what its bytes make h5py raise inside the block is a FileError.

    `kind` is what the file must say it is: "trajectory", "model", "converted" or "checkpoint"; raises DataError for
    another one, otherwise as `open_hdf5`.
    """
    with open_hdf5(path) as file:
        try:
            found = string(file.attrs.get("dynsim"))
            if kind is not None and found != kind:
                what = f"a {found} of dynsim" if isinstance(found, str) else "an HDF5 file of another program"
                raise DataError(f"{path} is {what}; give a {kind} that dynsim wrote.")
            yield file
        except (FileError, DataError, FileNotFoundError):
            raise
        except DAMAGE as error:
            raise damaged(path, error) from error


def damaged(path, error):
    """Return the FileError for whatever HDF5 said about the bytes of `path`."""
    return FileError(f"{path} is damaged ({reason(error)}); restore it from a copy or write it again.")


def string(value):
    """Return the text of an attribute, which other programs may have written as bytes."""
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value


def reason(error):
    """Return the first words of an error on one line."""
    return " ".join(str(error).split())[:120] or type(error).__name__


def to_json(value, **options):
    """Return `value` as JSON that every program reads: numbers that are not finite become null, arrays lists.

    Examples
    --------
    >>> to_json({"gain": float("inf"), "places": np.zeros(2)})
    '{"gain": null, "places": [0.0, 0.0]}'
    """
    return json.dumps(_plain(value), allow_nan=False, **options)


def _plain(value):
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_plain(item) for item in value]
    if isinstance(value, np.ndarray | np.generic):
        return _plain(value.tolist())
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value if value is None or isinstance(value, bool | int | str) else str(value)


def write_json(path, value, **options):
    """Write `value` to `path` as `to_json` and `replacing` do."""
    write_whole(path, to_json(value, **options) + "\n")


def read_json(path):
    """Return what the JSON file `path` holds.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    FileError
        If it is no JSON, or too large.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path} does not exist; give the path of a file that dynsim wrote.")
    if path.stat().st_size > LARGEST_JSON:
        raise FileError(f"{path} has {path.stat().st_size:,} bytes, more than a JSON file of dynsim; write it again.")
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise damaged(path, error) from None


def digest(text, arrays=()):
    """Return the SHA-256 of a text and of arrays with their types and shapes, as hexadecimal digits.

    Examples
    --------
    >>> digest("config", [np.zeros(3)])[:8] == digest("config", [np.ones(3)])[:8]
    False
    """
    found = hashlib.sha256(text.encode())
    for array in arrays:
        found.update(f"{array.dtype.str}{array.shape}".encode())
        found.update(np.ascontiguousarray(array).tobytes())
    return found.hexdigest()
