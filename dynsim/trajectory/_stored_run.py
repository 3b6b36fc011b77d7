"""What a run goes on from: how its file was made, its configuration and its checkpoint."""

from __future__ import annotations

import os
import warnings
from contextlib import suppress

import numpy as np

from dynsim._check import as_choice, as_count, as_number, as_table, refusal
from dynsim._files import damaged, from_json
from dynsim.engine import METHODS, EvenTimes, Method, configure, expect_state
from dynsim.errors import DataError, FileError

from ._checkpoint import checkpoint_of, load_checkpoint, previous_of, read_checkpoint
from ._reader import Trajectory, mend_tail


def to_go_on(path, until, options):
    """How the run of a file was begun, what is to be run, its parameters, and the checkpoint that it goes on from."""
    begun = stored_run(path)
    parameters, file = begun["parameters"], begun["file"]
    if not isinstance(parameters.get("config"), dict):
        raise DataError(f"{path} does not say how it was made; only runs of a configuration or a preset can go on.")
    try:
        ready = configure(parameters["config"], like=file)
    except (ValueError, TypeError) as error:
        raise DataError(f"{path}: its configuration cannot be run ({error})") from None
    if until is not None:
        ready = configure(_prolonged(ready.config, until))
        parameters = {**parameters, "config": ready.config}
    method = {**ready.options, **options}.get("method", "dopri5")
    checkpoint = None if file is None else _checkpoint_within(path, file, ready, method)
    if checkpoint is not None and not checkpoint["state"]["t"] < ready.span[1]:
        raise ValueError(f"{path} has reached t = {checkpoint['state']['t']!r}; give a later end with --until.")
    known = {"seed": begun["seed"], "dtype": begun["dtype"], "run": None if file is None else file.identity}
    known["observables"] = ready.observables if file is None else tuple(file.observables)
    return known, ready, parameters, checkpoint


def stored_run(path: str | os.PathLike) -> dict:
    """Return how a run was made: `parameters`, `seed`, `dtype`, and its `file`, a closed Trajectory.

    What a kill left half written at the end of the file is mended. If the file is lost or unreadable, the checkpoint
    says how it was made, with a warning; `file` is then None. Raises as `Trajectory` where no checkpoint says it.

    >>> import tempfile, dynsim
    >>> path = os.path.join(tempfile.mkdtemp(), "run.h5")
    >>> solution = dynsim.solve(dynsim.System(np.eye(2)), (0.0, 1.0), path=path, t_eval=[0.0, 1.0])
    >>> stored_run(path)["file"].time.tolist()
    [0.0, 1.0]
    """
    try:
        mend_tail(path)
        with Trajectory(path) as trajectory:
            return {
                "parameters": trajectory.parameters,
                "seed": trajectory.seed,
                "dtype": str(trajectory.q.dtype),
                "file": trajectory,
            }
    except (FileNotFoundError, FileError) as error:
        with suppress(FileNotFoundError, FileError, DataError):
            checkpoint = load_checkpoint(checkpoint_of(path))
            if isinstance(checkpoint.get("parameters"), str):  # those of 0.1.0 do not say it
                warnings.warn(f"{error} The run begins anew, as its checkpoint says how it was made.", stacklevel=1)
                parameters = from_json(checkpoint["parameters"], checkpoint_of(path))
                known = {name: checkpoint.get(name) for name in ("seed", "dtype")}
                return {"parameters": parameters, **known, "file": None}
        raise


def _checkpoint_within(path, file, ready, method):
    """The newest checkpoint of a run to its end that is not ahead of the frames of its file, or None."""
    path, run = checkpoint_of(path), file.identity or ""
    try:
        checkpoint = load_checkpoint(path, run=run)
    except FileNotFoundError:
        return None

    def fits():
        frames = as_count(checkpoint.get("frames"), "frames", minimum=0)
        until = checkpoint.get("until")
        own = until is None or as_number(until, "until") == ready.span[1]
        return frames <= file.frames and own

    try:
        if not fits():  # the file has lost some frames, or the run is to go further
            with suppress(FileNotFoundError, FileError, DataError):
                checkpoint = read_checkpoint(previous_of(path), run)
        if not fits():
            return None
        _expect_state(checkpoint, file.time, ready.system, method)
    except (ValueError, TypeError) as error:
        raise damaged(path, error) from None
    return checkpoint


def _expect_state(checkpoint, time, system, method):
    """Refuse a state that is none of a run of the system, or not that of the file after the checkpoint's frames."""
    state, kept = as_table(checkpoint.get("state"), "state"), checkpoint["frames"]
    if not isinstance(method, Method):
        method = METHODS[as_choice(state.get("method"), METHODS, "resume method")]
    t = expect_state(state, system, method)
    slack = 1e-12 * max(abs(t), abs(state["breaks"]["start"]))  # rounding may put a given time a little later
    if not np.all(time[:kept] <= t + slack) or not np.all(time[kept:] >= t):
        raise refusal("frames", kept, f"{np.count_nonzero(time <= t)}, those of the file up to t = {t!r}")


def _prolonged(config, until):
    """The configuration with another end; evenly spaced frames keep their distance."""
    run = dict(config["run"])
    start, end = float(run["start"]), float(run["until"])
    if until < end:
        raise refusal("--until", repr(until), f"at least {end!r}, the end that the run has", "begin another run")
    if "frames" in run:
        run["frames"] = EvenTimes(start, end, run["frames"]).reaching(until)
        if run["frames"] is None:
            later = EvenTimes(start, end, config["run"]["frames"]).after(until)
            expected = f"a time that its evenly spaced frames meet, such as {later!r}"
            raise refusal("--until", repr(until), expected, "or begin another run")
    return {**config, "run": {**run, "until": until}}
