"""timm, also where torchvision was built for another PyTorch.

The registry's torchvision is compiled against a CUDA build. Beside a CPU build of torch its library of operators does
not load, and its import, and timm's, fails where it registers shapes for them ("operator torchvision::nms does not
exist"). No model here uses these operators; defining their names first lets the import pass. Calling one still fails.
"""

from __future__ import annotations

import importlib

import torch

OPERATORS = ("nms", "roi_align", "roi_pool", "ps_roi_align", "ps_roi_pool", "deform_conv2d", "qnms", "qroi_align")
BACKWARD = ("_roi_align_backward", "_roi_pool_backward", "_ps_roi_align_backward", "_ps_roi_pool_backward")
_library = None


def load_timm():
    """Import and return timm.

    Raises
    ------
    ImportError
        If it, or torchvision, is not installed.
    """
    _import("torchvision")
    return _import("timm")


def load_torchvision():
    """Import and return torchvision; raises ImportError if it is not installed."""
    return _import("torchvision")


def _import(name):
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError:
        raise ImportError(f"Backbones and image folders need {name}: pip install 'dynsim[imagenet]'.") from None
    except RuntimeError as error:
        if "torchvision::" not in str(error):
            raise
    define_operators()
    return importlib.import_module(name)


def define_operators():
    """Give the operators that torchvision registers shapes for a name, where they have none."""
    global _library
    if _library is not None:
        return
    _library = torch.library.Library("torchvision", "FRAGMENT")
    for operator in (*OPERATORS, *BACKWARD, "_deform_conv2d_backward"):
        if not hasattr(torch.ops.torchvision, operator):
            _library.define(f"{operator}(Tensor x) -> Tensor")
