"""Files and models of other programs; each needs a package of its own, named where it is missing."""

from importlib import import_module

_HOME = {
    "form": "_load",
    "load_materialized": "_materialized",
    "load_model": "_load",
    "load_packed": "_packed",
    "run_onnx": "_onnx",
    "save_materialized": "_materialized",
    "save_onnx": "_onnx",
    "save_packed": "_packed",
    "verify": "_verify",
}

_BRIDGES = ("sklearn", "torch")  # modules that need the package they are named after

__all__ = [*_HOME, *_BRIDGES]


def __getattr__(name):
    if name in _HOME:
        return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
    if name in _BRIDGES:
        return import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__():
    return __all__
