"""Frames of a run that streamed into a file, read when they are asked for; the file is not kept open."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
from numpy.lib.mixins import NDArrayOperatorsMixin

from dynsim.errors import DataError

from ._reader import Trajectory


class StoredFrames(NDArrayOperatorsMixin):
    """Places or signals (T, ...) of a finished run: `shape`, `ndim`, `dtype`, `len()`, indices, arithmetic.

    Every access opens the file and reads what is asked for; `np.asarray(frames)` reads all. It can be pickled.

    Raises
    ------
    FileNotFoundError, FileError
        When it is read, if the file is not there any more, or damaged.
    DataError
        When it is read, if the file holds another run by then.

    Examples
    --------
    >>> import tempfile, dynsim
    >>> path = Path(tempfile.mkdtemp()) / "run.h5"
    >>> solution = dynsim.solve(dynsim.System(np.eye(2)), (0.0, 1.0), t_eval=[0.0, 0.5, 1.0], path=path)
    >>> solution.q
    <StoredFrames: (3, 2, 2) float64 in run.h5>
    >>> solution.q[-1].tolist(), float((solution.q - 1.0).max())
    ([[1.0, 0.0], [0.0, 1.0]], 0.0)
    """

    def __init__(self, trajectory: Trajectory, name: str, shape: tuple[int, ...]):
        frames = getattr(trajectory, name)
        self.path, self.identity, self.name = Path(trajectory.path).absolute(), trajectory.identity, name
        self.shape, self.dtype, self.ndim = (len(frames), *shape), frames.dtype, 1 + len(shape)

    @property
    def size(self) -> int:
        """How many numbers there are."""
        return math.prod(self.shape)

    def __len__(self):
        return self.shape[0]

    def __repr__(self):
        return f"<StoredFrames: {self.shape} {self.dtype} in {self.path.name}>"

    def __getitem__(self, key):
        key = key if isinstance(key, tuple) else (key,)
        where = next((k for k, part in enumerate(key) if part is Ellipsis), None)
        if where is not None:
            key = (*key[:where], *[slice(None)] * (self.ndim - len(key) + 1), *key[where + 1 :])
        first, rest = (key[0], key[1:]) if key else (slice(None), ())
        with Trajectory(self.path) as trajectory:
            if trajectory.identity != self.identity or trajectory.frames < len(self):
                raise DataError(f"{self.path} holds another run by now; read the frames before it is written again.")
            if isinstance(first, slice):  # the run may have gone on since
                first = slice(*first.indices(len(self)))
                if first.step < 0 and first.stop < 0:
                    first = slice(first.start, None, first.step)
            else:
                first = np.arange(len(self))[first]
            block = getattr(trajectory, self.name)[first]
        one = block.ndim == (2 if self.ndim == 4 else self.ndim - 1)
        block = block.reshape(*([] if one else [len(block)]), *self.shape[1:])
        return block[rest] if one else block[(slice(None), *rest)]

    def __array__(self, dtype=None, copy=None):
        if copy is False:
            raise ValueError("frames on disk cannot become an array without a copy; leave copy out.")
        return np.asarray(self[:], dtype=dtype)

    def __array_ufunc__(self, ufunc, method, *inputs, **options):
        arrays = [np.asarray(one) if isinstance(one, StoredFrames) else one for one in inputs]
        return getattr(ufunc, method)(*arrays, **options)
