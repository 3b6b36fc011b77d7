"""Trajectories on disk: H5MD 1.1 (HDF5) written while the run goes on, read back lazily.

The places of neurons over simulated time and the places over training are the same kind of file, so the same
plots and tools serve both. The format is the one that molecular dynamics uses: MDAnalysis opens it.
"""

from importlib import import_module

_HOME = {
    "TrajectoryWriter": "_writer",
    "Progress": "_progress",
    "SolutionTrajectory": "_memory",
    "Trajectory": "_reader",
    "open_trajectory": "_reader",
    "file_kind": "_open",
    "save_checkpoint": "_checkpoint",
    "load_checkpoint": "_checkpoint",
    "run": "_run",
    "resume": "_run",
    "to_extxyz": "_export",
    "validate": "_validate",
    "solve": "_run",
}

__all__ = [
    "Progress",
    "SolutionTrajectory",
    "Trajectory",
    "TrajectoryWriter",
    "file_kind",
    "load_checkpoint",
    "open_trajectory",
    "resume",
    "run",
    "save_checkpoint",
    "solve",
    "to_extxyz",
    "validate",
]


def __getattr__(name):
    if name in _HOME:
        value = getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
        globals()[name] = value
        return value
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__():
    return sorted([*globals(), *_HOME])
