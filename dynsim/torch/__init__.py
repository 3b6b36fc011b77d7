"""PyTorch: layers of particles as modules, conversion of trained networks, fine-tuning by forces on places."""

try:
    import torch as _torch  # noqa: F401
except ImportError:
    raise ImportError("dynsim.torch needs PyTorch: pip install 'dynsim[torch]'.") from None

from ._allocate import Curve, allocate
from ._attention import DynMultiheadAttention
from ._conv import DynConv2d
from ._convert import convert
from ._descent import NaturalDescent, moving
from ._embedding import DynEmbedding
from ._files import load_converted, load_source, save_converted
from ._finetune import distillation, finetune
from ._linear import DynLinear
from ._matching import Matching
from ._materialize import materialize
from ._noise import noisy
from ._norms import correct, expectations
from ._onnx import save_onnx
from ._plain import plain
from ._program import load_program, modularise
from ._relation import relation
from ._report import Report
from ._timm import load_timm, load_torchvision
from ._walk import replace, walk

__all__ = [
    "Curve",
    "DynConv2d",
    "DynEmbedding",
    "DynLinear",
    "DynMultiheadAttention",
    "Matching",
    "NaturalDescent",
    "Report",
    "allocate",
    "convert",
    "correct",
    "distillation",
    "expectations",
    "finetune",
    "load_converted",
    "load_program",
    "load_source",
    "load_timm",
    "load_torchvision",
    "materialize",
    "modularise",
    "moving",
    "noisy",
    "plain",
    "relation",
    "replace",
    "save_converted",
    "save_onnx",
    "walk",
]
