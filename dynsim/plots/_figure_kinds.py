"""The kinds of figures: each is registered by the module of this folder that draws it, and nowhere else."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from pkgutil import iter_modules

_REGISTERED = {}


@dataclass(frozen=True)
class FigureKind:
    """What a kind shows, what draws it, from which sources, and whether a source holds enough for it."""

    shows: str
    draw: Callable
    sources: tuple
    needs: Callable
    requires: str


def figure_kind(name, shows, *, sources=("trajectory",), needs=lambda source: True, requires="a frame"):
    """Register the decorated function, `draw(source, *, title=None, size=None, ...)`, as a kind of figure.

    `shows` is a line for lists of kinds; `sources` are some of "trajectory", "model" and "lines"; `needs(source)` says
    whether such a source has enough to be drawn, and `requires` is what it needs, in words.
    """

    def register(draw):
        _REGISTERED[name] = FigureKind(shows, draw, tuple(sources), needs, requires)
        return draw

    return register


@cache
def figure_kinds():
    """{name: FigureKind} of all modules of this folder, by name."""
    for module in iter_modules(import_module(__package__).__path__):
        import_module(f"{__package__}.{module.name}")
    return dict(sorted(_REGISTERED.items()))


def has_motion(trajectory):
    """Whether a trajectory has two frames at different times."""
    return trajectory.frames > 1 and float(trajectory.time[-1]) > float(trajectory.time[0])
