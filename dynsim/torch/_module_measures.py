"""What is measured of a module: its multiply-accumulates, and what noise on its stored numbers does."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from fnmatch import fnmatchcase

import torch
from torch import Tensor, nn

from ._modules import DerivedWeights


def count_macs(module: nn.Module, example: Tensor) -> dict[str, int]:
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


@contextmanager
def noisy(module: nn.Module, delta: float, *, seed: int = 0, include: Iterable[str] | None = None) -> Iterator[None]:
    """A context in which every stored number is off by uniform noise in [-delta, delta]; afterwards they are as before.

    Stored are what layers of particles hold in place of weights, and of other layers parameters of two axes or more;
    with patterns in `include`, those of layers with such names only.

    Examples
    --------
    >>> layer = torch.nn.Linear(2, 1)
    >>> before = layer.weight.detach().clone()
    >>> with noisy(layer, 0.1):
    ...     bool((layer.weight != before).all())
    True
    >>> bool((layer.weight == before).all())
    True
    """
    parameters = _stored(module, include) if delta else []
    kept = [parameter.detach().clone() for parameter in parameters]
    generator = torch.Generator().manual_seed(seed)
    try:
        with torch.no_grad():
            for parameter in parameters:
                noise = 2 * torch.rand(parameter.shape, generator=generator) - 1
                parameter += delta * noise.to(parameter)
        yield
    finally:
        with torch.no_grad():
            for parameter, value in zip(parameters, kept, strict=True):
                parameter.copy_(value)


def _stored(module, include):
    found = {}
    for name, part in module.named_modules():
        if include is not None and not any(fnmatchcase(name, pattern) for pattern in include):
            continue
        if isinstance(part, DerivedWeights):
            own = part.particles().values()
        else:
            own = [parameter for parameter in part.parameters(recurse=False) if parameter.dim() > 1]
        found.update({id(parameter): parameter for parameter in own})
    return list(found.values())
