"""What is measured of a module: its multiply-accumulates, and what noise on its stored numbers does."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from fnmatch import fnmatchcase

import torch
from torch import nn

from dynsim._check import as_count

from ._batches import length_of
from ._layer_list import list_layers
from ._particles import DerivedWeights
from ._watching import watch


def count_macs(module: nn.Module, example) -> dict[str, int]:
    """{weight: multiply-accumulates for one input} of all weights that a batch of inputs meets.

    Names are those of `list_layers`. Operations that use a weight in another way than a layer does are not counted.

    Examples
    --------
    >>> count_macs(nn.Sequential(nn.Linear(3, 2)), torch.zeros(5, 3))
    {'0': 6}
    """
    found = {}

    def add(use):
        found[use.name] = found.get(use.name, 0) + use.macs

    weights = {entry.name: entry.parameter for entry in list_layers(module) if entry.size}
    watch(module, [example], weights=weights, seen=add)
    count = length_of(example)
    return {name: macs // count for name, macs in found.items()}


@contextmanager
def noisy(
    module: nn.Module, delta: float, *, seed: int = 0, include: Iterable[str] | None = None, relative: bool = False
) -> Iterator[None]:
    """A context in which every stored number is off by uniform noise in [-delta, delta]; afterwards they are as before.

    With `relative`, delta is in units of each tensor's root mean square.

    Stored are what layers of particles hold in place of weights, and of other layers parameters of two axes or more;
    of weights in 8 bits their steps, not their integers. With patterns in `include`, those of layers with such names
    only.

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
    generator = torch.Generator().manual_seed(seed)

    def moved(parameter):
        noise = 2 * torch.rand(parameter.shape, generator=generator) - 1
        size = parameter.double().square().mean().sqrt().item() if relative else 1.0
        return parameter + delta * size * noise.to(parameter)

    with _changed(_stored(module, include) if delta else [], moved):
        yield


@contextmanager
def coarse(module: nn.Module, bits: int, *, include: Iterable[str] | None = None) -> Iterator[None]:
    """A context in which every number that `noisy` would move is rounded to so many bits.

    Each tensor has 2^(bits - 1) - 1 steps from 0 to its largest number, and as many to the other side; at 2 bits -1, 0
    and 1 times that.

    Examples
    --------
    >>> layer = torch.nn.Linear(3, 1)
    >>> with coarse(layer, 2):
    ...     sizes = layer.weight.detach().abs()
    >>> set(torch.round(sizes / sizes.max()).flatten().tolist()) <= {0.0, 1.0}
    True
    """
    levels = 2 ** (as_count(bits, "bits", 2) - 1) - 1

    def rounded(parameter):
        step = parameter.double().abs().max() / levels
        return (torch.round(parameter / step) * step).to(parameter) if step else parameter

    with _changed(_stored(module, include), rounded):
        yield


@contextmanager
def _changed(parameters, change):
    """A context in which parameters have the values that `change` returns for them."""
    kept = [parameter.detach().clone() for parameter in parameters]
    try:
        with torch.no_grad():
            for parameter in parameters:
                parameter.copy_(change(parameter))
        yield
    finally:
        with torch.no_grad():
            for parameter, value in zip(parameters, kept, strict=True):
                parameter.copy_(value)


def _stored(module, include):
    found = {}
    for name, part in module.named_modules():
        name = name.partition(".parametrizations.")[0] if not name.startswith("parametrizations.") else ""
        if include is not None and not any(fnmatchcase(name, pattern) for pattern in include):
            continue
        if isinstance(part, DerivedWeights):
            own = part.parameters()
        else:
            own = [parameter for parameter in part.parameters(recurse=False) if parameter.dim() > 1]
        found.update({id(parameter): parameter for parameter in own})
    return list(found.values())
