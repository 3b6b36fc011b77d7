"""Networks of layers: how they are built, counted and written down."""

from ._build import BUILDERS, build, lenet5, mlp
from ._count import count
from ._latency import latency, plan
from ._load import check_size, describe, fill, load_model
from ._materialize import materialize
from ._model import Model
from ._operations import operations
from ._parts import Enlarge
from ._save import save_model
from ._vit import vit

__all__ = [
    "BUILDERS",
    "Enlarge",
    "Model",
    "build",
    "check_size",
    "count",
    "describe",
    "fill",
    "latency",
    "lenet5",
    "load_model",
    "materialize",
    "mlp",
    "operations",
    "plan",
    "save_model",
    "vit",
]
