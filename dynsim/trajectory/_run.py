"""Run the engine into a file, and go on with a run that was stopped."""

import time as clock
from pathlib import Path

import numpy as np

from dynsim.errors import DataError
from dynsim.trajectory import _check
from dynsim.trajectory._checkpoint import load_checkpoint, save_checkpoint
from dynsim.trajectory._open import expect_new
from dynsim.trajectory._progress import ProgressWriter, progress_of
from dynsim.trajectory._writer import TrajectoryWriter


def solve(system, span, method="dopri5", *, path=None, **options):
    """Integrate equations (1) to (3) from span[0] to span[1], into the H5MD file `path` if one is given.

    `options` are those of `dynsim.engine.solve` and, with a path, those of `run`. Returns its Solution.

    >>> import numpy as np, dynsim
    >>> system = dynsim.System(np.array([[1.0]]), operators=dynsim.Operators(F=-1.0))
    >>> bool(abs(solve(system, (0.0, 1.0)).q[-1, 0, 0] - np.exp(-1)) < 1e-5)
    True
    """
    if path is not None:
        return run(system, span, path, method=method, **options)
    from dynsim.engine import solve as engine_solve

    return engine_solve(system, span, method, **options)


def run(
    system,
    span,
    path,
    parameters=None,
    seed=None,
    overwrite=False,
    *,
    method="dopri5",
    dtype="float64",
    buffer=64,
    flush_seconds=2.0,
    checkpoint_seconds=None,
    progress_seconds=None,
    stop=None,
    provenance=None,
    sink=None,
    **options,
):
    """Integrate a system and stream every recorded frame to `path`; returns the engine's Solution.

    The file is made with the first frame, so options that the engine refuses leave an old file as it was.
    `parameters` is the configuration to store; what the call itself says (method, span, kernel, delay) is
    added, and after the run its outcome (status, message, steps, echo gain). `sink(t, q, R, E)` is called as
    well; `options` go to the engine. With `checkpoint_seconds`, all that the rest of the run depends on is written
    to `path` + ".checkpoint" as often as that, and shortly before the end. With `progress_seconds`, how far it is goes
    to `path` + ".progress" as often as that, for `dynsim watch`. `stop()` is asked after every step; if true,
    a checkpoint is written and KeyboardInterrupt raised. Raises FileExistsError if `path` exists and `overwrite`
    is false, other OSErrors for a folder that cannot be written; otherwise as `dynsim.engine.solve`. Whatever
    ends the run, the frames before it are in the file.

    >>> import tempfile, os, numpy as np, dynsim
    >>> path = os.path.join(tempfile.mkdtemp(), "run.h5")
    >>> system = dynsim.System(np.array([[1.0]]), operators=dynsim.Operators(F=-1.0))
    >>> solution = run(system, (0.0, 1.0), path, t_eval=[0.0, 0.5, 1.0])
    >>> from dynsim.trajectory import Trajectory
    >>> Trajectory(path).time.tolist()
    [0.0, 0.5, 1.0]
    """
    path = Path(path)
    expect_new(path, _check.flag("overwrite", overwrite))
    _expect(seed, dtype, buffer, flush_seconds, checkpoint_seconds, stop, sink)
    _expect_progress(progress_seconds)
    parameters, provenance = _check.table("parameters", parameters), _check.table("provenance", provenance)
    if overwrite:
        for old in (checkpoint_of(path), Path(f"{checkpoint_of(path)}.previous")):
            old.unlink(missing_ok=True)
    from dynsim.engine._solve import expect_span
    from dynsim.kernels import find_backend

    expect_span(span)
    stored = {**_describe(system, span, method, options), **parameters}
    backend = getattr(system, "backend", None) if options.get("backend") is None else find_backend(options["backend"])
    provenance = {"backend": getattr(backend, "name", "numba"), **provenance}

    def make(q, R):
        return TrajectoryWriter(
            path,
            neurons=q.shape[-2],
            dimension=q.shape[-1],
            copies=q.shape[0] if q.ndim == 3 else 1,
            signals=None if R is None else np.shape(R)[-1],
            groups=getattr(system, "groups", None),
            parameters=stored,
            seed=seed,
            buffer=buffer,
            flush_seconds=flush_seconds,
            overwrite=overwrite,
            dtype=dtype,
            provenance=provenance,
        )

    stream = _Stream(path, make, sink, checkpoint_seconds, progress_seconds, stop)
    return stream.run(system, span, method, options)


def resume(
    path,
    until=None,
    *,
    flush_seconds=2.0,
    checkpoint_seconds=30.0,
    progress_seconds=None,
    stop=None,
    sink=None,
    **options,
):
    """Go on with a run that `dynsim simulate` (or `run` with a configuration among its parameters) began.

    The run goes on from its last checkpoint, to its end or to `until`, and the file becomes bit for bit what one run
    would have made; without a checkpoint it begins anew. Returns the engine's Solution. Raises as `Trajectory` and
    `load_checkpoint`, DataError if the file holds no configuration, ValueError if there is nothing left to do.
    """
    from dynsim.engine import EveryStep, Times, configure
    from dynsim.trajectory._reader import Trajectory

    _expect_progress(progress_seconds)
    path = Path(path)
    _expect(None, "float64", 1, flush_seconds, checkpoint_seconds, stop, sink)
    if until is not None:
        _check.seconds("until", abs(until) if isinstance(until, int | float) else until)
    with Trajectory(path) as trajectory:
        parameters, seed, frames = trajectory.parameters, trajectory.seed, trajectory.frames
    if not isinstance(parameters.get("config"), dict):
        raise DataError(f"{path} does not say how it was made; only runs of a configuration or a preset can go on")
    ready = configure(_prolonged(parameters["config"], until))
    engine = {**ready.options, **options}
    method = engine.pop("method", "dopri5")
    try:
        checkpoint = load_checkpoint(checkpoint_of(path))
    except FileNotFoundError:
        checkpoint = None
    if checkpoint is None or checkpoint["frames"] > frames:
        return run(
            ready.system, ready.span, path, parameters, seed, overwrite=True, method=method, sink=sink,
            flush_seconds=flush_seconds, checkpoint_seconds=checkpoint_seconds, progress_seconds=progress_seconds,
            stop=stop, **engine,
        )  # fmt: skip
    if not checkpoint["state"]["t"] < ready.span[1]:
        raise ValueError(f"{path} has reached t = {checkpoint['state']['t']:g}; give a later end with --until")
    kept, record = checkpoint["frames"], engine.get("record", EveryStep())
    if isinstance(record, Times):
        engine["record"] = Times(record.times[kept:])
    elif isinstance(record, EveryStep):  # the frame at the end of the span is not one of a longer run
        kept = min(kept, 1 + checkpoint["state"]["recorded"] // record.n)

    def append(q, R):
        return TrajectoryWriter.append(path, after_step=kept - 1, flush_seconds=flush_seconds)

    stream = _Stream(path, append, sink, checkpoint_seconds, progress_seconds, stop, again=True)
    stream.writer = append(None, None)
    if until is not None:
        stream.writer.record("configuration", {**parameters, "config": ready.config})
    return stream.run(ready.system, ready.span, method, {**engine, "resume": checkpoint["state"]})


def _expect(seed, dtype, buffer, flush_seconds, checkpoint_seconds, stop, sink):
    """Refuse what would fail with the first frame or in the middle of the run."""
    _check.seed_number(seed)
    _check.number_type(dtype)
    _check.count("buffer", buffer)
    _check.seconds("flush_seconds", flush_seconds)
    if checkpoint_seconds is not None:
        _check.seconds("checkpoint_seconds", checkpoint_seconds)
    _check.function("stop", stop)
    _check.function("sink", sink)


def _expect_progress(seconds):
    from dynsim._check import as_number

    if seconds is not None:
        as_number(seconds, "progress_seconds", minimum=0)


def checkpoint_of(path):
    """Where the checkpoints of a run lie.

    >>> checkpoint_of("run.h5").name
    'run.h5.checkpoint'
    """
    return Path(f"{path}.checkpoint")


def _prolonged(config, until):
    """The configuration with another end; evenly spaced frames keep their distance."""
    if until is None:
        return config
    run = dict(config["run"])
    if "frames" in run:
        share = (until - run["start"]) / (run["until"] - run["start"])
        run["frames"] = max(2, round((run["frames"] - 1) * share) + 1)
    return {**config, "run": {**run, "until": float(until)}}


class _Stream:
    """Frames and checkpoints of one run on their way to the disk."""

    def __init__(self, path, make, sink, seconds, progress_seconds, stop, again=False):
        self.path, self.make, self.sink = path, make, sink
        self.seconds, self.stop = seconds, stop
        self.progress_seconds, self.again, self.progress = progress_seconds, again, None
        self.writer, self.last, self.bound = None, clock.monotonic(), False

    def run(self, system, span, method, options):
        if not (self.seconds is None and self.progress_seconds is None and self.stop is None):
            options = {**options, "checkpoint": self.checkpoint}
        self.watched = (system, span)
        try:
            solution = solve(system, span, method, sink=self.write, **options)
            if self.writer is not None:
                self.writer.record("outcome", _outcome(solution))
            if self.progress is not None:
                self.progress.end(solution, self._frames())
            solution.path = self.path
            return solution
        except BaseException as error:
            if self.progress is not None:
                interrupted = isinstance(error, KeyboardInterrupt)
                self.progress.stopped("Interrupted." if interrupted else str(error) or type(error).__name__)
            raise
        finally:
            if self.writer is not None:
                self.writer.close()

    def _begin(self):
        """With the first frame or step; options that the engine refuses leave an old file as it was."""
        if self.progress_seconds is None:
            progress_of(self.path).unlink(missing_ok=True)  # an earlier run's is not this one's
        elif self.progress is None:
            self.progress = ProgressWriter(self.path, *self.watched, self.progress_seconds, self.again)

    def _frames(self):
        return 0 if self.writer is None else self.writer.frames

    def write(self, t, q, R, E):
        if self.writer is None:
            self.writer = self.make(np.asarray(q), R)
            self._begin()
        self.writer.write(self.writer.frames, t, q, R, E)
        if self.sink is not None:
            self.sink(t, q, R, E)

    def checkpoint(self, t, state, bound):
        """After every step, until what follows depends on where the span ends: that end may be moved later on."""
        if self.progress_seconds is not None:
            self._begin()
            self.progress.step(t, state, self._frames())
        stopping = self.stop is not None and self.stop()
        due = self.seconds is not None and (bound or clock.monotonic() - self.last >= self.seconds)
        if (due or stopping) and not self.bound:
            # Frames first: a checkpoint is never ahead of its file.
            frames = 0
            if self.writer is not None:
                self.writer.flush()
                frames = self.writer.frames
            save_checkpoint(checkpoint_of(self.path), {"frames": frames, "state": state()})
            self.last, self.bound = clock.monotonic(), bound
        if stopping:
            raise KeyboardInterrupt


def _describe(system, span, method, options):
    """What the call itself says about the run; arrays and functions are left to the caller's parameters."""
    stored = {"method": str(method), "span": [float(t) for t in span]}
    kernel = getattr(system, "kernel", None)
    if hasattr(kernel, "to_dict"):
        stored["kernel"] = kernel.to_dict()
    if isinstance(getattr(system, "delay", None), int | float | np.number):
        stored["delay"] = float(system.delay)
    for name, value in options.items():
        if isinstance(value, int | float | str | np.number):
            stored[name] = value
    return stored


def _outcome(solution):
    names = ("status", "message", "nfev", "naccepted", "nrejected", "echo_gain", "wall_time")
    return {name: getattr(solution, name) for name in names if hasattr(solution, name)}
