"""Figures, films and the browser player, of trajectories, runs, trainings and models.

`plot` draws one of `KINDS` and saves it as PNG, PDF or SVG; `animate` makes a film, `view` a page that plays.
matplotlib is loaded when the first figure is made. Its global state is left alone: pyplot is never imported, and the
three rcParams that say how text is written into PDF and SVG are restored once a figure is saved.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ._answers import answers_figure
    from ._comparison import compare, product_figure
    from ._figure import FILMS, FORMATS, available, beside, expect_format, options_of, plot, save, usual_kind
    from ._film import animate
    from ._player import Page, page, view
    from ._sweep_plot import sweep_figure

    KINDS: dict[str, str]  # {name of a kind of figure: what it shows}

_MODULES = {
    "FILMS": "_figure",
    "FORMATS": "_figure",
    "animate": "_film",
    "answers_figure": "_answers",
    "available": "_figure",
    "beside": "_figure",
    "compare": "_comparison",
    "expect_format": "_figure",
    "options_of": "_figure",
    "Page": "_player",
    "page": "_player",
    "plot": "_figure",
    "product_figure": "_comparison",
    "save": "_figure",
    "sweep_figure": "_sweep_plot",
    "usual_kind": "_figure",
    "view": "_player",
}

__all__ = [
    "FILMS", "FORMATS", "KINDS", "Page", "animate", "answers_figure", "available", "beside", "compare", "expect_format",
    "options_of", "page", "plot", "product_figure", "save", "sweep_figure", "usual_kind", "view",
]  # fmt: skip


def __getattr__(name):
    if name == "KINDS":
        from ._figure_kinds import kind_summaries

        value = kind_summaries()
    elif name in _MODULES:
        value = getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
    else:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__():
    return sorted({*globals(), *__all__})
