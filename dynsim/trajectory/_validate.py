"""Whether a trajectory file is sound: all of it is read once, in blocks."""

from pathlib import Path

import h5py
import numpy as np

from dynsim._check import as_callable
from dynsim.trajectory import _layout
from dynsim.trajectory._checkpoint import load_checkpoint
from dynsim.trajectory._open import DAMAGE, damaged
from dynsim.trajectory._reader import Trajectory
from dynsim.trajectory._run import checkpoint_of

BLOCK_BYTES = 64 * 2**20


def validate(path, progress=None):
    """Read a whole trajectory; returns a list of findings, each a sentence, empty if it is sound in every respect.

    What a kill leaves behind (datasets of unequal length) and numbers that are not finite are findings; what makes the
    file unreadable raises, as `Trajectory` does. `progress` is called with (frames read, frames in all); a frame counts
    once for each of places, R and E.

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
    with Trajectory(path) as trajectory:
        findings += _lengths(path, trajectory)
        if not trajectory.frames:
            findings.append("it holds no frames")
        falls = np.flatnonzero(~(np.diff(trajectory.time) > 0))
        if len(falls):
            findings.append(f"time: it does not increase after frame {falls[0]}")
        parts = [("places", trajectory.q), ("R", trajectory.R), ("E", trajectory.E)]
        parts = [(name, data) for name, data in parts if data is not None]
        for number, (name, data) in enumerate(parts):

            def tell(frames, before=number * trajectory.frames):
                if progress is not None:
                    progress(before + frames, len(parts) * trajectory.frames)

            findings += _finite(path, name, data, trajectory.frames, tell)
        findings += _outcome(trajectory) + _configuration(trajectory)
    if checkpoint_of(path).exists():
        try:
            load_checkpoint(checkpoint_of(path))
        except (OSError, ValueError) as error:
            findings.append(f"checkpoint: {error}")
    return findings


def _lengths(path, trajectory):
    with h5py.File(path, "r") as file:
        longest = max(file[key].shape[0] for key in (_layout.STEP, _layout.TIME, _layout.PLACES))
    if longest > trajectory.frames:
        return [f"frames: {longest - trajectory.frames} behind the last whole one were cut off when its writer ended"]
    return []


def _finite(path, name, data, frames, tell):
    bad, first = 0, None
    rows = max(1, BLOCK_BYTES // max(1, 8 * int(np.prod(data.shape[1:]))))
    for start in range(0, frames, rows):
        try:
            block = data[start : min(frames, start + rows)]
        except DAMAGE as error:
            raise damaged(path, error) from error
        wrong = np.flatnonzero(~np.isfinite(block.reshape(len(block), -1)).all(axis=1))
        bad += len(wrong)
        if first is None and len(wrong):
            first = start + int(wrong[0])
        tell(min(frames, start + rows))
    return [f"{name}: frame {first} is the first of {bad} with numbers that are not finite"] if bad else []


def _outcome(trajectory):
    outcome = trajectory.provenance.get("outcome")
    if trajectory.signals is None:  # a training's places
        return []
    if outcome is None:
        return ["outcome: none; the run did not end by itself, `dynsim resume` goes on with it"]
    return [] if outcome.get("status", 0) >= 0 else [f"outcome: {outcome.get('message')}"]


def _configuration(trajectory):
    config = trajectory.parameters.get("config")
    if config is None:
        return []
    from dynsim.engine import configure

    try:
        system = configure(config).system
    except (ValueError, TypeError) as error:
        return [f"configuration: {error}"]
    made = (system.neurons, system.dimension, system.copies)
    stored = (trajectory.neurons, trajectory.dimension, trajectory.copies)
    return [] if made == stored else [f"configuration: it makes {made} neurons, axes and copies; the file has {stored}"]
