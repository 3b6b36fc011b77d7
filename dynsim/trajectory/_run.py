"""Run the engine into a file."""

from pathlib import Path

import numpy as np

from dynsim.trajectory._open import expect_new
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
    provenance=None,
    sink=None,
    **options,
):
    """Integrate a system and stream every recorded frame to `path`; returns the engine's Solution.

    The file is made with the first frame, so options that the engine refuses leave an old file as it was.
    `parameters` is the configuration to store; what the call itself says (method, span, kernel, delay) is
    added, and after the run its outcome (status, message, steps, echo gain). `sink(t, q, R, E)` is called as
    well; `options` go to the engine. Raises FileExistsError if `path` exists and `overwrite` is false, other
    OSErrors for a folder that cannot be written; otherwise as `dynsim.engine.solve`. Whatever ends the run,
    the frames before it are in the file.

    >>> import tempfile, os, numpy as np, dynsim
    >>> path = os.path.join(tempfile.mkdtemp(), "run.h5")
    >>> system = dynsim.System(np.array([[1.0]]), operators=dynsim.Operators(F=-1.0))
    >>> solution = run(system, (0.0, 1.0), path, t_eval=[0.0, 0.5, 1.0])
    >>> from dynsim.trajectory import Trajectory
    >>> Trajectory(path).time.tolist()
    [0.0, 0.5, 1.0]
    """
    path = Path(path)
    expect_new(path, overwrite)
    stored = {**_describe(system, span, method, options), **(parameters or {})}
    provenance = {"backend": str(options.get("backend", "numba")), **(provenance or {})}
    writer = None

    def write(t, q, R, E):
        nonlocal writer
        q = np.asarray(q)
        if writer is None:
            writer = TrajectoryWriter(
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
        writer.write(writer.frames, t, q, R, E)
        if sink is not None:
            sink(t, q, R, E)

    try:
        solution = solve(system, span, method, sink=write, **options)
        if writer is not None:
            writer.record("outcome", _outcome(solution))
        return solution
    finally:
        if writer is not None:
            writer.close()


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
