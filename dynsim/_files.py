"""Files: outputs are written whole or claimed before they grow; HDF5 and JSON are opened and checked; digests."""

from __future__ import annotations

import errno
import hashlib
import json
import math
import os
import re
import secrets
import socket
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np

from dynsim.errors import DataError, FileError

SIGNATURE = b"\x89HDF\r\n\x1a\n"
LARGEST_JSON = 2**28  # bytes
# What h5py and json raise from inside a file whose bytes make no sense.
DAMAGE = (OSError, RuntimeError, LookupError, ValueError, TypeError, ArithmeticError, AttributeError)
# What the system refuses, whatever the bytes are.
_REFUSALS = {getattr(errno, name) for name in "EACCES EPERM EROFS EMFILE ENFILE ENOSPC EDQUOT EPIPE".split()}
_FULL = tuple(map(os.strerror, (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)))


def expect_output(path, overwrite=True):
    """Refuse a path that cannot be written, before work is put into what would be written there; return it as a Path.

    Raises
    ------
    FileExistsError
        If the file exists and `overwrite` is false.
    OSError
        If it is a directory, a device or a read-only file, or its folder is missing or cannot be written.

    Examples
    --------
    >>> expect_output("no-such-folder/run.h5")
    Traceback (most recent call last):
    ...
    FileNotFoundError: no-such-folder is not a directory; make it before writing run.h5.
    """
    path = Path(path)
    folder = _target(path).parent if path.is_symlink() else path.parent
    if path.is_dir():
        raise IsADirectoryError(f"{path} is a directory; give the path of a file in it.")
    if path.exists() and not path.is_file():
        raise OSError(f"{path} is not a regular file; give the path of one.")
    if path.exists() and not overwrite:
        raise FileExistsError(f"{path} exists; choose another path, or overwrite it (overwrite=True, --overwrite).")
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder} is not a directory; make it before writing {path.name}.")
    if not os.access(folder, os.W_OK):
        raise PermissionError(f"{folder} cannot be written by this user; choose another directory.")
    if path.exists() and not os.access(path, os.W_OK):
        raise PermissionError(f"{path} is read-only; choose another path, or change its permissions.")
    return path


def _target(path):
    """The file itself, where symbolic links lead to it: it is the one to be replaced, not the link."""
    return Path(os.path.realpath(path))


@contextmanager
def replacing(path, previous=None, *, overwrite=True):
    """A temporary path beside `path`, of the same suffix, that becomes `path` when the block ends well.

    The temporary file reaches the disk before it is renamed, so a reader sees the old file or the new one and never a
    part of it. Whatever ends the block otherwise leaves the old file as it was. `previous` is where the old file goes.
    Errors name `path`; the temporary file of a process that was killed is removed by the next one that writes there.

    Raises
    ------
    FileExistsError
        If `overwrite` is false and the file exists, also if it was made meanwhile.
    OSError
        As `expect_output`, and if the disk is full.

    Examples
    --------
    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "note.txt"
    >>> with replacing(path) as temporary:
    ...     _ = temporary.write_text("whole")
    >>> path.read_text()
    'whole'
    """
    path = expect_output(path, overwrite)
    target = _target(path)
    with _temporary(target, path) as temporary:
        yield temporary
        with open(temporary, "r+b") as written:
            os.fsync(written.fileno())
        if previous is not None and target.exists():
            _keep(target, temporary, previous)
        if overwrite:
            os.replace(temporary, target)
        else:
            _link(temporary, target)
        _sync_folder(target.parent)


def write_whole(path, content):
    """Write a text or bytes to `path` as `replacing` does."""
    with replacing(path) as temporary:
        temporary.write_bytes(content.encode("utf-8") if isinstance(content, str) else content)


@contextmanager
def _temporary(target, path):
    """An empty file beside `target`; when the block ends it has another name or is removed, and errors name `path`."""
    start, host = target.stem[:40], socket.gethostname()
    _remove_leftovers(target.parent, start, host, target.suffix)
    name = f".{start}-{host}-{os.getpid()}-{secrets.token_hex(4)}{target.suffix}"
    temporary = target.with_name(name)
    try:
        # The system applies the umask, as to every new file.
        os.close(os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
        yield temporary
    except Exception as error:
        named = _naming(path, temporary, error)
        if named is None:
            raise
        raise named from error
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


def _naming(path, temporary, error):
    """The error of an output in terms of `path`, or None if it needs no change."""
    text = str(error)
    if not isinstance(error, ValueError) and any(full in text for full in _FULL):
        why = next(full for full in _FULL if full in text)
        return OSError(f"{path} cannot be written ({why}); make room on the disk.")
    if isinstance(error, OSError) and temporary.name in text:
        why = error.strerror if error.filename else text.replace(str(temporary), str(path))
        kind = type(error) if type(error).__module__ == "builtins" else OSError
        return kind(f"{path} cannot be written ({why}); choose another path.")
    return None


def _remove_leftovers(folder, start, host, suffix):
    """Remove temporary files of processes of this machine that are no longer there."""
    ours = re.compile(rf"\.{re.escape(start)}-{re.escape(host)}-(\d+)-[0-9a-f]{{8}}{re.escape(suffix)}(\.previous)?")
    with suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            found = ours.fullmatch(entry.name)
            if found and not process_exists(int(found[1])):
                os.unlink(entry.path)


def process_exists(process):
    """Return whether a process of this number runs on this machine."""
    if os.name != "posix":  # elsewhere the question would end the process
        return True
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:  # another user's
        return True
    return True


def _keep(target, temporary, previous):
    """Give a file a second name, so that there is no moment without a file of the first."""
    second = temporary.with_name(f"{temporary.name}.previous")
    try:
        os.link(target, second)
    except OSError:  # a file system without hard links
        os.replace(target, previous)
    else:
        os.replace(second, previous)


def _link(temporary, target):
    """Give a file its name unless that is taken."""
    try:
        os.link(temporary, target)
    except FileExistsError:
        raise FileExistsError(f"{target} was made by another program meanwhile; choose another path.") from None
    except OSError:  # a file system without hard links
        with open(target, "xb"):
            os.replace(temporary, target)


def _sync_folder(folder):
    """Let the rename itself reach the disk."""
    with suppress(OSError):  # not every system opens folders
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def expect_claim(path, overwrite=False):
    """Refuse what `claim_hdf5` would refuse now, before work is put into what will be written; raises as that does."""
    with _locked(expect_output(path, overwrite)):
        return Path(path)


def claim_hdf5(path, fill, *, overwrite=False):
    """Return a new HDF5 file at `path`, open for writing and locked, that a run may let grow.

    `fill(file)` makes what the file begins with; until it has returned nothing at `path` is touched. An existing file
    is replaced only if `overwrite` is true, it is HDF5 (or empty), and nobody has it open.

    Raises
    ------
    FileExistsError
        If the file exists and `overwrite` is false, or it is no HDF5.
    OSError
        If it is open, or cannot be written.

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
    target = _target(path)
    with _locked(path) as exists, _temporary(target, path) as temporary:
        file = h5py.File(temporary, "w")
        try:
            fill(file)
            file.flush()
            os.fsync(file.id.get_vfd_handle())
            # Who holds the lock of the old file may replace it; without an old file the first to take the name has it.
            if exists and overwrite:
                os.replace(temporary, target)
            else:
                _link(temporary, target)
        except BaseException:
            with suppress(*DAMAGE):
                file.close()
            raise
        _sync_folder(target.parent)
    return file


@contextmanager
def _locked(path):
    """Hold the lock that HDF5 takes of an existing file, so that nobody has it open; give whether there is one."""
    try:
        # Over a network an exclusive lock needs a file that is open for writing.
        handle = os.open(path, os.O_RDWR | getattr(os, "O_NONBLOCK", 0))
    except FileNotFoundError:
        handle = None
    try:
        if handle is not None:
            _lock(handle, path)
            start = os.read(handle, len(SIGNATURE))
            if start and start != SIGNATURE[: len(start)]:
                raise FileExistsError(f"{path} is no HDF5 file and is not replaced by one; choose another path.")
        yield handle is not None
    finally:
        if handle is not None:
            os.close(handle)


def _lock(handle, path):
    with suppress(ImportError):  # a system whose open files cannot be replaced anyway
        import fcntl

        in_use = OSError(f"{path} is open, in another program or in this one; close it there, or choose another path.")
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise in_use from None
        except OSError:  # a file system without locks
            return
        # Between opening and locking another program may have put its own file there, which is not locked by this.
        if not (os.path.exists(path) and os.path.samestat(os.fstat(handle), os.stat(path))):
            raise in_use


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
        If another program writes to it (or, for "r+", has it open), or this user may not open it.
    """
    import h5py

    path = _expect_input(path)
    with path.open("rb") as file:
        start = file.read(len(SIGNATURE))
    if start != SIGNATURE:
        if SIGNATURE.startswith(start):
            raise FileError(f"{path} ends after {len(start)} bytes; it was cut short, so write it again.")
        raise DataError(f"{path} is not an HDF5 file; give a file that dynsim wrote.")
    try:
        return h5py.File(path, mode)
    except DAMAGE as error:
        if isinstance(error, BlockingIOError) or re.search(r"already open (?!.*h5clear)", str(error)):
            use = "uses" if mode == "r+" else "writes to"
            raise OSError(f"{path} is open in another program that {use} it; close that one first.") from None
        if getattr(error, "errno", None) in _REFUSALS:
            verb = "changed" if mode == "r+" else "opened"
            raise type(error)(f"{path} cannot be {verb} ({os.strerror(error.errno)}).") from None
        raise damaged(path, error) from error


def _expect_input(path):
    """Refuse what is no file that can be read from start to end; reading from a pipe might never end."""
    path = Path(path)
    if path.is_dir():
        raise IsADirectoryError(f"{path} is a directory; give the path of a file that dynsim wrote.")
    if not path.exists():
        raise FileNotFoundError(f"{path} does not exist; give the path of a file that dynsim wrote.")
    if not path.is_file():
        raise DataError(f"{path} is not a regular file; give the path of a file that dynsim wrote.")
    return path


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
            if getattr(error, "errno", None) in _REFUSALS:
                raise
            raise damaged(path, error) from error


def damaged(path, error):
    """Return the FileError for whatever HDF5 or JSON said about the bytes of `path`."""
    return FileError(f"{path} is damaged ({reason(error)}); restore it from a copy or write it again.")


def string(value):
    """Return the text of an attribute, which other programs may have written as bytes."""
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value


def reason(error):
    """Return the first words of an error on one line."""
    return " ".join(str(error).split())[:120] or type(error).__name__


def to_json(value, **options):
    """Return `value` as JSON that every program reads: numbers that are not finite become null, arrays lists.

    Paths become texts, sets sorted lists, generators their state. Raises TypeError for what is none of these and for
    a value nested too deeply.

    Examples
    --------
    >>> to_json({"gain": float("inf"), "places": np.zeros(2)})
    '{"gain": null, "places": [0.0, 0.0]}'
    """
    try:
        return json.dumps(_plain(value), allow_nan=False, **options)
    except RecursionError:
        raise TypeError("a value nested this deeply cannot be stored as JSON; give flatter tables.") from None


def _plain(value):
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, set | frozenset):
        return [_plain(item) for item in sorted(value, key=str)]
    if isinstance(value, np.ndarray | np.generic):
        return _plain(value.tolist())
    if isinstance(value, np.random.Generator):
        return _plain(value.bit_generator.state)
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, os.PathLike | np.dtype):
        return str(value)
    if value is None or isinstance(value, bool | int | str):
        return value
    raise TypeError(
        f"a value of type {type(value).__name__} cannot be stored as JSON; "
        "give numbers, texts, lists, arrays or dictionaries."
    )


def write_json(path, value, **options):
    """Write `value` to `path` as `to_json` and `replacing` do."""
    write_whole(path, to_json(value, **options) + "\n")


def read_json(path):
    """Return what the JSON file `path` holds; FileNotFoundError if there is none, FileError if it is no JSON."""
    path = _expect_input(path)
    if path.stat().st_size > LARGEST_JSON:
        raise FileError(f"{path} has {path.stat().st_size:,} bytes, more than a JSON file of dynsim; write it again.")
    return from_json(path.read_bytes(), path)


def from_json(text, path):
    """Return what a JSON text from the file `path` says; raises FileError if it is none."""
    try:
        return json.loads(text.decode("utf-8-sig") if isinstance(text, bytes) else text)
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
        found.update(np.ascontiguousarray(array).reshape(-1).view(np.uint8))
    return found.hexdigest()
