"""PyTorch: layers of particles as modules, conversion of trained networks, fine-tuning by forces on places."""

try:
    import torch as _torch  # noqa: F401
except ImportError:
    raise ImportError("dynsim.torch needs PyTorch: pip install 'dynsim[torch]'.") from None

from ._allocation import Curve, allocate
from ._conversion import convert
from ._conversion_report import Report
from ._converted_files import load_converted, load_source, load_weights, save_converted, save_onnx
from ._exchange import list_layers, materialize, replace_layer
from ._finetuning import distillation, finetune
from ._module_measures import count_macs, noisy
from ._modules import DerivedWeights, DynConv2d, DynEmbedding, DynLinear
from ._multihead import DynMultiheadAttention
from ._natural_descent import NaturalDescent
from ._norm_averages import correct_averages, expectations
from ._output_matching import Matching
from ._programs import load_program, modularise
from ._timm_backbones import load_timm, load_torchvision, plain_convolutions
from ._torch_relation import relation

__all__ = [
    "Curve", "DerivedWeights", "DynConv2d", "DynEmbedding", "DynLinear", "DynMultiheadAttention", "Matching",
    "NaturalDescent", "Report", "allocate", "convert", "correct_averages", "count_macs", "distillation", "expectations",
    "finetune", "list_layers", "load_converted", "load_program", "load_source", "load_timm", "load_torchvision",
    "load_weights", "materialize", "modularise", "noisy", "plain_convolutions", "relation", "replace_layer",
    "save_converted", "save_onnx",
]  # fmt: skip
