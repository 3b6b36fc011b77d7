"""Whether a trajectory file is sound: all of it is read once, in blocks."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np

from dynsim._check import as_callable
from dynsim._files import DAMAGE, damaged

from ._checkpoint import checkpoint_of, load_checkpoint
from ._reader import Trajectory

BLOCK_BYTES = 64 * 2**20


def validate(path: str | os.PathLike, progress: Callable | None = None) -> list[str]:
    """Read a whole trajectory; returns a list of findings, each a sentence, empty if it is sound in every respect.

    What a kill leaves behind (datasets of unequal length) and numbers that are not finite are findings; what makes the
    file unreadable raises, as `Trajectory` does. `progress(done, total)` counts a frame once for each of places, R and
    E; if it returns true, the reading ends there, which is a finding, too.

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
        cut = trajectory._longest - trajectory.frames
        if cut:
            findings.append(f"frames: {cut} behind the last whole one were cut off when its writer ended")
        if not trajectory.frames:
            findings.append("it holds no frames")
        falls = np.flatnonzero(~(np.diff(trajectory.time) > 0))
        if len(falls):
            findings.append(f"time: it does not increase after frame {falls[0]}")
        parts = [("places", trajectory.q), ("R", trajectory.R), ("E", trajectory.E)]
        parts = [(name, data) for name, data in parts if data is not None]
        total, identity = len(parts) * trajectory.frames, trajectory.identity
        for number, (name, data) in enumerate(parts):
            bad = []
            for done, wrong in _not_finite(path, data):
                bad += wrong
                if progress is not None and progress(number * trajectory.frames + done, total):
                    return [*findings, f"{name}: only {done} of {trajectory.frames} frames were read"]
            if bad:
                findings.append(f"{name}: frame {bad[0]} is the first of {len(bad)} with numbers that are not finite")
        findings += _outcome(trajectory) + _configuration(trajectory)
    if checkpoint_of(path).exists():
        try:
            load_checkpoint(checkpoint_of(path), run=identity or "")
        except (OSError, ValueError) as error:
            findings.append(f"checkpoint: {error}")
    return findings


def _not_finite(path, data):
    """After every block, how many frames were read and which of its frames are not finite."""
    rows = max(1, BLOCK_BYTES // max(1, 8 * int(np.prod(data.shape[1:]))))
    for start in range(0, len(data), rows):
        try:
            block = data[start : start + rows]
        except DAMAGE as error:
            raise damaged(path, error) from error
        wrong = np.flatnonzero(~np.isfinite(block.reshape(len(block), -1)).all(axis=1))
        yield min(len(data), start + rows), (start + wrong).tolist()


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
