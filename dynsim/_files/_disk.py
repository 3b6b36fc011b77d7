"""HDF5 files on a disk that can refuse: HDF5 must not see it, since it then crashes.

Measured by letting every call in turn fail: after a write that fails HDF5 2.0 cannot close the file, and the program
ends by a segmentation fault. Here the error is kept instead and raised when HDF5 is done.

What HDF5 writes into a part of the file that is in use waits until all else is on the disk. Then it goes first into a
journal beside the file, so that a disk that refuses in the middle, or a kill, leaves the file as it was or as it is
meant: a reader takes from the journal what did not arrive (SQLite does likewise).
"""

from __future__ import annotations

import hashlib
import io
import os
import struct
from contextlib import suppress
from pathlib import Path

import h5py
import numpy as np

from ._outputs import target_of
from ._signals import uninterrupted

MAGIC, HEAD, DIGEST = b"dynsim journal\0\1", struct.Struct("<QQ"), 32  # offset and length; bytes of a SHA-256


def journal_of(path):
    """Where the journal of a file is while there is one."""
    target = target_of(path)
    return target.with_name(f"{target.name}.journal")


class Disk(io.FileIO):
    """A file for h5py's driver of file objects; `error` is the first that the system raised.

    Once `journal` has a path, what is written before byte `whole` waits for `commit`.
    """

    def __init__(self, path, mode="r+"):
        super().__init__(path, mode)
        self.error, self.reserved, self.journal, self.whole, self._used = None, 0, None, 0, 0
        self._waiting, self._reach, self._size, self._path = {}, 0, None, Path(path)

    def __repr__(self):
        return str(self._path)

    def keep_journal(self, path):
        """From now on keep the file, of this path, as it is until the next `commit`."""
        self.journal, self._path = journal_of(path), Path(path)
        self.whole = self._used = max(self._used, os.fstat(self.fileno()).st_size)

    def reserve(self, until):
        """Allocate the bytes up to here, so that later writes find room; raises OSError if there is none."""
        self.reserved = max(self.reserved, os.fstat(self.fileno()).st_size)
        if until > self.reserved and hasattr(os, "posix_fallocate"):
            os.posix_fallocate(self.fileno(), self.reserved, until - self.reserved)
        self.reserved = max(self.reserved, until)

    def readinto(self, buffer):
        """Fill the buffer; behind the end there are zeros."""
        view, done, start = memoryview(buffer).cast("B"), 0, self.tell()
        while done < len(view) and (count := super().readinto(view[done:])):
            done += count
        view[done:] = bytes(len(view) - done)
        for (offset, length), content in self._waiting.items():
            first, last = max(start, offset), min(start + len(view), offset + length)
            if first < last:
                view[first - start : last - start] = content[first - offset : last - offset]
        return len(view)

    def seek(self, offset, whence=os.SEEK_SET):
        """As of any file; its end is where it will be."""
        if whence == os.SEEK_END:
            return super().seek(self._end() + offset)
        return super().seek(offset, whence)

    def write(self, content):
        """Write all of it; keep it where the file is in use, and after an error."""
        view, start = memoryview(content).cast("B"), self.tell()
        self._used = max(self._used, start + len(view))
        if self.error is None and (self.journal is None or start >= max(self.whole, self._reach)):
            try:
                done = 0
                while done < len(view):
                    done += super().write(view[done:])
                return done
            except OSError as error:
                self.error = error
        self._waiting.pop((start, len(view)), None)  # the last one counts, also among those that overlap
        self._waiting[start, len(view)] = bytes(view)
        self._reach = max(self._reach, start + len(view))  # what is written over this waits, too
        super().seek(start + len(view))
        return len(view)

    def truncate(self, size=None):
        """Truncate, but not what is reserved; later where a journal is kept, after an error not at all."""
        if self.error is None and self.journal is None:
            try:
                return super().truncate(max(size, self.reserved))
            except OSError as error:
                self.error = error
        elif self.error is None:
            self._size = size
        return size

    def commit(self):
        """Give the disk what waits; returns whether it took all, and `error` is what it refuses."""
        try:
            pieces = _merged([(offset, content) for (offset, _), content in self._waiting.items()])
            if self.journal is not None and pieces:
                pieces = self._journaled(pieces)
            self._apply(pieces)
        except OSError as error:
            self.error = self.error or error
            return False
        return True

    def close(self):
        """Write what has to wait, if that is possible now, and close; raises the error."""
        if self.closed:
            return
        try:
            self.commit() or self.commit()  # it may have refused once
        finally:
            self._waiting = {}
            super().close()
        if self.error is not None:
            raise self.error

    def _end(self):
        ends = [offset + length for offset, length in self._waiting]
        return max([os.fstat(self.fileno()).st_size if self._size is None else self._size, *ends])

    def _journaled(self, pieces):
        """Write the pieces behind the part in use; the others, which are returned, go into the journal with the old."""
        inside, text = [piece for piece in pieces if piece[0] < self.whole], bytearray(MAGIC)
        for offset, content in pieces[len(inside) :]:  # they are in order
            _write_at(self.fileno(), offset, content)
        for offset, content in inside:
            old = os.pread(self.fileno(), len(content), offset)
            text += HEAD.pack(offset, len(content)) + old + bytes(len(content) - len(old)) + content
        text += hashlib.sha256(text).digest()
        new = self.journal.with_name(f"{self.journal.name}.new")  # an earlier one may still be needed
        try:
            handle = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o666)
            try:
                _write_at(handle, 0, text)
            finally:
                os.close(handle)
            os.replace(new, self.journal)
        except OSError:
            with suppress(OSError):
                os.unlink(new)
            raise
        return inside

    def _apply(self, pieces):
        for offset, content in pieces:  # from the start of each on: a reader sees how far it came
            _write_at(self.fileno(), offset, content)
        self._waiting, self._reach = {}, 0
        if self._size is not None:
            super().truncate(max(self._size, self.reserved))
            self._size = None
        if self.journal is not None:
            with suppress(FileNotFoundError):
                os.unlink(self.journal)
            self.whole = self._used


def _merged(pieces):
    """[(offset, content)] in order, of which none overlap, of those that may; the last of them count."""
    joined = []
    for offset, content in sorted(pieces, key=lambda piece: piece[0]):
        if joined and offset <= joined[-1][1]:
            joined[-1][1] = max(joined[-1][1], offset + len(content))
        else:
            joined.append([offset, offset + len(content)])
    found = [(begin, bytearray(end - begin)) for begin, end in joined]
    for offset, content in pieces:
        begin, whole = next(one for one in found if one[0] <= offset <= one[0] + len(one[1]))
        whole[offset - begin : offset - begin + len(content)] = content
    return found


def _write_at(handle, offset, content):
    view = memoryview(content)
    while view:
        done = os.pwrite(handle, view, offset)
        view, offset = view[done:], offset + done


class GrowingFile(h5py.File):
    """An HDF5 file on a `Disk`, which is closed with it."""

    def __init__(self, disk, mode):
        self.disk = disk
        super().__init__(disk, mode)

    def flush(self):
        """Give everything to the system; afterwards a kill loses nothing."""
        super().flush()
        self.disk.commit()

    def close(self):
        """Close the file, without what was reserved and not used; raises what the disk refused."""
        self.disk.reserved = 0
        with uninterrupted():
            try:
                super().close()
            finally:
                self.disk.close()


def recover(path):
    """Write what a journal beside a file has for it, and remove the journal; raises OSError if the disk refuses."""
    if not journal_of(path).exists():
        return
    with open(path, "r+b") as file:
        for offset, content in _missing(path):
            _write_at(file.fileno(), offset, content)
    journal_of(path).unlink(missing_ok=True)


def as_journaled(path):
    """The file of a path for a reader, with what a journal has for it; the path itself if that is nothing."""
    missing = _missing(path) if journal_of(path).exists() else []
    if not missing:
        return path
    return _Recovered(path, missing)


class _Recovered(Disk):
    """A file that is only read, with pieces (offset, content) that did not arrive on the disk."""

    def __init__(self, path, missing):
        super().__init__(path, "r")
        self._waiting = {(offset, len(content)): content for offset, content in missing}

    def close(self):
        """Close it; nothing goes to the disk."""
        io.FileIO.close(self)


def _missing(path):
    """[(offset, content)] of a whole journal of this file: each part is new up to a place, and old behind it."""
    size = os.path.getsize(path)
    try:
        with open(journal_of(path), "rb") as file:
            text = file.read(3 * size + 2**20)  # more is none of this file
    except FileNotFoundError:
        return []
    end, place, found = len(text) - DIGEST, len(MAGIC), []
    if end < place or text[:place] != MAGIC or hashlib.sha256(text[:end]).digest() != text[end:]:
        return []
    with open(path, "rb") as file:
        while place + HEAD.size <= end:
            offset, length = HEAD.unpack_from(text, place)
            place += HEAD.size
            if place + 2 * length > end or offset > size:
                return []
            old, new = text[place : place + length], text[place + length : place + 2 * length]
            there = os.pread(file.fileno(), length, offset)
            differs = np.frombuffer(there + bytes(length - len(there)), np.uint8) != np.frombuffer(new, np.uint8)
            same = int(differs.argmax()) if differs.any() else length
            if (there + bytes(length - len(there)))[same:] != old[same:]:
                return []
            found.append((offset, new))
            place += 2 * length
    return found
