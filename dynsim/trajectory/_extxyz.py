"""Trajectories for other programs: extended XYZ, a text that OVITO, ASE and many more read."""

from __future__ import annotations

import os
from collections.abc import Callable

import numpy as np

from dynsim._check import as_callable, as_flag
from dynsim._files import expect_output, replacing

from ._layout import three_coordinates
from ._reader import Trajectory


def to_extxyz(
    path: str | os.PathLike, output: str | os.PathLike, *, overwrite: bool = False, progress: Callable | None = None
) -> int:
    """Write a trajectory as extended XYZ, frame by frame; returns the number of frames.

    Columns: species X, the first three coordinates (zero padded), group, with more than three dimensions all of them
    (q), and with signals E and R of the neuron. Of neurons with mass there are velocities (velo, the first three
    coordinates, which OVITO reads, and with more than three dimensions all of them, velocity), masses and momenta, from
    which ASE has velocities. The line above them holds step and time. `progress(done, total)`, of
    frames, is called after every frame; if it returns true, the file ends there. Raises as `Trajectory`, and OSErrors
    for an output that cannot be written.

    >>> import tempfile
    >>> from pathlib import Path
    >>> from dynsim.trajectory import TrajectoryWriter
    >>> folder = Path(tempfile.mkdtemp())
    >>> with TrajectoryWriter(folder / "run.h5", neurons=1, dimension=2) as writer:
    ...     writer.write(0, 0.5, [[1.0, 2.0]])
    >>> to_extxyz(folder / "run.h5", folder / "run.xyz")
    1
    >>> print((folder / "run.xyz").read_text().splitlines()[2])
    X 1.0 2.0 0.0 0
    """
    as_callable(progress, "progress")
    output = expect_output(output, as_flag(overwrite, "overwrite"), source=path)
    with Trajectory(path) as trajectory, replacing(output, overwrite=overwrite) as temporary:
        done = 0
        with temporary.open("w", encoding="utf-8") as file:
            for done in range(1, trajectory.frames + 1):
                _write(file, trajectory, done - 1)
                if progress is not None and progress(done, trajectory.frames):
                    break
    return done


def _write(file, trajectory, frame):
    q = trajectory.q[frame]
    columns, properties = [three_coordinates(q)], ["species:S:1", "pos:R:3", "group:I:1"]
    rest = []
    if q.shape[1] > 3:
        rest.append(q)
        properties.append(f"q:R:{q.shape[1]}")
    if trajectory.velocity is not None:
        velocity, mass = trajectory.velocity[frame], trajectory.mass[:, None]
        seen = three_coordinates(velocity)
        rest += [seen, mass, mass * seen]
        properties += ["velo:R:3", "masses:R:1", "momenta:R:3"]
        if q.shape[1] > 3:
            rest.append(velocity)
            properties.append(f"velocity:R:{q.shape[1]}")
    if trajectory.signals is not None:
        for name, data in (("E", trajectory.E), ("R", trajectory.R)):
            rest.append(np.tile(data[frame], (trajectory.copies, 1)))
            properties.append(f"{name}:R:{trajectory.signals}")
    file.write(f"{len(q)}\n")
    file.write(
        f"Properties={':'.join(properties)} step={trajectory.step[frame]} time={float(trajectory.time[frame])!r} "
        'pbc="F F F"\n'
    )
    numbers = np.concatenate([*columns, *rest], axis=1).tolist()
    for group, row in zip(trajectory.groups.tolist(), numbers, strict=True):
        texts = [repr(value) for value in row]
        file.write(" ".join(["X", *texts[:3], str(group), *texts[3:]]) + "\n")
