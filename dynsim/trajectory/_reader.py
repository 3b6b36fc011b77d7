"""Read trajectories lazily; nothing in the file is believed before it is checked."""

import json
from pathlib import Path

import h5py
import numpy as np

from dynsim.errors import DataError, FileError
from dynsim.trajectory import _layout
from dynsim.trajectory._frames import Frames
from dynsim.trajectory._open import (
    DAMAGE,
    damaged,
    dataset,
    hard_links_only,
    open_hdf5,
    stored_frames,
    string,
)


def open_trajectory(path):
    """Open a trajectory file; the same as `Trajectory(path)`.

    >>> open_trajectory("nowhere.h5")
    Traceback (most recent call last):
    ...
    FileNotFoundError: nowhere.h5 does not exist; give the path of a file that dynsim wrote
    """
    return Trajectory(path)


class Trajectory:
    """A trajectory file, open for reading.

    Attributes: `neurons` N, `dimension` d, `copies` H, `signals` s or None, `frames` T; `step` and `time`
    (T,); `q` (T, H*N, d), `R` and `E` (T, N, s) or None, read from disk as they are sliced; `groups` (H*N,);
    `observables`, a dictionary of arrays (T,); `parameters`, the resolved configuration; `seed`;
    `provenance`, the versions, commit, threads, dtype, backend and the outcome of the run. All dimensionless.
    A killed run can leave datasets of unequal length: all are cut to the last step that every one of them
    has.

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

    def __init__(self, path):
        self.path = Path(path)
        self._file = open_hdf5(self.path)
        try:
            self._read_sizes()
            self._read_frames()
            self._read_parameters()
        except (DataError, FileError):
            self.close()
            raise
        except DAMAGE as error:
            self.close()
            raise damaged(self.path, error) from error

    def _read_sizes(self):
        kind = string(self._file.attrs.get("dynsim"))
        if "h5md" not in self._file or kind != "trajectory":
            what = "a dynsim model" if kind == "model" else "a file of another program"
            raise DataError(f"{self.path} is {what}; give a trajectory that dynsim wrote")
        sizes = hard_links_only(self._file, _layout.NATIVE).attrs
        self.neurons, self.dimension = int(sizes["neurons"]), int(sizes["dimension"])
        self.copies = int(sizes["copies"])
        self.signals = int(sizes["signals"]) if "signals" in sizes else None
        given = (self.neurons, self.dimension, self.copies, 1 if self.signals is None else self.signals)
        if min(given) < 1:
            raise FileError(f"{self.path} claims sizes {given}, expected 1 or more of each; it is damaged")

    def _read_frames(self):
        file, particles = self._file, self.neurons * self.copies
        step, time = dataset(file, _layout.STEP, (None,), "i"), dataset(file, _layout.TIME, (None,))
        places = dataset(file, _layout.PLACES, (None, particles, self.dimension))
        view = dataset(file, _layout.VIEW_PLACES, (None, particles, 3))
        signals = []
        if self.signals is not None:
            shape = (None, self.neurons, self.signals)
            signals = [dataset(file, key, shape) for key in (_layout.RECEIVED, _layout.EMITTED)]
        observed = {
            name: dataset(file, _layout.observable(name), (None,))
            for name in hard_links_only(file, _layout.OBSERVABLES)
        }
        common = min(stored_frames(data) for data in [step, time, places, view, *signals, *observed.values()])
        self.frames = _increasing(step[:common])
        self.step, self.time = step[: self.frames], time[: self.frames]
        self.q = Frames(places, self.frames)
        self.R, self.E = (Frames(data, self.frames) for data in signals) if signals else (None, None)
        self.observables = {name: data[: self.frames] for name, data in observed.items()}
        self.groups = dataset(file, _layout.GROUPS, (particles,), "i")[()]

    def _read_parameters(self):
        group = hard_links_only(self._file, _layout.PARAMETERS)
        records = {}
        for name in group:
            found = hard_links_only(self._file, f"{_layout.PARAMETERS}/{name}")
            if not isinstance(found, h5py.Dataset) or found.shape != ():
                raise FileError(f"{self.path} has no readable parameter {name}; it is damaged")
            records[name] = json.loads(found.asstr()[()])
        self.parameters = records.pop(_layout.CONFIGURATION)
        if not isinstance(self.parameters, dict):
            raise FileError(f"{self.path} has a configuration that is not a dictionary; it is damaged")
        self.seed = records.pop("seed", None)
        self.provenance = records

    def places(self, frames=None, neurons=None):
        """Places (T', P, d) of the frames of a slice (None: all) and of the particles `neurons` (None: all).

        `neurons` are indices of the particle axis: copy h of neuron n is h * N + n.
        """
        return self.q.read(frames, neurons)

    def plot(self, kind="trajectories", output=None, **options):
        """Draw a figure, as `dynsim.plots.plot`; returns the matplotlib Figure."""
        import dynsim  # the top of the house knows where figures are drawn

        return dynsim.plots.plot(self, kind, output, **options)

    def close(self):
        """Close the file; q, R and E cannot be read afterwards, the rest stays."""
        self._file.close()

    def __enter__(self):
        return self

    def __exit__(self, *raised):
        self.close()

    def __repr__(self):
        copies = f", {self.copies} copies" if self.copies > 1 else ""
        return (
            f"<Trajectory {self.path}: {self.neurons} neurons, {self.dimension} dimensions{copies}, "
            f"{self.frames} frames>"
        )


def _increasing(step):
    """How many leading steps increase; a tail that was sized but never written holds zeros."""
    falls = np.flatnonzero(np.diff(step) <= 0)
    return int(falls[0]) + 1 if len(falls) else len(step)
