"""Networks of layers: how they are built, counted and written down."""

from ._build import BUILDERS, build, lenet5, mlp
from ._count import count
from ._load import check_size, describe, load_model
from ._model import Model
from ._save import save_model
from ._vit import vit

__all__ = [
    "BUILDERS",
    "Model",
    "build",
    "check_size",
    "count",
    "describe",
    "lenet5",
    "load_model",
    "mlp",
    "save_model",
    "vit",
]
