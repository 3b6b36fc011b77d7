"""Networks as a recipe names them."""

from __future__ import annotations

from dynsim.kernels import Kernel
from dynsim.models import BUILDERS, Model


def network(model: str, options: dict) -> Model:
    """Return the network of a recipe's options, in which a kernel is a table.

    >>> network("mlp", {"widths": [4, 2], "kernel": {"profile": "gaussian"}}).config["kernel"]["profile"]
    'gaussian'
    """
    kernel = options.get("kernel")
    return BUILDERS[model](**options | ({"kernel": Kernel.from_dict(kernel)} if isinstance(kernel, dict) else {}))
