"""A dataset that ends at the last common frame."""

import math
import operator

import numpy as np

from dynsim.errors import FileError
from dynsim.trajectory._check import fits_memory

_READ_BYTES = 32 * 2**20


class Frames:
    """The first `frames` entries of an HDF5 dataset, read when indexed as a NumPy array would be.

    Attributes `shape`, `ndim`, `dtype`; `len()`; slices, integers and index arrays; `np.asarray(frames)`
    reads all.

    >>> lazy = Frames(np.arange(12.0).reshape(6, 2), 4)
    >>> lazy.shape, lazy[-1].tolist(), lazy[::2, 1].tolist()
    ((4, 2), [6.0, 7.0], [1.0, 5.0])
    """

    def __init__(self, data, frames):
        self._data = data
        self.shape = (frames, *data.shape[1:])
        self.ndim, self.dtype = len(self.shape), data.dtype

    def __len__(self):
        return self.shape[0]

    def __repr__(self):
        return f"<Frames of shape {self.shape}, {self.dtype}>"

    def __array__(self, dtype=None, copy=None):
        if copy is False:
            raise ValueError("frames on disk cannot become an array without a copy; leave copy out")
        return np.asarray(self.read(), dtype=dtype)

    def __getitem__(self, key):
        key = key if isinstance(key, tuple) else (key,)
        first, rest = (key[0], key[1:]) if key else (slice(None), ())
        if first is Ellipsis:
            missing = self.ndim - len(rest)
            first, rest = (slice(None), (Ellipsis, *rest)) if missing > 0 else (rest[0], rest[1:])
        if isinstance(first, slice):
            block = self.read(first)
            return block[(slice(None), *rest)] if rest else block
        if np.ndim(first) == 0 and not isinstance(first, bool | np.bool_):
            index = operator.index(first)
            if not -len(self) <= index < len(self):
                raise IndexError(f"got frame {index}, expected one of {len(self)} frames")
            block = self._load(range(index % len(self), index % len(self) + 1))[0]
            return block[rest] if rest else block
        index = np.arange(len(self))[np.asarray(first)]
        block = np.stack([self[i] for i in index]) if len(index) else np.empty((0, *self.shape[1:]), self.dtype)
        return block[(slice(None), *rest)] if rest else block

    def read(self, frames=None, particles=None):
        """Frames of a slice (None: all) and the chosen indices of the second axis (None: all), in memory."""
        frames = slice(None) if frames is None else frames
        wanted = range(*frames.indices(len(self)))
        row = self.shape[1:] if particles is None else (len(particles), *self.shape[2:])
        fits_memory(len(wanted) * math.prod(row) * self.dtype.itemsize, "what is asked for", "read fewer frames")
        if particles is None:
            return self._load(wanted)
        particles = np.asarray(particles, dtype=np.intp)
        out = np.empty((len(wanted), *row), self.dtype)
        # Chunks hold all particles of some frames, so a few at a time: memory stays with what is kept.
        size = max(1, _READ_BYTES // max(1, math.prod(self.shape[1:]) * self.dtype.itemsize))
        for start in range(0, len(wanted), size):
            out[start : start + size] = self._load(wanted[start : start + size])[:, particles]
        return out

    def _load(self, wanted):
        if not wanted:
            return np.empty((0, *self.shape[1:]), self.dtype)
        try:
            block = np.asarray(self._data[min(wanted) : max(wanted) + 1 : abs(wanted.step)])
        except (OSError, RuntimeError) as error:
            raise FileError(
                f"frames {min(wanted)} to {max(wanted)} cannot be read ({error}); the file is damaged"
            ) from error
        return block[::-1] if wanted.step < 0 else block
