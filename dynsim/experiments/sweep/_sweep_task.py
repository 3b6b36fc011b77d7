"""One simulation of a sweep: a trajectory file that is finished or goes on, and what it came to."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from dynsim import engine, trajectory
from dynsim.errors import DataError, FileError

from .._stored_result import StoredTask

OUTCOMES = {0: "finished", 1: "event", 2: "stopped", -1: "failed", -2: "diverged"}
COUNTED = ("steps", "rejected", "evaluations", "seconds")  # empty for a run that was interrupted
SEEN = ("R_rms", "E_rms", "R_largest", "E_largest", "spread", "entropy")  # of the last frame
COLUMNS = ("t", *SEEN, "gain", *COUNTED, "frames")
CHECKPOINT_SECONDS = 30.0
RUN = "run.h5"


@dataclass(frozen=True)
class SweepTask(StoredTask):
    """A configuration, the values in it that are varied, and its number in the sweep."""

    number: int
    values: dict
    seed: int
    config: dict
    kind: str = "simulation"

    needed = frozenset(("outcome", "status", "t"))

    @property
    def name(self) -> str:
        """Name of its folder."""
        return f"run{self.number:05d}"

    @property
    def file(self) -> str:
        """Its trajectory, in the folder of the sweep."""
        return f"runs/{self.name}/{RUN}"

    def run(self, folder: str | Path, data_dir: str | Path | None = None, *, progress: Callable | None = None) -> dict:
        """Simulate into run.h5 in its folder, or go on from the last checkpoint there; returns the row of the table.

        `progress(t, start, end)` is called after every step; if it returns true, the run stops at a checkpoint and
        KeyboardInterrupt is raised. Raises FileExistsError where there is a run of another configuration.
        """
        path = self.place(folder) / RUN
        ready = engine.configure(self.config)
        start, end = ready.span
        stopped = []

        def after_step(t, *_):
            if progress is not None and progress(float(t), start, end):
                stopped.append(t)

        options = {"checkpoint_seconds": CHECKPOINT_SECONDS, "callback": after_step, "stop": lambda: bool(stopped)}
        stored = _stored(path)
        if stored is not None and stored.config != ready.config:
            do = "give another folder, or --overwrite to replace that sweep"
            raise FileExistsError(f"{path} is a run of another sweep, with other values; {do}.")
        if stored is not None and stored.unfinished:
            # How many steps there were before the interruption is not known any more.
            return self.store(folder, _row(trajectory.resume(path, **options), path) | dict.fromkeys(COUNTED))
        solution = trajectory.run(
            ready.system, ready.span, path=path, parameters={"config": ready.config}, observables=ready.observables,
            overwrite=True, **{**options, **ready.options, "seed": ready.seed},
        )  # fmt: skip
        return self.store(folder, _row(solution, path))


class _Stored(NamedTuple):
    config: dict
    unfinished: bool  # it can go on


def _stored(path):
    """The run that is there, or None where there is none that can be read."""
    try:
        with trajectory.Trajectory(path) as file:
            return _Stored(file.parameters.get("config"), not file.provenance.get("outcome"))
    except (FileNotFoundError, DataError, FileError):
        return None


def _row(solution, path):
    """What a run came to: its outcome and `COLUMNS`, signals and places being those of its last frame."""
    found = {
        "outcome": OUTCOMES[solution.status],
        "status": solution.status,
        "message": solution.message,
        "t": float(solution.t[-1]),
        **engine.observe(SEEN, *(values[-1] for values in (solution.q, solution.R, solution.E))),
        "gain": float(solution.echo_gain),
        "steps": solution.naccepted,
        "rejected": solution.nrejected,
        "evaluations": solution.nfev,
        "seconds": round(solution.wall_time, 4),
    }
    with trajectory.Trajectory(path) as file:
        return {**found, "frames": file.frames}
