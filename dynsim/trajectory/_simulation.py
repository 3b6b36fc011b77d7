"""Run the engine into a file, and go on with a run that was stopped."""

from __future__ import annotations

import os
import time as clock
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt

from dynsim._check import as_callable, as_count, as_flag, as_float_type, as_instance, as_number, as_table
from dynsim._files import expect_claim, expect_output, to_json
from dynsim._ranks import by_all_ranks, world
from dynsim.engine import (
    EveryStep,
    Solution,
    System,
    Tableau,
    Times,
    expect_observables,
    expect_span,
    neuron_masses,
    observe,
)
from dynsim.engine import solve as engine_solve

from ._checkpoint import checkpoint_of, previous_of, remove_checkpoint, save_checkpoint
from ._reader import Trajectory
from ._run_progress import ProgressWriter, progress_of
from ._stored_frames import StoredFrames
from ._stored_run import to_go_on
from ._stored_system import describe_system
from ._writer import TrajectoryWriter


def solve(
    system: System,
    span: npt.ArrayLike,
    *,
    method: str | Tableau = "dopri5",
    path: str | os.PathLike | None = None,
    **options,
) -> Solution:
    """Integrate equations (1) to (3) from span[0] to span[1], into the H5MD file `path` if one is given.

    `options` are those of `dynsim.engine.solve` and, with a path, those of `run`; the seed of noise is `seed` in both.
    Returns its Solution.

    >>> import numpy as np, dynsim
    >>> system = dynsim.System(np.array([[1.0]]), operators=dynsim.Operators(F=-1.0))
    >>> bool(abs(solve(system, (0.0, 1.0)).q[-1, 0, 0] - np.exp(-1)) < 1e-5)
    True
    """
    if path is not None:
        return run(system, span, path=path, method=method, **options)
    return engine_solve(system, span, method=method, **options)


@by_all_ranks
def run(
    system: System,
    span: npt.ArrayLike,
    *,
    path: str | os.PathLike,
    parameters: dict | None = None,
    seed: int | None = None,
    overwrite: bool = False,
    method: str = "dopri5",
    dtype: npt.DTypeLike = "float64",
    observables: Sequence[str] = (),
    buffer: int = 64,
    flush_seconds: float = 2.0,
    checkpoint_seconds: float | None = None,
    progress_seconds: float | None = None,
    stop: Callable[[], bool] | None = None,
    provenance: dict | None = None,
    sink: Callable | None = None,
    **options,
) -> Solution:
    """Integrate a system and stream every recorded frame to `path`; returns the engine's Solution.

    The file is made with the first frame or step, so options that the engine refuses leave an old file, its checkpoints
    and its progress as they were. `parameters` is the configuration to store; what the call itself says (method, span,
    kernel, delay) is added, and after the run its outcome (status, message, steps, echo gain). Without a configuration
    (`parameters["config"]`) the operators and strengths are stored, too, where they are at most 100,000 numbers.
    `observables` are names of numbers that are written with every frame, of `dynsim.engine.OBSERVABLES`.
    `seed` is stored as that of the random places, and where there is a temperature it is the seed of the noise, too.
    `sink(t, q, R, E)` is called as well, for neurons with mass `sink(t, q, R, E, velocity)`; their velocities are in
    the file. `options` go to the engine. With `checkpoint_seconds`, all that the rest of
    the run depends on is written to `path` + ".checkpoint" as often as that, and shortly before the end; checkpoints of
    an earlier run there are removed. With `progress_seconds`, how far it is goes to `path` + ".progress" as often as
    that, for `dynsim watch`. `stop()` is asked after every step; if true, a checkpoint is written and KeyboardInterrupt
    raised. Raises FileExistsError if `path` exists and `overwrite` is false, other OSErrors for a folder that cannot be
    written or a file that is open elsewhere; otherwise as `dynsim.engine.solve`. Whatever ends the run, the frames
    before it are in the file. Under `mpiexec` every rank calls it; rank 0 writes and asks `stop`.

    >>> import tempfile, os, numpy as np, dynsim
    >>> path = os.path.join(tempfile.mkdtemp(), "run.h5")
    >>> system = dynsim.System(np.array([[1.0]]), operators=dynsim.Operators(F=-1.0))
    >>> solution = run(system, (0.0, 1.0), path=path, t_eval=[0.0, 0.5, 1.0])
    >>> from dynsim.trajectory import Trajectory
    >>> Trajectory(path).time.tolist()
    [0.0, 0.5, 1.0]
    """
    as_instance(system, System, "system")
    path, overwrite = Path(path), as_flag(overwrite, "overwrite")
    seed = None if seed is None else as_count(seed, "seed", minimum=0)
    as_float_type(dtype, "dtype")
    as_count(buffer, "buffer")
    as_callable(sink, "sink")
    observables = expect_observables(observables, system=system)
    stream = _Stream(path, sink, flush_seconds, checkpoint_seconds, progress_seconds, stop)
    expect_span(span)
    backend = (system if options.get("backend") is None else system.on(options["backend"])).backend
    stored = {**_describe(system, span, method, options), **as_table(parameters, "parameters")}
    provenance = {"backend": backend.name, **as_table(provenance, "provenance")}
    if "config" not in stored:  # from which the system can be made again
        provenance["system"] = describe_system(system)
    to_json([stored, provenance])
    world().told(partial(expect_claim, path, overwrite))
    stream.origin = {"parameters": to_json(stored), "seed": seed, "dtype": str(np.dtype(dtype))}
    mass = neuron_masses(system)
    if seed is not None and system.warm:
        options["seed"] = seed

    def make():
        writer = TrajectoryWriter(
            path,
            neurons=system.neurons,
            dimension=system.dimension,
            copies=system.copies,
            signals=system.signals,
            groups=system.groups,
            parameters=stored,
            seed=seed,
            buffer=buffer,
            flush_seconds=flush_seconds,
            observables=observables,
            overwrite=overwrite,
            dtype=dtype,
            provenance=provenance,
            mass=mass if mass.any() else None,
        )
        remove_checkpoint(checkpoint_of(path))
        return writer

    return stream.run(system, span, method, options, make)


@by_all_ranks
def resume(
    path: str | os.PathLike,
    until: float | None = None,
    *,
    flush_seconds: float = 2.0,
    checkpoint_seconds: float = 30.0,
    progress_seconds: float | None = None,
    stop: Callable[[], bool] | None = None,
    sink: Callable | None = None,
    **options,
) -> Solution:
    """Go on with a run that `dynsim simulate` (or `run` with a configuration among its parameters) began.

    The run goes on from its last checkpoint, to its end or to `until`, and the file becomes bit for bit what one run
    would have made. Without a checkpoint it begins anew; also where the file is lost or unreadable and a checkpoint
    says how it was made, and where frames before the checkpoint are damaged. Returns the engine's Solution. Raises as
    `Trajectory` and `load_checkpoint`, DataError if the file holds no configuration or the checkpoint belongs to
    another run, ValueError if there is nothing left to do, or if no run to `until` would have made what is there: where
    it lies before the end that the run has, or evenly spaced frames do not meet it.
    """
    path = Path(path)
    as_callable(sink, "sink")
    stream = _Stream(path, sink, flush_seconds, checkpoint_seconds, progress_seconds, stop, again=True)
    until = None if until is None else as_number(until, "until")
    begun, ready, parameters, checkpoint = world().told(partial(to_go_on, path, until, options))
    engine = {**ready.options, **options}
    engine.pop("seed", None)  # that of the state, or of the file
    method = engine.pop("method", "dopri5")
    if checkpoint is None:
        return run(
            ready.system, ready.span, path=path, parameters=parameters, seed=begun["seed"], overwrite=True,
            method=method, dtype=begun["dtype"], observables=begun["observables"], sink=sink,
            flush_seconds=flush_seconds,
            checkpoint_seconds=checkpoint_seconds, progress_seconds=progress_seconds, stop=stop, **engine,
        )  # fmt: skip
    kept, record = checkpoint["frames"], engine.get("record", EveryStep())
    if isinstance(record, Times):
        engine["record"] = Times(record.times[kept:])
    elif isinstance(record, EveryStep):  # the frame at the end of the span is not one of a longer run
        kept = min(kept, 1 + checkpoint["state"]["recorded"] // record.n)

    stream.origin = {"parameters": to_json(parameters), "seed": begun["seed"], "dtype": begun["dtype"]}
    stream.free = checkpoint.get("until") is None

    def append():
        writer = TrajectoryWriter.append(path, after_step=kept - 1, run=begun["run"], flush_seconds=flush_seconds)
        writer.record("outcome", {})  # the earlier one is not this run's, should it be stopped
        if until is not None:
            writer.record("configuration", parameters)
        return writer

    return stream.run(ready.system, ready.span, method, {**engine, "resume": checkpoint["state"]}, append)


class _Stream:
    """Frames and checkpoints of one run on their way to the disk; of several ranks, rank 0 has a writer."""

    def __init__(self, path, sink, flush_seconds, seconds, progress_seconds, stop, again=False):
        self.path, self.sink = path, sink
        as_number(flush_seconds, "flush_seconds", minimum=0)
        self.seconds = None if seconds is None else as_number(seconds, "checkpoint_seconds", minimum=0)
        self.progress_seconds, self.again, self.progress = progress_seconds, again, None
        if progress_seconds is not None:
            as_number(progress_seconds, "progress_seconds", minimum=0)
        self.stop = as_callable(stop, "stop")
        self.ranks, self.begun = world(), False
        self.writer, self.last = None, clock.monotonic()
        # Whether a state was met from which on this run is another one than a longer one; whether the last that was
        # kept is also one of a longer run.
        self.bound, self.free = False, True
        self.origin = {}  # what a run needs to begin anew, should its file be lost

    def run(self, system, span, method, options, make):
        """Integrate; `make()` gives the writer, once the engine has accepted everything."""
        self.ranks.told(self._expect_outputs)
        if not (self.seconds is None and self.progress_seconds is None and self.stop is None):
            options = {**options, "checkpoint": self.checkpoint}
        self.made_of, done = (system, span, make), False
        try:
            solution = engine_solve(system, span, method=method, sink=self.write, **options)
            self.begin()  # where there was neither a frame nor a step
            if self.ranks.first:
                self.writer.record("outcome", _outcome(solution))
            if self.progress is not None:
                self.progress.end(solution, self._frames())
            solution.path, done = self.path, True
            return solution
        except BaseException as error:
            if self.progress is not None:
                interrupted = isinstance(error, KeyboardInterrupt)
                self.progress.stopped("Interrupted." if interrupted else str(error) or type(error).__name__)
            raise
        finally:
            if self.writer is not None:
                self.writer.close()
            if done and not options.get("keep"):
                frames = self.ranks.told(partial(_stored, self.path, system))
                solution.t, solution.q, solution.R, solution.E, solution.velocity = frames

    def _expect_outputs(self):
        for output in (checkpoint_of(self.path), previous_of(checkpoint_of(self.path)), progress_of(self.path)):
            expect_output(output)

    def begin(self):
        """With the first frame or step: now the engine has refused nothing, and the output may be touched."""
        if not self.begun:
            self.begun = True
            self.ranks.told(self._make)
            if self.progress_seconds is not None:
                self.progress = ProgressWriter(self.path, *self.made_of[:2], self.progress_seconds, self.again)

    def _make(self):
        self.writer = self.made_of[2]()
        if self.progress_seconds is None:
            progress_of(self.path).unlink(missing_ok=True)  # an earlier run's is not this one's

    def _frames(self):
        return self.writer.frames if self.ranks.first else 0

    def write(self, t, q, R, E, *velocity):
        """Take a frame from the engine; velocities are those of neurons with mass."""
        self.begin()
        if self.ranks.first:
            numbers = self._observed(q, R, E, *velocity)
            self.writer.write(self.writer.frames, t, q, R, E, *velocity, **numbers)
        if self.sink is not None:
            self.sink(t, q, R, E, *velocity)

    def _observed(self, q, R, E, velocity=None):
        return observe(self.writer.observables, q, R, E, system=self.made_of[0], velocity=velocity)

    def checkpoint(self, t, state, bound):
        """After every step: the last state that does not depend on where the span ends is kept, and later ones beside.

        That end may be moved later on, which the run can follow from the former only; a run that is stopped goes on
        from the latter to the same end.
        """
        self.begin()
        if self.progress is not None:
            self.progress.step(t, state, self._frames())
        stopping = self.stop is not None and self.ranks.asked(lambda: bool(self.stop())) > 0
        last_free = bound and not self.bound
        due = self.seconds is not None and (last_free or clock.monotonic() - self.last >= self.seconds)
        if self.ranks.first and (due or stopping):
            self.writer.flush()  # frames first: a checkpoint is never ahead of its file
            content = {"frames": self.writer.frames, "state": state(), **self.origin}
            free = content["state"]["free"]
            content["until"] = None if free else float(self.made_of[1][1])
            path, run = checkpoint_of(self.path), self.writer.identity
            save_checkpoint(path, content, run=run, keep_previous=free or self.free)
            self.last, self.free = clock.monotonic(), free
        self.bound = self.bound or bound
        if stopping:
            raise KeyboardInterrupt


def _describe(system, span, method, options):
    """What the call itself says about the run; arrays and functions are left to the caller's parameters."""
    stored = {"method": str(method), "span": [float(t) for t in span]}
    stored |= {"kernel": system.kernel.to_dict(), "delay": np.asarray(system.delay, dtype=float).tolist()}
    if system.speed is not None:
        stored["speed"] = system.speed
    if system.accuracy is not None:
        stored["accuracy"] = system.accuracy
    for name, value in options.items():
        if isinstance(value, int | float | str | np.number):
            stored[name] = value
    return stored


def _stored(path, system):
    """t, q, R, E and velocities (or None) of all frames of a file, where the last one only was kept in memory."""
    places, signals = system.q.shape, (system.neurons, system.signals)
    with Trajectory(path) as trajectory:
        shapes = {"q": places, "R": signals, "E": signals, "velocity": places}
        names = [name for name in shapes if getattr(trajectory, name) is not None]
        frames = {name: StoredFrames(trajectory, name, shapes[name]) for name in names}
        return trajectory.time, *(frames.get(name) for name in shapes)


def _outcome(solution):
    names = ("status", "message", "nfev", "naccepted", "nrejected", "echo_gain", "wall_time")
    return {name: getattr(solution, name) for name in names}
