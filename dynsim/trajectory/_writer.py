"""The buffered H5MD writer.

Measured: buffers of 64 frames write 25 times faster than single frames; a file of the default version that is
flushed on a timer reopens after SIGKILL and loses the tail only, one of libver="latest" does not reopen.
"""

from __future__ import annotations

import errno
import math
import os
import secrets
import shutil
import time as clock
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from dynsim._check import (
    as_array,
    as_count,
    as_flag,
    as_float_type,
    as_instance,
    as_number,
    as_table,
    expect_memory,
    refusal,
)
from dynsim._files import claim_hdf5, open_hdf5, to_json, uninterrupted, unwritable
from dynsim.errors import DataError

from . import _layout
from ._provenance import describe_origin
from ._reader import Trajectory, mend_tail

_BUFFER_BYTES = 4 * _layout.BYTES_PER_CHUNK
_SLACK = 256 * 2**10  # headers, B-tree nodes and the records at the end
_PER_CHUNK = 256  # a chunk's share of its B-tree node, generously
# Names that write() uses itself could not be given as observables.
_TAKEN = ("self", "step", "time", "q", "R", "E", "velocity")


class TrajectoryWriter:
    """Write a trajectory to an H5MD 1.1 file while the run goes on.

    Parameters: `path` of the file; `neurons` N, `dimension` d and `copies` H of the places; `signals` s, the
    width of R and E, or None if there are none; `groups` (N,) ints; `parameters`, a dictionary of the
    resolved configuration; `seed`; `buffer`, the frames held before they are written; `flush_seconds`, the
    time after which a new frame takes all frames before it to the disk; `observables`, the names of numbers
    written with every frame; `overwrite`, whether an existing file may be replaced; `provenance`, further
    entries such as the generator's state, the backend or the parent file; `dtype` "float64" or "float32"; `mass`, a
    number or (N,), above 0, of neurons whose velocities are written, too, or None. All quantities are dimensionless.

    The file's particle axis has H*N entries, copy after copy. Raises FileExistsError if `path` exists and
    `overwrite` is false, other OSErrors for a folder that cannot be written, ValueError for sizes or names
    that cannot be.

    >>> import tempfile, os
    >>> path = os.path.join(tempfile.mkdtemp(), "run.h5")
    >>> with TrajectoryWriter(path, neurons=2, dimension=3, observables=["energy"]) as writer:
    ...     writer.write(0, 0.0, np.zeros((2, 3)), energy=1.5)
    >>> from dynsim.trajectory import Trajectory
    >>> with Trajectory(path) as trajectory:
    ...     trajectory.frames, float(trajectory.observables["energy"][0])
    (1, 1.5)
    """

    def __init__(
        self,
        path: str | os.PathLike,
        *,
        neurons: int,
        dimension: int,
        copies: int = 1,
        signals: int | None = None,
        groups: npt.ArrayLike | None = None,
        parameters: dict | None = None,
        seed: int | None = None,
        buffer: int = 64,
        flush_seconds: float = 2.0,
        observables: Sequence[str] = (),
        overwrite: bool = False,
        dtype: npt.DTypeLike = "float64",
        provenance: dict | None = None,
        mass: npt.ArrayLike | None = None,
    ):
        shape = {"neurons": neurons, "dimension": dimension, "copies": copies}
        shape = {name: as_count(value, name) for name, value in shape.items()}
        signals = None if signals is None else as_count(signals, "signals")
        names, dtype = _names(observables), as_float_type(dtype, "dtype")
        seed = None if seed is None else as_count(seed, "seed", minimum=0)
        records = {**describe_origin(dtype), "seed": seed, **as_table(provenance, "provenance")}
        records = {_layout.CONFIGURATION: as_table(parameters, "parameters"), **records}
        records = {name: to_json(value) for name, value in records.items()}
        overwrite = as_flag(overwrite, "overwrite")
        mass = None if mass is None else _masses(mass, shape["neurons"])
        self._describe(path, shape, signals, names, dtype, buffer, flush_seconds, mass is not None)
        groups, identity = _groups(groups, self.neurons), secrets.token_hex(16)

        def fill(file):
            _layout.lay_out(file, shape, signals, groups, names, dtype, identity, records, mass)

        self._attach(claim_hdf5(self.path, fill, overwrite=overwrite), identity)

    @classmethod
    def append(
        cls,
        path: str | os.PathLike,
        *,
        after_step: int | None = None,
        run: str | None = None,
        buffer: int = 64,
        flush_seconds: float = 2.0,
    ) -> TrajectoryWriter:
        """Open a trajectory that dynsim wrote and go on behind its last frame.

        Frames later than `after_step` (a resumed run starts from its checkpoint, not from the last frame) and
        uneven tails are cut away first, and what a kill left half written is mended. Raises as `Trajectory` does,
        OSError if another program has it open, and DataError if its identity is not `run`, where that is given.

        >>> import tempfile, os
        >>> path = os.path.join(tempfile.mkdtemp(), "run.h5")
        >>> with TrajectoryWriter(path, neurons=1, dimension=1) as writer:
        ...     writer.write(0, 0.0, [[1.0]])
        >>> with TrajectoryWriter.append(path) as writer:
        ...     writer.write(1, 0.5, [[2.0]])
        ...     writer.frames
        2
        """
        mend_tail(path)
        writer, old = cls.__new__(cls), Trajectory.__new__(Trajectory)
        file = open_hdf5(path, "r+")
        old._read(path, file)  # closes the file if it is damaged
        try:
            if run is not None and as_instance(run, str, "run") != old.identity:
                raise refusal(
                    path, "the file of another run", "that of this one", "resume it by itself", error=DataError
                )
            shape = {"neurons": old.neurons, "dimension": old.dimension, "copies": old.copies}
            names, massive = tuple(old.observables), old.mass is not None
            writer._describe(path, shape, old.signals, names, old.q.dtype, buffer, flush_seconds, massive)
            frames = old.frames if after_step is None else int(np.searchsorted(old.step, after_step, "right"))
            writer._written, writer._last_step = frames, int(old.step[frames - 1]) if frames else None
            writer._attach(file, old.identity)
            with uninterrupted():
                for data in writer._datasets.values():
                    data.resize(frames, axis=0)
            writer.flush()
        except BaseException:
            file.close()
            raise
        return writer

    def _describe(self, path, shape, signals, names, dtype, buffer, flush_seconds, massive):
        """Take over the sizes and make the buffers; no file is touched yet."""
        self.path = Path(path)
        self.neurons, self.dimension, self.copies = shape["neurons"], shape["dimension"], shape["copies"]
        self.signals, self.observables, self._massive = signals, names, massive
        self._flush_seconds = as_number(flush_seconds, "flush_seconds", minimum=0)
        shapes = {_layout.PLACES: (self.neurons * self.copies, self.dimension)}
        if massive:
            shapes[_layout.VELOCITIES] = shapes[_layout.PLACES]
        if signals is not None:
            shapes[_layout.RECEIVED] = shapes[_layout.EMITTED] = (self.neurons, signals)
        frame = sum(math.prod(s) * dtype.itemsize for s in shapes.values())
        expect_memory(frame, f"a frame of {self.neurons * self.copies:,} places", "use fewer neurons")
        # The buffer obeys a bound on memory: large frames are written one by one.
        length = min(max(_BUFFER_BYTES // frame, 1), as_count(buffer, "buffer"))
        self._buffers = {key: np.empty((length, *s), dtype=dtype) for key, s in shapes.items()}
        for name in names:
            self._buffers[_layout.observable(name)] = np.empty(length)
        # Step and time come last: their length is what says that a frame is complete.
        self._buffers[_layout.TIME] = np.empty(length)
        self._buffers[_layout.STEP] = np.empty(length, dtype=np.int64)
        self._length, self._filled, self._written, self._last_step = length, 0, 0, None
        self._file = None

    def _attach(self, file, identity):
        self._file, self.identity, self._flushed = file, identity, clock.monotonic()
        self._datasets = {key: file[key] for key in self._buffers}
        if self.dimension != 3:  # in three dimensions the view is a hard link to the places
            views = {view: file[view] for view, data in _layout.VIEWS.items() if data in self._buffers}
            self._datasets = {**views, **self._datasets}
        self._reserve = _Reserve(self.path, file, self._datasets.values(), self._written)

    @property
    def frames(self):
        """Frames taken so far, written or still in the buffer."""
        return self._written + self._filled

    def write(
        self,
        step: int,
        time: float,
        q: npt.ArrayLike,
        R: npt.ArrayLike | None = None,
        E: npt.ArrayLike | None = None,
        velocity: npt.ArrayLike | None = None,
        **observables: float,
    ) -> None:
        """Add one frame.

        `step` int, larger than the last; `time` a number; `q` (N, d), or (H, N, d) with copies; `R` and `E`
        (N, s), or (N,) if s = 1; `velocity` as q, of neurons with mass; `observables` by the names given at the
        start, NaN for those left out. All but step and time may be NaN or infinite: the last frame of a diverged run is
        kept as it was. Raises TypeError or ValueError for another type, shape or name and for a closed writer, OSError
        if the disk refuses.
        """
        self._expect_open()
        step = as_count(step, "step", minimum=-(2**63) if self._last_step is None else self._last_step + 1)
        if step >= 2**63:
            raise refusal("step", step, "a whole number of 64 bits")
        unknown = set(observables) - set(self.observables)
        if unknown:
            expected = f"some of {list(self.observables)}"
            raise refusal("observables", repr(min(unknown)), expected, "name them when the writer is made")
        values = {_layout.PLACES: self._places("q", q), _layout.TIME: as_number(time, "time"), _layout.STEP: step}
        if self._massive:
            if velocity is None:
                raise refusal("velocity", "none", "one of neurons with mass, shaped as q")
            values[_layout.VELOCITIES] = self._places("velocity", velocity)
        elif velocity is not None:
            raise refusal("velocity", "an array", "none without mass", "make the writer with mass=m")
        # NaN and infinity are kept: a diverged run is a record too.
        for name in self.observables:
            values[_layout.observable(name)] = as_array(observables.get(name, math.nan), name, (), finite=False)
        for key, name, value in ((_layout.RECEIVED, "R", R), (_layout.EMITTED, "E", E)):
            if self.signals is not None:
                values[key] = self._signal(name, value)
            elif value is not None:
                raise refusal(name, "an array", "none without signals", "make the writer with signals=s")
        for key, value in values.items():
            self._buffers[key][self._filled] = value
        self._filled, self._last_step = self._filled + 1, step
        if clock.monotonic() - self._flushed >= self._flush_seconds:
            self.flush()
        elif self._filled == self._length:
            self._drain()

    def _places(self, name, q):
        native = (self.neurons, self.dimension)
        shape = native if self.copies == 1 and np.ndim(q) == 2 else (self.copies, *native)
        q = as_array(q, name, shape, finite=False)
        return q.reshape(self.copies * self.neurons, self.dimension)

    def _signal(self, name, value):
        shape = (self.neurons, self.signals)
        if value is None:
            raise refusal(name, "none", f"an array of shape {shape}")
        value = as_array(value, name, finite=False)
        if value.shape == (self.neurons,) and self.signals == 1:
            value = value[:, None]
        if value.shape != shape:
            raise refusal(name, f"shape {value.shape}", shape)
        return value

    @uninterrupted()
    def record(self, name: str, value: object) -> None:
        """Store what is known only at the end (the outcome of a run) beside the parameters, as JSON."""
        self._expect_open()
        text = to_json(value)
        try:
            _layout.store_text(self._file[_layout.PARAMETERS], name, text)
            self._expect_disk()
        except (OSError, RuntimeError) as error:
            raise self._refused(error) from error

    def _expect_open(self):
        if self._file is None:
            raise ValueError(f"{self.path} is closed; open a new writer to write more.")

    @uninterrupted()
    def _drain(self):
        if not self._filled:
            return
        begin, end, filled = self._written, self._written + self._filled, self._filled
        # A write that fails (a full disk) must not be repeated by close().
        self._filled = 0
        try:
            self._reserve.grow(end)
            for key, data in self._datasets.items():
                data.resize(end, axis=0)
                if key in _layout.VIEWS:
                    data[begin:end] = _layout.three_coordinates(self._buffers[_layout.VIEWS[key]][:filled])
                else:
                    data[begin:end] = self._buffers[key][:filled]
            self._expect_disk()
        except (OSError, RuntimeError) as error:
            raise self._refused(error) from error
        self._written = end

    @uninterrupted()
    def flush(self) -> None:
        """Write the buffer and give everything to the operating system: a kill now loses nothing."""
        self._expect_open()
        self._drain()
        try:
            self._file.flush()
            self._expect_disk()
        except (OSError, RuntimeError) as error:
            raise self._refused(error) from error
        self._flushed = clock.monotonic()

    def _expect_disk(self):
        """Raise what the disk refused."""
        if self._file.disk.error is not None:
            raise self._file.disk.error

    def _refused(self, error):
        return unwritable(f"{self.path} cannot be written after frame {self._written}", error)

    def close(self) -> None:
        """Write what is left and close the file; a second call does nothing."""
        if self._file is None:
            return
        try:
            self._drain()
        finally:
            file, self._file = self._file, None
            try:
                file.close()
            except (OSError, RuntimeError) as error:
                raise self._refused(error) from error

    def __enter__(self):
        return self

    def __exit__(self, *raised):
        self.close()


def _names(names):
    """Names that can be keywords of write() and groups of the file."""
    names = (names,) if isinstance(names, str) else tuple(as_instance(names, list | tuple, "observables"))
    for name in names:
        if not isinstance(name, str) or not name.replace("-", "_").isidentifier():
            raise refusal("observables", repr(name), "names of letters, digits and underscores")
        if name in _TAKEN:
            raise refusal("observables", repr(name), "a name that write() does not use itself", "choose another name")
    if len(set(names)) != len(names):
        raise refusal("observables", list(names), "each name once")
    return names


def _groups(groups, neurons):
    """Groups (N,) as int64; all zero if none are given."""
    groups = np.zeros(neurons, dtype=np.int64) if groups is None else np.asarray(groups)
    if groups.shape != (neurons,) or not np.issubdtype(groups.dtype, np.integer):
        raise refusal("groups", f"{groups.dtype} of shape {groups.shape}", f"whole numbers of shape ({neurons},)")
    return groups.astype(np.int64)


def _masses(mass, neurons):
    """Masses (N,) as float64."""
    mass = as_array(mass, "mass", dtype=np.float64)
    if mass.shape not in ((), (neurons,)):
        raise refusal("mass", f"shape {mass.shape}", f"a number or ({neurons},)")
    if mass.min() <= 0:
        raise refusal("mass", f"{mass.min():g}", "numbers above 0, or None for neurons without mass")
    return np.broadcast_to(mass, neurons)


class _Reserve:
    """The bytes allocated on the disk for an open file that grows.

    An HDF5 file whose writing fails half way (a full disk) is lost: measured, it neither closes nor reopens. So
    the room for the next frames is allocated first; if that fails, the file is still whole and closes with what
    it holds. `datasets` are those that grow with the frames, of which `frames` are stored so far.
    """

    def __init__(self, path, file, datasets, frames):
        self._path, self._disk = path, file.disk
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
        if not hasattr(os, "posix_fallocate") and shutil.disk_usage(self._path.parent).free < target - self._until:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self._disk.reserve(target)
        self._until = target


def _bytes_per_chunk_row(data):
    """Bytes of all chunks that begin with the same frame."""
    chunks = math.prod(-(-size // chunk) for size, chunk in zip(data.shape[1:], data.chunks[1:], strict=True))
    return chunks * (math.prod(data.chunks) * data.dtype.itemsize + _PER_CHUNK)
