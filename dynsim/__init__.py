"""dynsim: a physics engine for neurons. Networks without weights, whose neurons are particles.

Everything is loaded when it is first used, so `import dynsim` is light.
"""

from importlib import import_module as _import_module
from typing import TYPE_CHECKING

from ._plotted import Plotted as _Plotted
from ._plotted import Recorded as _Recorded

if TYPE_CHECKING:  # what __getattr__ loads
    from . import datasets as datasets
    from . import engine as engine
    from . import errors as errors
    from . import experiments as experiments
    from . import export as export
    from . import kernels as kernels
    from . import layers as layers
    from . import learning as learning
    from . import models as models
    from . import plots as plots
    from . import sklearn as sklearn
    from . import torch as torch
    from . import trajectory as trajectory
    from .engine import Operators as Operators
    from .engine import System as System
    from .export import load_model as load_model
    from .kernels import Kernel as Kernel
    from .learning import evaluate as evaluate
    from .learning import train as train
    from .trajectory import solve as solve

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
    "kernels", "engine", "layers", "models", "learning", "trajectory", "datasets", "plots", "export", "sklearn",
    "torch", "experiments", "errors",
)  # fmt: skip

__all__ = ["__version__", *_FROM, *_ROOMS]


if not TYPE_CHECKING:  # a type checker shall see a name that is misspelt

    def __getattr__(name):
        if name in _ROOMS:
            return _import_module(f"dynsim.{name}")
        if name in _FROM:
            return getattr(_import_module(f"dynsim.{_FROM[name]}"), name)
        raise AttributeError(f"module 'dynsim' has no attribute {name!r}; it has {', '.join(__all__)}.")


def _draw(source, kind, **options):
    return _import_module("dynsim.plots").plot(source, kind, **options)


def _play(source, output=None, **options):
    plots = _import_module("dynsim.plots")
    return plots.page(source, **options) if output is None else plots.view(source, output, **options)


def _labelled(source):
    return _import_module("dynsim.trajectory").to_xarray(source)


def _tabled(source):
    return _import_module("dynsim.trajectory").to_pandas(source)


_Plotted.draw = _draw
_Recorded.play, _Recorded.labelled, _Recorded.tabled = _play, _labelled, _tabled


def __dir__():
    return __all__
