"""Figures of trajectories, of runs and of trainings alike.

`plot` draws one of `KINDS` from a trajectory file and saves it as PNG, PDF or SVG. matplotlib is loaded when
the first figure is made, and its global state (pyplot, rcParams) is never touched.
"""

from importlib import import_module

KINDS = ("trajectories", "signals", "distances", "phase", "observables")
FORMATS = ("png", "pdf", "svg")

_HOME = {
    "plot": "_plot",
    "available": "_plot",
    "options_of": "_plot",
    "save": "_save",
    "expect_format": "_save",
    "compare": "_comparison",
    "product_figure": "_product",
}

__all__ = ["FORMATS", "KINDS", "available", "compare", "expect_format", "options_of", "plot", "product_figure", "save"]


def __getattr__(name):
    if name in _HOME:
        value = getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
        globals()[name] = value
        return value
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__():
    return sorted([*globals(), *_HOME])
