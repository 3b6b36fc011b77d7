"""HDF5 files on a disk that can refuse: HDF5 must not see it, since it then crashes.

Measured by letting every call in turn fail: after a write that fails HDF5 2.0 cannot close the file, and the program
ends by a segmentation fault. Here the error is kept instead and raised when HDF5 is done. What is written after it
stays in memory, so the disk holds what it would hold after a kill at that moment, which can be read.
"""

from __future__ import annotations

import io
import os

import h5py

from ._signals import uninterrupted


class Disk(io.FileIO):
    """A file for h5py's driver of file objects; `error` is the first that the system raised."""

    def __init__(self, path):
        super().__init__(path, "r+")
        self.error, self.reserved, self._waiting = None, 0, []

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
        for offset, content in self._waiting:
            first, last = max(start, offset), min(start + len(view), offset + len(content))
            if first < last:
                view[first - start : last - start] = content[first - offset : last - offset]
        return len(view)

    def write(self, content):
        """Write all of it; after an error keep it."""
        view, start = memoryview(content).cast("B"), self.tell()
        if self.error is None:
            try:
                done = 0
                while done < len(view):
                    done += super().write(view[done:])
                return done
            except OSError as error:
                self.error = error
        self._waiting.append((start, bytes(view)))
        return len(view)

    def truncate(self, size=None):
        """Truncate, but not what is reserved; after an error not at all."""
        if self.error is None:
            try:
                return super().truncate(max(size, self.reserved))
            except OSError as error:
                self.error = error
        return size

    def close(self):
        """Write what had to wait, if that is possible now, and close; raises the error."""
        if self.closed:
            return
        try:
            for offset, content in self._waiting:
                os.lseek(self.fileno(), offset, os.SEEK_SET)
                while content:
                    content = content[super().write(content) :]
        except OSError:  # the disk still refuses
            pass
        finally:
            self._waiting = []
            super().close()
        if self.error is not None:
            raise self.error


class GrowingFile(h5py.File):
    """An HDF5 file on a `Disk`, which is closed with it."""

    def __init__(self, disk, mode):
        self.disk = disk
        super().__init__(disk, mode)

    def close(self):
        """Close the file, without what was reserved and not used; raises what the disk refused."""
        self.disk.reserved = 0
        with uninterrupted():
            try:
                super().close()
            finally:
                self.disk.close()
