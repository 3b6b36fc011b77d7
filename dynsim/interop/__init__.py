"""Files and models of other programs; each needs a package of its own, named where it is missing."""

from importlib import import_module

_HOME = {"save_packed": "_packed", "load_packed": "_packed"}

__all__ = ["load_packed", "save_packed"]


def __getattr__(name):
    if name in _HOME:
        return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__():
    return __all__
