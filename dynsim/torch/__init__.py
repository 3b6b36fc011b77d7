"""PyTorch: layers of particles as modules, conversion of trained networks, fine-tuning by forces on places."""

try:
    import torch as _torch  # noqa: F401
except ImportError:
    raise ImportError("dynsim.torch needs PyTorch: pip install 'dynsim[torch]'.") from None

from ._allocation import Curve, allocate, measure_effects
from ._conversion import convert
from ._conversion_checks import verify_converted
from ._conversion_report import Report
from ._converted_files import load_converted, load_source, load_weights, save_converted, save_onnx
from ._dead_leaves import dead_leaves
from ._eight_bits import EightBits
from ._finetuning import distillation, finetune
from ._image_networks import ImageNetwork, load_image_network, save_materialized
from ._input_shapes import input_shape
from ._layer_list import list_layers
from ._made_weights import fold_made_weights
from ._module_measures import coarse, count_macs, noisy
from ._modules import DynConv2d, DynEmbedding, DynLinear, DynMultiheadAttention, choose_inference
from ._natural_descent import NaturalDescent
from ._norm_averages import averages, correct_norms
from ._output_effects import output_effects
from ._output_matching import Matching
from ._parametrisation import derive, derived_weight, materialize
from ._particles import DerivedWeights, Particles
from ._programs import load_program, modularise
from ._random_inputs import are_images, bounded, random_inputs
from ._timm_backbones import load_timm, load_torchvision, plain_convolutions
from ._torch_relation import relation
from ._weight_layout import WeightLayout

__all__ = [
    "Curve", "DerivedWeights", "DynConv2d", "DynEmbedding", "DynLinear", "DynMultiheadAttention", "EightBits",
    "ImageNetwork", "Matching", "NaturalDescent", "Particles", "Report", "WeightLayout", "allocate", "are_images",
    "averages", "bounded", "choose_inference", "coarse", "convert", "correct_norms", "count_macs", "dead_leaves",
    "derive", "derived_weight", "distillation", "finetune", "fold_made_weights", "input_shape", "list_layers",
    "load_converted", "load_image_network", "load_program", "load_source", "load_timm", "load_torchvision",
    "load_weights", "materialize", "measure_effects", "modularise", "noisy", "output_effects", "plain_convolutions",
    "random_inputs", "relation", "save_converted", "save_materialized", "save_onnx", "verify_converted",
]  # fmt: skip
