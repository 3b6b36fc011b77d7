"""Shapes of the inputs that a network says it takes: a program by its export, a backbone of timm by its settings."""

from __future__ import annotations

from torch import Tensor, fx, nn


def input_shape(module: nn.Module) -> tuple | None:
    """Shape of one input of a network, None for axes of any length; None where it is not known or not one of numbers.

    Examples
    --------
    >>> import torch
    >>> from dynsim.torch import modularise
    >>> program = torch.export.export(nn.Linear(3, 2), (torch.zeros(4, 3),))
    >>> input_shape(modularise(program)), batch_of(modularise(program))
    ((3,), 4)
    """
    if not isinstance(module, fx.GraphModule):
        size = getattr(module, "pretrained_cfg", {}).get("input_size")
        return None if size is None else tuple(size)
    given = only_input(module)
    if given is None or not given.dim() or not given.is_floating_point():
        return None
    return tuple(int(size) if isinstance(size, int) else None for size in given.shape[1:])


def batch_of(module: nn.Module) -> int | None:
    """Inputs that a program takes at once, if it was exported for one number of them only."""
    given = only_input(module) if isinstance(module, fx.GraphModule) else None
    return given.shape[0] if given is not None and given.dim() and isinstance(given.shape[0], int) else None


def only_input(program: fx.GraphModule) -> Tensor | None:
    """What stands for the input of a program, if it takes one tensor."""
    given = [node.meta.get("val") for node in program.graph.find_nodes(op="placeholder")]
    return given[0] if len(given) == 1 and isinstance(given[0], Tensor) else None
