"""Trajectories on disk: H5MD 1.1 (HDF5) written while a run goes on, read back lazily.

The places of neurons over simulated time and the places over training are the same kind of file, so the same
plots and tools serve both. The format is the one that molecular dynamics uses: MDAnalysis opens it.
"""

from importlib import import_module

_HOME = {
    "Progress": "_run_progress",
    "SolutionTrajectory": "_reader",
    "TrainingProgress": "_training_progress",
    "Trajectory": "_reader",
    "TrajectoryWriter": "_writer",
    "file_kind": "_reader",
    "load_checkpoint": "_checkpoint",
    "remove_checkpoint": "_checkpoint",
    "resume": "_simulation",
    "run": "_simulation",
    "save_checkpoint": "_checkpoint",
    "solve": "_simulation",
    "StoredFrames": "_stored_frames",
    "stored_run": "_stored_run",
    "stored_system": "_stored_system",
    "to_extxyz": "_extxyz",
    "to_pandas": "_labelled_arrays",
    "to_xarray": "_labelled_arrays",
    "validate": "_soundness",
}

__all__ = [*_HOME]


def __getattr__(name):
    if name in _HOME:
        value = getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
        globals()[name] = value
        return value
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__():
    return sorted([*globals(), *_HOME])
