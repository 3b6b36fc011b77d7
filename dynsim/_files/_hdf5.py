"""HDF5 files: claimed before they grow, opened and checked, and nothing in them believed before it is."""

from __future__ import annotations

import errno
import math
import os
import re
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path

from dynsim.errors import DataError, FileError

from ._attributes import attribute, expect_plain
from ._digests import expect_sealed
from ._inputs import DAMAGE, damaged, expect_input, expect_stored
from ._outputs import expect_output, give_name, replacing, sync_folder, target_of, temporary_beside
from ._signals import terminable, uninterrupted

SIGNATURE = b"\x89HDF\r\n\x1a\n"
KINDS = {kind: kind for kind in ("trajectory", "model", "checkpoint")}  # what files say they are, and words for it
KINDS |= {"converted": "converted network", "fits": "record of fits"}
HEAP = b"GCOL\x01\0\0\0"
# An attribute's type (a text of any length) and its space (one text), as HDF5 writes them; then comes the length.
TEXT = re.compile(rb"\x19\x01.\0\x10\0{3}\x10\0{3}\x01\0{5}\x08\0{5}\x01\0{7}(.{4})", re.DOTALL)
LISTED = 4096  # bytes of memory that HDF5 takes for a chunk that is read among others; 3,900 were seen
SCANNED = 2**24  # bytes from both ends of a file
# What the system refuses, whatever the bytes are.
_REFUSALS = {getattr(errno, name) for name in "EACCES EPERM EROFS EMFILE ENFILE ENOSPC EDQUOT EPIPE".split()}


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
    from ._disk import Disk, GrowingFile, journal_of, recover

    path = expect_output(path, overwrite)
    target = target_of(path)
    with _locked(path) as exists, temporary_beside(target, path) as temporary:
        disk = Disk(temporary)
        _lock(disk.fileno(), temporary)
        file = None
        try:
            with uninterrupted():
                file = GrowingFile(disk, "w")
                fill(file)
                file.flush()
            if disk.error is not None:
                raise disk.error
            os.fsync(disk.fileno())
            # Who holds the lock of the old file may replace it; without an old file the first to take the name has it.
            if exists and overwrite:
                recover(target)  # until another one has its name the old file is whole
                os.replace(temporary, target)
            else:
                journal_of(target).unlink(missing_ok=True)
                give_name(temporary, target)
            disk.keep_journal(target)
        except BaseException:
            with suppress(*DAMAGE):
                (disk if file is None else file).close()
            raise
        sync_folder(target.parent)
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


def _changed(path):
    """A file that is there, open for changing."""
    from ._disk import Disk, GrowingFile, recover

    disk = Disk(path)
    try:
        _lock(disk.fileno(), path)
        with uninterrupted():
            recover(path)
            disk.keep_journal(path)
            return GrowingFile(disk, "r+")
    except BaseException:
        disk.close()
        raise


def _lock(handle, path):
    with suppress(ImportError):  # a system whose open files cannot be replaced anyway
        import fcntl

        do = "close it there, or choose another path"
        in_use = BlockingIOError(f"{path} is open, in another program or in this one; {do}.")
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

    from ._disk import GrowingFile, as_journaled

    path = expect_input(path)
    with path.open("rb") as file:
        start = file.read(len(SIGNATURE))
    if start != SIGNATURE:
        if SIGNATURE.startswith(start):
            raise FileError(f"{path} ends after {len(start)} bytes; it was cut short, so write it again.")
        raise DataError(f"{path} is not an HDF5 file; give one that dynsim wrote, as a trajectory or a model.h5.")
    source = as_journaled(path)
    _expect_heaps(path, source)
    try:
        with terminable():
            if mode == "r":
                return h5py.File(path) if source is path else GrowingFile(source, "r")
            if source is not path:
                source.close()
            return _changed(path)
    except DAMAGE as error:
        if isinstance(error, BlockingIOError) or re.search(r"already open (?!.*h5clear)", str(error)):
            use = "uses" if mode == "r+" else "writes to"
            raise OSError(f"{path} is open in another program that {use} it; close that one first.") from None
        if getattr(error, "errno", None) in _REFUSALS:
            verb = "changed" if mode == "r+" else "opened"
            raise type(error)(f"{path} cannot be {verb} ({os.strerror(error.errno)}).") from None
        raise damaged(path, error) from error


def _expect_heaps(path, source):
    """Refuse a heap of texts in which HDF5 would go round for ever: where a piece has no length, or more than is left.

    Refused, too, is the text of an attribute that claims to be longer than the file: HDF5 takes memory for it first.
    A heap begins with a signature and its size and holds pieces, each with its number (0 if it is free) and length.
    One of more bytes than the file has is refused, too, as HDF5 takes memory for them; not one that goes on behind the
    end, for a killed writer may have begun it there.
    Those of our files lie near an end; between, HDF5 can only be stopped by SIGTERM.
    """
    with nullcontext(source) if source is not path else path.open("rb", buffering=0) as file:
        whole = os.fstat(file.fileno()).st_size
        for first in {0, max(0, whole - SCANNED)}:
            file.seek(first)
            # Not mapped: to touch what another program cuts off meanwhile would end this one.
            content = bytearray(min(SCANNED, whole - first))
            del content[file.readinto(content) :]
            for found in TEXT.finditer(content):
                _expect_length(path, f"a text at byte {first + found.start(1)}", found[1], whole)
            start = content.find(HEAP)
            while 0 <= start <= len(content) - 16:
                size, where = _unpack(content, start + 8), f"the heap of texts at byte {first + start}"
                if size > whole:
                    raise damaged(path, f"{where} claims {size:,} bytes")
                place, end = start + 16, min(start + size, len(content))
                while place + 16 <= end:
                    number, length = _unpack(content, place) & 0xFFFF, _unpack(content, place + 8)
                    if number == length == 0:
                        raise damaged(path, f"{where} has no end")
                    place += 16 + -(-length // 8) * 8 if number else length
                    if place > start + size:
                        raise damaged(path, f"{where} has a piece of {length:,} bytes")
                start = content.find(HEAP, start + 1)


def _expect_length(path, what, content, whole):
    length = int.from_bytes(content[:4], "little")
    if length > whole:
        raise damaged(path, f"{what} claims {length:,} bytes")


def _unpack(content, place):
    return int.from_bytes(content[place : place + 8], "little")


@contextmanager
def replacing_hdf5(path, previous=None):
    """A new HDF5 file that becomes `path` when the block ends well; `previous` and errors as in `replacing`.

    Examples
    --------
    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "note.h5"
    >>> with replacing_hdf5(path) as file:
    ...     file.attrs["note"] = "whole"
    >>> path.exists()
    True
    """
    from ._disk import Disk, GrowingFile

    with replacing(path, previous) as temporary, uninterrupted(), GrowingFile(Disk(temporary), "w") as file:
        yield file


@contextmanager
def reading(path, kind=None):
    """The HDF5 file `path` open for reading; what its bytes make h5py raise inside the block is a FileError.

    `kind` is what the file must say it is, one of KINDS; raises DataError for another one, otherwise as `open_hdf5`.
    """
    with open_hdf5(path) as file, terminable():
        try:
            found = attribute(file, "dynsim", None)
            if kind is not None and found != kind:
                raise another_kind(path, found, kind)
            yield file
        except (FileError, DataError, FileNotFoundError):
            raise
        except DAMAGE as error:
            if getattr(error, "errno", None) in _REFUSALS:
                raise
            raise damaged(path, error) from error


def another_kind(path, found, *expected):
    """Return the DataError for a file that says it is `found`, which may be no kind at all, and is none expected.

    >>> another_kind("run.h5.checkpoint", "checkpoint", "trajectory", "model")
    DataError('run.h5.checkpoint is a checkpoint of dynsim; give a trajectory or model that dynsim wrote.')
    """
    known = isinstance(found, str) and found in KINDS
    what = f"a {KINDS[found]} of dynsim" if known else "an HDF5 file of another program"
    *others, last = map(KINDS.get, expected)
    wanted = f"{', '.join(others)} or {last}" if others else last
    return DataError(f"{path} is {what}; give a {wanted} that dynsim wrote.")


def holds(group, name):
    """Whether a group has a link of that name; wherever it may lead, it is not followed."""
    return group.get(name, getlink=True) is not None


def expect_group(file, path):
    """Return the group at `path`; raises FileError for links that lead elsewhere, and for a dataset.

    To list a dataset as if it were a group is to read it, of whatever type and length it claims to be.
    """
    import h5py

    found = _hard_links_only(file, path)
    if not isinstance(found, h5py.Group):
        raise FileError(f"{file.filename}: {path} is no group; the file is damaged.")
    return found


def _hard_links_only(file, path):
    """The object at `path`; raises FileError for links that lead elsewhere, as into other files."""
    import h5py

    parts = path.split("/")
    for end in range(1, len(parts) + 1):
        here = "/".join(parts[:end])
        if not isinstance(file.get(here, getlink=True), h5py.HardLink):
            raise FileError(f"{file.filename} has no {here} of its own; the file is damaged.")
    return file[path]


def dataset(file, path, shape=None, kind="f"):
    """The dataset at `path`: its data in the file itself, its size borne out by what is stored, its digest right.

    `shape` has None for an axis of any length, `kind` the kinds of numbers that are expected, "O" for texts. Raises
    FileError for another one.
    """
    import h5py

    found = _hard_links_only(file, path)
    name = f"{file.filename}: {path}"
    if not isinstance(found, h5py.Dataset) or found.dtype.kind not in kind:
        raise FileError(f"{name} is not a dataset of the expected type; the file is damaged.")
    expect_plain(found)
    if found.is_virtual or found.external:
        raise FileError(f"{name} keeps its data outside of the file; dynsim does not follow that.")
    if shape is not None and (
        found.ndim != len(shape) or any(s not in (None, stored) for s, stored in zip(shape, found.shape, strict=True))
    ):
        raise FileError(f"{name} has shape {found.shape} instead of {shape}; the file is damaged.")
    if found.dtype.kind == "O" and not found.shape and found.id.get_offset() is not None:
        with open(file.disk.name if hasattr(file, "disk") else file.filename, "rb") as raw:
            raw.seek(found.id.get_offset())
            _expect_length(name, "its text", raw.read(4), file.id.get_filesize())
    stored = min(found.id.get_storage_size(), file.id.get_filesize())
    size = math.prod(found.shape or (0,)) * found.dtype.itemsize
    if found.chunks is not None:
        expect_stored(math.prod(found.chunks) * found.dtype.itemsize, stored, f"{name}, a chunk")
        if shape is None or None not in shape:  # it is read as a whole, for which HDF5 lists all chunks
            chunks = math.prod(-(-length // part) for length, part in zip(found.shape, found.chunks, strict=True))
            expect_stored(size + LISTED * chunks, stored, name)
    elif size > stored:
        raise FileError(f"{name} claims shape {found.shape} but stores fewer bytes; the file is damaged.")
    return expect_sealed(found)


class Stored:
    """The datasets of a group, each of them checked by `dataset` when it is asked for by name."""

    def __init__(self, file, path, kind):
        self.file, self.path, self.kind = file, path, kind
        self.names = list(expect_group(file, path))

    def __getitem__(self, name):
        if name not in self.names:
            raise FileError(f"{self.file.filename} has no {self.path}/{name}; the file is damaged.")
        return dataset(self.file, f"{self.path}/{name}", kind=self.kind)
