"""Multiply-accumulates of the layers, counted when an input passes."""

from __future__ import annotations

import torch
from torch import nn


def count_macs(module, example):
    """{layer name: multiply-accumulates for one input} of full layers and convolutions, from a batch of inputs.

    Examples
    --------
    >>> count_macs(nn.Sequential(nn.Linear(3, 2)), torch.zeros(5, 3))
    {'0': 6}
    """
    found, hooks = {}, []

    def count(name):
        def hook(part, inputs, output):
            # every number of the output is a product with one row of weights
            each = part.weight[0].numel() * (output.numel() // len(example))
            found[name] = found.get(name, 0) + each

        return hook

    modes = {part: part.training for part in module.modules()}
    try:
        for name, part in module.named_modules():
            if isinstance(part, (nn.Linear, nn.Conv2d)):
                hooks.append(part.register_forward_hook(count(name)))
        module.eval()
        with torch.no_grad():
            module(example)
    finally:
        for hook in hooks:
            hook.remove()
        for part, mode in modes.items():
            part.training = mode
    return found
