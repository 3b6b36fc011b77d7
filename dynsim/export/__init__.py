"""Model files of other programs; each form needs a package of its own, named where it is missing."""

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

__all__ = [*_HOME]


def __getattr__(name):
    if name in _HOME:
        return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__():
    return __all__
