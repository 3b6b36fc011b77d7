"""Files and models of other programs; each needs a package of its own, named where it is missing."""

from importlib import import_module

_HOME = {"save_packed": "_packed", "load_packed": "_packed"}
_BRIDGES = ("sklearn",)  # modules that need the package they are named after

__all__ = ["load_packed", "save_packed", *_BRIDGES]


def __getattr__(name):
    if name in _BRIDGES:
        return import_module(f"{__name__}.{name}")
    if name in _HOME:
        return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__():
    return __all__
