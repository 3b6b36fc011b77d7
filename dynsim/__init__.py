"""dynsim: a physics engine for neurons. Networks without weights, whose neurons are particles.

Everything is loaded when it is first used, so `import dynsim` is light.
"""

from importlib import import_module as _import_module

__version__ = "0.1.0"

_FROM = {
    "Kernel": "kernels",
    "System": "engine",
    "Operators": "engine",
    "solve": "trajectory",
    "train": "learning",
    "evaluate": "learning",
    "load_model": "export",
}
_ROOMS = (
    "kernels",
    "engine",
    "layers",
    "models",
    "learning",
    "trajectory",
    "datasets",
    "plots",
    "export",
    "sklearn",
    "torch",
    "experiments",
    "errors",
)

__all__ = ["__version__", *_FROM, *_ROOMS]


def __getattr__(name):
    if name in _ROOMS:
        return _import_module(f"dynsim.{name}")
    if name in _FROM:
        return getattr(_import_module(f"dynsim.{_FROM[name]}"), name)
    raise AttributeError(f"module 'dynsim' has no attribute {name!r}; it has {', '.join(__all__)}.")


def __dir__():
    return __all__
