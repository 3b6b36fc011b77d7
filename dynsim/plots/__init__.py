"""Figures, films and the browser player, of trajectories, runs, trainings and models.

`plot` draws one of `KINDS` and saves it as PNG, PDF or SVG; `animate` makes a film, `view` a page that plays.
matplotlib is loaded when the first figure is made, and its global state (pyplot, rcParams) is never touched.
"""

from importlib import import_module

from dynsim.plots._kinds import TABLE

KINDS = {name: kind.shows for name, kind in TABLE.items()}
FORMATS = ("png", "pdf", "svg")
FILMS = ("mp4", "gif")

_HOME = {
    "animate": "_film",
    "available": "_plot",
    "compare": "_comparison",
    "options_of": "_plot",
    "plot": "_plot",
    "save": "_save",
    "view": "_view",
}

__all__ = ["FILMS", "FORMATS", "KINDS", "animate", "available", "compare", "options_of", "plot", "save", "view"]


def __getattr__(name):
    if name in _HOME:
        value = getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
        globals()[name] = value
        return value
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__():
    return sorted([*globals(), *_HOME])
