"""Room on the disk, taken before HDF5 is asked to write.

An HDF5 file whose writing fails half way (a full disk) is lost: measured, it neither closes nor reopens. So
the room for the next frames is allocated first; if that fails, the file is still whole and closes with what
it holds.
"""

import contextlib
import math
import os
import shutil

import h5py

_SLACK = 256 * 2**10  # headers, B-tree nodes and the records at the end
_PER_CHUNK = 256  # a chunk's share of its B-tree node, generously


class Reserve:
    """The bytes allocated for an open file that grows.

    `path` of the file, `file` open for writing, `datasets` those that grow with the frames, `frames` stored
    so far.
    """

    def __init__(self, path, file, datasets, frames):
        self._path, self._descriptor = path, file.id.get_vfd_handle()
        self._chunks = [(data.chunks[0], _bytes_per_chunk_row(data)) for data in datasets]
        self._until = os.path.getsize(path)
        self._base = self._until + _SLACK - self._needed(frames)

    def _needed(self, frames):
        return sum(-(-frames // length) * size for length, size in self._chunks)

    def grow(self, frames):
        """Make sure that `frames` frames fit. Raises OSError if the disk has no room for them."""
        target = self._base + self._needed(frames)
        if target <= self._until:
            return
        if hasattr(os, "posix_fallocate"):
            os.posix_fallocate(self._descriptor, self._until, target - self._until)
        elif shutil.disk_usage(self._path.parent).free < target - self._until:
            raise OSError(f"no {target - self._until} bytes left")
        self._until = target


def _bytes_per_chunk_row(data):
    """Bytes of all chunks that begin with the same frame."""
    chunks = math.prod(-(-size // chunk) for size, chunk in zip(data.shape[1:], data.chunks[1:], strict=True))
    return chunks * (math.prod(data.chunks) * data.dtype.itemsize + _PER_CHUNK)


def give_back(path):
    """Cut what was reserved and not used off a closed file: HDF5 does it when it closes a file opened so."""
    # Where somebody reads the file already, the spare bytes stay: they do no harm.
    with contextlib.suppress(OSError):
        h5py.File(path, "r+").close()
