"""Networks of layers: building, counting, saving and loading."""

from ._build import BUILDERS, build, lenet5, materialize, mlp
from ._compact import compact
from ._converted_description import describe_converted
from ._count import count, numbers, operations
from ._latency import latency, plan
from ._model import Model
from ._model_data import load_data_for
from ._model_file import describe, fill, load_model, save_model, take_results
from ._parts import Enlarge
from ._prepared_model import PreparedModel
from ._size import check_size
from ._vit import vit

__all__ = [
    "BUILDERS", "Enlarge", "Model", "PreparedModel", "build", "check_size", "compact", "count", "describe",
    "describe_converted", "fill", "latency", "lenet5", "load_data_for", "load_model", "materialize", "mlp",
    "numbers", "operations", "plan", "save_model", "take_results", "vit",
]  # fmt: skip
