"""Networks of layers: how they are built, counted and written down."""

from ._build import BUILDERS, build, lenet5, mlp
from ._count import count
from ._files import describe, load_model, save_model
from ._model import Model

__all__ = ["BUILDERS", "Model", "build", "count", "describe", "lenet5", "load_model", "mlp", "save_model"]
