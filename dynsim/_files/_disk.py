"""HDF5 files on a disk that can refuse: HDF5 must not see it, since it then crashes.

Measured by letting every call in turn fail: after a write that fails HDF5 2.0 cannot close the file, and the program
ends by a segmentation fault. Here the error is kept instead, and raised when HDF5 is done.
"""

from __future__ import annotations

import io


class Disk(io.FileIO):
    """A file for h5py's driver of file objects; `error` is the first that the system raised."""

    def __init__(self, path):
        super().__init__(path, "r+")
        self.error = None

    def readinto(self, buffer):
        """Fill the buffer; behind the end there are zeros."""
        view, done = memoryview(buffer).cast("B"), 0
        while done < len(view) and (count := super().readinto(view[done:])):
            done += count
        view[done:] = bytes(len(view) - done)
        return len(view)

    def write(self, content):
        """Write all of it, or keep the error."""
        view, done = memoryview(content).cast("B"), 0
        try:
            while done < len(view):
                done += super().write(view[done:])
        except OSError as error:
            self.error = self.error or error
        return len(view)

    def truncate(self, size=None):
        """Truncate, or keep the error."""
        try:
            return super().truncate(size)
        except OSError as error:
            self.error = self.error or error
            return size
