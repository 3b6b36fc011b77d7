"""The kinds of figures: each is registered by the module of this folder that draws it, and nowhere else."""

from __future__ import annotations

import ast
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from pathlib import Path

_REGISTERED = {}


@dataclass(frozen=True)
class FigureKind:
    """What a kind shows, what draws it, from which sources, whether a source holds enough for it, and its curves."""

    shows: str
    draw: Callable
    sources: tuple
    needs: Callable
    requires: str
    curves: Callable | None


def figure_kind(name, shows, *, sources=("trajectory",), needs=lambda source: True, requires="a frame", curves=None):
    """Register the decorated function, `draw(source, *, title=None, size=None, ...)`, as a kind of figure.

    `name` and `shows`, a line for lists of kinds, are literal texts; `sources` are some of "trajectory", "model"
    and "lines"; `needs(source)` says whether such a source has enough to be drawn, and `requires` is what it needs, in
    words. `curves(source, ...)` gives {label of a panel: {name of a line: (x, values)}} over time, for figures of
    several sources; it takes some of the options of `draw`. Without it a kind draws one source.
    """

    def register(draw):
        _REGISTERED[name] = FigureKind(shows, draw, tuple(sources), needs, requires, curves)
        return draw

    return register


@cache
def figure_kinds():
    """{name: FigureKind} of all modules of this folder, by name."""
    for path in _modules():
        import_module(f"{__package__}.{path.stem}")
    return dict(sorted(_REGISTERED.items()))


def kind_summaries():
    """{name: what it shows} of all kinds, read from the decorators: nothing that draws is imported for a help text."""
    found = {}
    for path in _modules():
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "figure_kind":
                name, shows = (ast.literal_eval(argument) for argument in node.args)
                found[name] = shows
    return dict(sorted(found.items()))


def _modules():
    return Path(__file__).parent.glob("_[!_]*.py")


def has_motion(trajectory):
    """Whether a trajectory has two frames at different times."""
    return trajectory.frames > 1 and float(trajectory.time[-1]) > float(trajectory.time[0])
