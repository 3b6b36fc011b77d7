"""Model files of other programs; each form needs a package of its own, named where it is missing."""

from ._onnx import run_onnx, save_onnx
from ._packed_models import load_packed, packed_bits, packed_bytes, rounded, save_packed
from ._safetensors_files import load_materialized, save_materialized
from ._verification import compare_forms, load_model, model_form, verify

__all__ = [
    "compare_forms", "load_materialized", "load_model", "load_packed", "model_form", "packed_bits", "packed_bytes",
    "rounded", "run_onnx", "save_materialized", "save_onnx", "save_packed", "verify",
]  # fmt: skip
