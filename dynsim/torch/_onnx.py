"""A converted module as ONNX, its places materialised."""

from __future__ import annotations

from pathlib import Path

import torch

from ._materialize import materialize

OPSET = 18


def save_onnx(module, example, path):
    """Write a module as ONNX (opset 18), ordinary weights in the place of particles; returns the bytes of the file.

    Parameters
    ----------
    module : torch.nn.Module
        Converted or not; exported as it answers in evaluation.
    example : torch.Tensor
        An input; the first axis may have any length later.
    path : path
        The graph and all weights are written into this one file.

    Raises
    ------
    ImportError
        If onnx or onnxscript is not installed.
    """
    try:
        import onnx
        import onnxscript  # noqa: F401 - torch.onnx needs it
    except ImportError:
        raise ImportError("Modules as ONNX need onnx and onnxscript: pip install 'dynsim[onnx]'.") from None
    ordinary = materialize(module).eval()
    shapes = ({0: torch.export.Dim("batch")},)
    program = torch.onnx.export(
        ordinary, (example,), input_names=["images"], output_names=["scores"], dynamic_shapes=shapes,
        opset_version=OPSET, dynamo=True, verbose=False,
    )  # fmt: skip
    program.save(str(path), external_data=False)
    onnx.checker.check_model(str(path))
    return Path(path).stat().st_size
