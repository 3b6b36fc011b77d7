"""Noise on what a module stores."""

from __future__ import annotations

from contextlib import contextmanager
from fnmatch import fnmatchcase

import torch

from ._base import Particles


def stored(module, include=None):
    """Parameters that noise perturbs: those of particles but biases, and of other layers those of two axes or more.

    With patterns in `include`, those of layers with such names only.
    """
    found = {}
    for name, part in module.named_modules():
        if include is not None and not any(fnmatchcase(name, pattern) for pattern in include):
            continue
        own = part.particles() if isinstance(part, Particles) else dict(part.named_parameters(recurse=False))
        for parameter in own.values():
            if isinstance(part, Particles) or parameter.dim() > 1:
                found[id(parameter)] = parameter
    return list(found.values())


@contextmanager
def noisy(module, delta, seed=0, include=None):
    """A context in which every stored number is off by uniform noise in [-delta, delta]; afterwards they are as before.

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
    parameters = stored(module, include) if delta else []
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
