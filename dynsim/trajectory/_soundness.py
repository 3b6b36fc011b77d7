"""Whether a trajectory file is sound: all of it is read once, in blocks."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np

from dynsim._check import as_callable
from dynsim._files import DAMAGE, damaged, expect_sealed, open_hdf5
from dynsim.errors import FileError

from ._checkpoint import checkpoint_of, previous_of, read_checkpoint
from ._reader import Trajectory

BLOCK_BYTES = 64 * 2**20


def validate(path: str | os.PathLike, progress: Callable | None = None) -> list[str]:
    """Read a whole trajectory; returns a list of findings, each a sentence, empty if it is sound in every respect.

    What a kill leaves behind (datasets of unequal length), frames that do not agree with their checksums and numbers
    that are not finite are findings; what makes the file unreadable raises, as `Trajectory` does. `progress(done,
    total)` counts a frame once for each of places, velocities, their views, R and E; if it returns true, the reading
    ends there, which is a finding, too.

    >>> import tempfile, os
    >>> from dynsim.trajectory import TrajectoryWriter
    >>> path = os.path.join(tempfile.mkdtemp(), "run.h5")
    >>> with TrajectoryWriter(path, neurons=1, dimension=3) as writer:
    ...     writer.write(0, 0.0, [[1.0, np.nan, 0.0]])
    >>> validate(path)
    ['places: frame 0 is the first of 1 with numbers that are not finite']
    """
    path, progress = Path(path), as_callable(progress, "progress")
    findings = []
    trajectory = Trajectory.__new__(Trajectory)
    trajectory._read(path, open_hdf5(path))  # without the warning of what is found here
    with trajectory:
        cut = trajectory._longest - trajectory.frames
        if trajectory._damage is not None:
            findings.append(trajectory._damage)
        elif cut:
            findings.append(f"frames: {cut} behind the last whole one were cut off when its writer ended")
        if not trajectory.frames:
            findings.append("it holds no frames")
        falls = np.flatnonzero(~(np.diff(trajectory.time) > 0))
        if len(falls):
            findings.append(f"time: it does not increase after frame {falls[0]}")
        parts = {
            "places": trajectory.q,
            "view": trajectory._view,
            "velocities": trajectory.velocity,
            "view of velocities": trajectory._velocity_view,
            "R": trajectory.R,
            "E": trajectory.E,
        }
        parts = [(name, data) for name, data in parts.items() if data is not None]
        total, identity = len(parts) * trajectory.frames, trajectory.identity
        for number, (name, data) in enumerate(parts):
            bad = []
            for done, wrong, damage in _scan(data):
                findings += [f"{name}: frames {a} to {b - 1} are damaged, their checksum is wrong" for a, b in damage]
                bad += wrong
                if progress is not None and progress(number * trajectory.frames + done, total):
                    return [*findings, f"{name}: only {done} of {trajectory.frames} frames were read"]
            if bad and not name.startswith("view"):
                findings.append(f"{name}: frame {bad[0]} is the first of {len(bad)} with numbers that are not finite")
        findings += _unlike_their_digests(trajectory._file) + _outcome(trajectory) + _configuration(trajectory)
    for checkpoint in (checkpoint_of(path), previous_of(checkpoint_of(path))):
        if checkpoint.exists():
            try:
                read_checkpoint(checkpoint, identity or "")
            except (OSError, ValueError) as error:
                findings.append(f"checkpoint: {error}")
    return findings


def _scan(data):
    """After every block: how many frames were read, which of its frames are not finite, which ranges are damaged."""
    length = data.chunk_length
    size = max(length, BLOCK_BYTES // max(1, 8 * int(np.prod(data.shape[1:]))) // length * length)
    for start in range(0, len(data), size):
        stop = min(len(data), start + size)
        try:
            block = data[start:stop]
        except FileError:
            yield stop, [], data.damaged_rows(start, stop)
            continue
        wrong = np.flatnonzero(~np.isfinite(block.reshape(len(block), -1)).all(axis=1))
        yield stop, (start + wrong).tolist(), []


def _unlike_their_digests(file):
    """What no reader asks for, as the author's name."""
    found = []

    def look(_, item):
        try:
            expect_sealed(item)
        except FileError as error:
            found.append(str(error))

    try:
        file.visititems(look)
    except DAMAGE as error:  # in what HDF5 notes of its groups, of which readers need a part only
        found.append(str(damaged(file.filename, error)))
    return found


def _outcome(trajectory):
    outcome = trajectory.provenance.get("outcome")
    if trajectory.signals is None:  # a training's places
        return []
    if not outcome:
        return ["outcome: none; the run did not end by itself, `dynsim resume` goes on with it"]
    status = outcome.get("status", 0)
    return [] if isinstance(status, int) and status >= 0 else [f"outcome: {outcome.get('message')}"]


def _configuration(trajectory):
    config = trajectory.parameters.get("config")
    if config is None:
        return []
    from dynsim.engine import configure

    try:
        configure(config, like=trajectory)
    except (ValueError, TypeError) as error:
        return [f"configuration: {error}"]
    return []
