"""Read trajectories lazily; nothing in the file is believed before it is checked."""

from __future__ import annotations

import math
import operator
import os
import warnings
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import h5py
import numpy as np
import numpy.typing as npt

from dynsim._check import expect_memory, refusal
from dynsim._files import (
    DAMAGE,
    another_kind,
    attribute,
    damaged,
    dataset,
    expect_group,
    expect_sealed,
    expect_stored,
    expect_table,
    from_json,
    holds,
    lacks_memory,
    open_hdf5,
    reading,
    reason,
    terminable,
    uninterrupted,
)
from dynsim._plotted import Recorded
from dynsim.errors import DataError, FileError

from . import _layout
from ._chunks import bytes_of_frames, damaged_rows, mend, sound_head, sound_tail, stored_frames

if TYPE_CHECKING:
    from dynsim.engine import Solution

_READ_BYTES = 32 * 2**20


def file_kind(path: str | os.PathLike) -> str:
    """Return what a file of dynsim is: "trajectory", "model", or "converted" of a network of PyTorch.

    Raises FileNotFoundError, DataError for files of other programs and FileError for damaged ones.

    >>> import tempfile, os
    >>> from dynsim.trajectory import TrajectoryWriter
    >>> path = os.path.join(tempfile.mkdtemp(), "run.h5")
    >>> TrajectoryWriter(path, neurons=2, dimension=3).close()
    >>> file_kind(path)
    'trajectory'
    """
    with reading(path) as file:
        kind = attribute(file, "dynsim", None)
        if kind not in ("trajectory", "model", "converted"):
            raise another_kind(path, kind, "trajectory", "model", "converted")
        return kind


class Trajectory(Recorded):
    """A trajectory file, open for reading.

    Attributes: `neurons` N, `dimension` d, `copies` H, `signals` s or None, `frames` T; `step` and `time`
    (T,); `q` (T, H*N, d), `R` and `E` (T, N, s) or None, read from disk as they are sliced; of neurons with mass
    `velocity`, as q, and `mass` (H*N,), else None; `groups` (H*N,);
    `observables`, a dictionary of arrays (T,); `parameters`, the resolved configuration; `seed`;
    `provenance`, the versions, commit, threads, dtype, backend and the outcome of the run; `identity`, a random text
    that the run's checkpoints carry, too. All dimensionless.
    A killed run can leave datasets of unequal length: all are cut to the last step that every one of them
    has. Frames at the end that do not agree with their checksums are left out, with a warning.

    Raises FileNotFoundError, DataError for a file that dynsim did not write, FileError for a damaged one.

    >>> import tempfile, os
    >>> from dynsim.trajectory import TrajectoryWriter
    >>> path = os.path.join(tempfile.mkdtemp(), "run.h5")
    >>> with TrajectoryWriter(path, neurons=2, dimension=1) as writer:
    ...     writer.write(0, 0.0, [[1.0], [2.0]])
    ...     writer.write(1, 0.5, [[1.5], [2.5]])
    >>> with Trajectory(path) as trajectory:
    ...     trajectory.q[:, 0, 0].tolist(), trajectory.time.tolist()
    ([1.0, 1.5], [0.0, 0.5])
    """

    def __init__(self, path: str | os.PathLike):
        self._read(path, open_hdf5(path))
        if self._damage is not None:
            warnings.warn(f"{path}: {self._damage}; they are left out", stacklevel=2)

    def _read(self, path, file):
        self.path, self._file = Path(path), file
        try:
            with terminable():
                self._read_sizes()
                self._read_frames()
                self._read_parameters()
        except BaseException as error:
            with suppress(*DAMAGE):  # HDF5 may be unable to close what it could not read
                self.close()
            if isinstance(error, DAMAGE) and not isinstance(error, DataError | FileError):
                raise damaged(self.path, error) from error
            raise

    def _read_sizes(self):
        kind = attribute(self._file, "dynsim", None)
        if not holds(self._file, "h5md") or kind != "trajectory":
            raise another_kind(self.path, None if kind == "trajectory" else kind, "trajectory")
        identity = attribute(expect_sealed(self._file, *_layout.IDENTIFYING), "identity", None)
        self.identity = identity if isinstance(identity, str) else None
        native = expect_sealed(expect_group(self._file, _layout.NATIVE))
        self.neurons, self.dimension = int(attribute(native, "neurons")), int(attribute(native, "dimension"))
        self.copies = int(attribute(native, "copies"))
        signals = attribute(native, "signals", None)
        self.signals = None if signals is None else int(signals)
        self._massive = attribute(native, "velocities", None) is not None
        given = (self.neurons, self.dimension, self.copies, 1 if self.signals is None else self.signals)
        if min(given) < 1:
            raise FileError(f"{self.path} claims sizes {given}, of which each should be 1 or more; it is damaged.")

    def _read_frames(self):
        file, particles = self._file, self.neurons * self.copies
        step, time = dataset(file, _layout.STEP, (None,), "i"), dataset(file, _layout.TIME, (None,))
        places = dataset(file, _layout.PLACES, (None, particles, self.dimension))
        view = dataset(file, _layout.VIEW_PLACES, (None, particles, 3))
        moved = []  # velocities, and the first three of their coordinates
        if self._massive:
            moved = [dataset(file, _layout.VELOCITIES, (None, particles, self.dimension))]
            moved += [dataset(file, _layout.VIEW_VELOCITIES, (None, particles, 3))]
        signals = []
        if self.signals is not None:
            shape = (None, self.neurons, self.signals)
            signals = [dataset(file, key, shape) for key in (_layout.RECEIVED, _layout.EMITTED)]
        observed = {
            name: dataset(file, _layout.observable(name), (None,)) for name in expect_group(file, _layout.OBSERVABLES)
        }
        small = [step, time, *observed.values()]
        checks = [
            *((data, sound_head) for data in small),
            *((data, sound_tail) for data in (places, view, *moved, *signals)),
        ]
        common = min(stored_frames(data) for data, _ in checks)
        held = sum(bytes_of_frames(data, common) for data in small)  # names may be links to one dataset
        stored = sum(data.id.get_storage_size() for data in set(small))
        expect_stored(held, stored, f"{self.path}: steps, times and observables")
        common = self._without_damage(checks, common)
        self.frames = _increasing(step[:common])
        self._longest = max(len(step), len(time), len(places))
        self.step, self.time = step[: self.frames], time[: self.frames]
        self.q, self._view = Frames(places, self.frames), None if view == places else Frames(view, self.frames)
        self.R, self.E = (Frames(data, self.frames) for data in signals) if signals else (None, None)
        self.velocity = Frames(moved[0], self.frames) if moved else None
        self._velocity_view = Frames(moved[1], self.frames) if moved and moved[1] != moved[0] else None
        self.observables = {name: data[: self.frames] for name, data in observed.items()}
        self.groups = self._of_particles(_layout.GROUPS, "i")
        self.mass = self._of_particles(_layout.MASSES, "f") if self._massive else None

    def _of_particles(self, name, kind):
        """What is stored once for every particle, (P,)."""
        count = self.neurons * self.copies
        data = dataset(self._file, name, (count,), kind)
        expect_stored(count * data.dtype.itemsize, data.id.get_storage_size(), f"{self.path}: {data.name}")
        return data[()]

    def _without_damage(self, checks, frames):
        """How many frames are left without damaged ones at the end; datasets that are read whole end at the first."""
        before, left, name = frames, None, None
        while left != frames:
            left = frames
            for data, sound in checks:
                if sound(data, frames) < frames:
                    frames, name = sound(data, frames), data.name
        self._damage = name and f"frames {frames} to {before - 1} are damaged in {name} (their checksums are wrong)"
        if name and not frames:
            raise FileError(f"{self.path}: {self._damage}, and there are none before; restore the file from a copy.")
        return frames

    def _read_parameters(self):
        group = expect_group(self._file, _layout.PARAMETERS)
        records = {}
        for name in group:
            found = dataset(self._file, f"{_layout.PARAMETERS}/{name}", (), "O")
            records[name] = from_json(found.asstr()[()], self.path)
        self.parameters = expect_table(records.pop(_layout.CONFIGURATION), self.path, "a configuration")
        expect_table(records.get("outcome", {}), self.path, "an outcome")
        self.seed = records.pop("seed", None)
        self.provenance = records

    def places(self, frames: slice | None = None, neurons: npt.ArrayLike | None = None) -> npt.NDArray:
        """Return the places (T', P, d) of the frames of a slice (None: all) and of the particles `neurons` (None: all).

        `neurons` are indices of the particle axis: copy h of neuron n is h * N + n.
        """
        return self.q.read(frames, neurons)

    def close(self) -> None:
        """Close the file; q, R, E and velocity cannot be read afterwards, the rest stays."""
        self._file.close()

    def __enter__(self):
        return self

    def __exit__(self, *raised):
        self.close()

    def facts(self) -> dict:
        """What it is shown by."""
        found = {"file": self.path, "neurons": self.neurons, "dimension": self.dimension}
        if self.copies > 1:
            found["copies"] = self.copies
        if self.signals is not None:
            found["signals"] = self.signals
        if self.mass is not None:
            found["mass"] = _span_of(self.mass)
        return found | {"frames": self.frames, "time": f"{self.time[0]:g} to {self.time[-1]:g}" if self.frames else "-"}


def mend_tail(path):
    """Mend what a kill left half written at the end of a file, where it can be; raises as `Trajectory`."""
    trajectory, unreadable = Trajectory.__new__(Trajectory), None
    try:
        trajectory._read(path, open_hdf5(path))
    except FileError as error:  # it may be the only chunk that was half written
        unreadable = error
    else:
        trajectory.close()
        if trajectory._damage is None:
            return
    file = open_hdf5(path, "r+")
    try:
        with file, uninterrupted():
            found = []
            file.visititems(lambda _, item: found.append(item) if isinstance(item, h5py.Dataset) else None)
            for data in found:
                mend(data)
    except DAMAGE as error:
        if error is file.disk.error:  # the disk refuses, whatever the bytes are
            raise
        if unreadable is not None:  # more than a torn end: HDF5 does not find its way in the file
            raise unreadable from error
        # What can be read without the torn end is left as it is.


class SolutionTrajectory:
    """What `Trajectory` is for a file, for a `Solution` in memory: the same attributes, nothing to close.

    Raises ValueError for a solution of which only the last frame is in memory; its file has all of them.

    >>> import numpy as np, dynsim
    >>> solution = dynsim.solve(dynsim.System(np.eye(2)), (0.0, 1.0), t_eval=[0.0, 0.5, 1.0])
    >>> trajectory = SolutionTrajectory(solution)
    >>> trajectory.frames, trajectory.q.shape, trajectory.time.tolist()
    (3, (3, 2, 2), [0.0, 0.5, 1.0])
    """

    path = Path("solution")

    def __init__(self, solution: Solution):
        q = np.asarray(solution.q)
        copies = q.shape[1] if q.ndim == 4 else 1
        self.frames, self.copies = len(q), copies
        self.neurons, self.dimension = q.shape[-2:]
        self.signals = solution.R.shape[2]
        self.time, self.step = np.asarray(solution.t), np.arange(self.frames)
        self.q = Frames(q.reshape(self.frames, copies * self.neurons, self.dimension), self.frames)
        self.R, self.E = Frames(solution.R, self.frames), Frames(solution.E, self.frames)
        self.velocity = self.mass = None
        if solution.velocity is not None:
            self.velocity = Frames(np.asarray(solution.velocity).reshape(self.q.shape), self.frames)
            from dynsim.engine import neuron_masses

            self.mass = np.tile(neuron_masses(solution.system), copies)
        groups = solution.system.groups
        groups = np.zeros(self.neurons, int) if groups is None else groups
        self.groups = np.tile(groups, copies)
        self.observables, self.parameters = {}, {}
        self.provenance = {"outcome": {"status": int(solution.status), "message": str(solution.message)}}
        self.seed = self.identity = None
        self.system = solution.system

    def places(self, frames: slice | None = None, neurons: npt.ArrayLike | None = None) -> npt.NDArray:
        """Return the places (T', P, d), as `Trajectory.places`."""
        return self.q.read(frames, neurons)


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
        self._stored = data.id.get_storage_size() if isinstance(data, h5py.Dataset) else None
        self.shape = (frames, *data.shape[1:])
        self.ndim, self.dtype = len(self.shape), data.dtype

    def __len__(self):
        return self.shape[0]

    def __repr__(self):
        return f"<Frames of shape {self.shape}, {self.dtype}>"

    def __array__(self, dtype=None, copy=None):
        if copy is False:
            raise ValueError("frames on disk cannot become an array without a copy; leave copy out.")
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
                raise refusal("frame", index, f"one of {len(self)} frames", error=IndexError)
            block = self._load(range(index % len(self), index % len(self) + 1))[0]
            return block[rest] if rest else block
        index = np.arange(len(self))[np.asarray(first)]
        block = np.stack([self[i] for i in index]) if len(index) else np.empty((0, *self.shape[1:]), self.dtype)
        return block[(slice(None), *rest)] if rest else block

    def read(self, frames=None, particles=None):
        """Return the frames of a slice (None: all) and the chosen indices of the second axis (None: all)."""
        frames = slice(None) if frames is None else frames
        wanted = range(*frames.indices(len(self)))
        row = self.shape[1:] if particles is None else (len(particles), *self.shape[2:])
        size = len(wanted) * math.prod(row) * self.dtype.itemsize
        expect_memory(size, f"{len(wanted):,} frames", "read fewer frames")
        if self._stored is not None:
            expect_stored(size, self._stored, f"{self._data.file.filename}: {len(wanted):,} frames")
        if particles is None:
            return self._load(wanted)
        particles = np.asarray(particles, dtype=np.intp)
        out = np.empty((len(wanted), *row), self.dtype)
        # Chunks hold all particles of some frames, so a few at a time: memory stays with what is kept.
        size = max(1, _READ_BYTES // max(1, math.prod(self.shape[1:]) * self.dtype.itemsize))
        for start in range(0, len(wanted), size):
            out[start : start + size] = self._load(wanted[start : start + size])[:, particles]
        return out

    @property
    def chunk_length(self):
        """How many frames are stored, and damaged, together."""
        return self._data.chunks[0] if isinstance(self._data, h5py.Dataset) and self._data.chunks else 1

    def damaged_rows(self, start, stop):
        """The ranges of these frames that cannot be read."""
        return list(damaged_rows(self._data, start, stop))

    def _load(self, wanted):
        if not wanted:
            return np.empty((0, *self.shape[1:]), self.dtype)
        first, last = min(wanted), max(wanted)
        try:
            with terminable():
                block = np.asarray(self._data[first : last + 1 : abs(wanted.step)])
        except (OSError, RuntimeError) as error:
            if lacks_memory(error):
                raise damaged(self._data.file.filename, error) from error
            whole = first // self.chunk_length * self.chunk_length  # chunks are damaged as a whole
            begin, end = next(damaged_rows(self._data, whole, len(self)), (first, last + 1))
            where = f"{self._data.file.filename}: frames {begin} to {end - 1} of {self._data.name}"
            raise FileError(f"{where} are damaged ({reason(error)}); read the others, or run again.") from error
        return block[::-1] if wanted.step < 0 else block


def _span_of(values):
    """Words for numbers: one if they are equal, else the least and the largest.

    >>> _span_of(np.array([2.0, 2.0])), _span_of(np.array([3.0, 1.0]))
    ('2', '1 to 3')
    """
    low, high = np.min(values), np.max(values)
    return f"{low:g}" if low == high else f"{low:g} to {high:g}"


def _increasing(step):
    """How many leading steps increase; a tail that was sized but never written holds zeros."""
    falls = np.flatnonzero(np.diff(step) <= 0)
    return int(falls[0]) + 1 if len(falls) else len(step)
