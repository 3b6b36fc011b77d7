"""Which layers of a module can become particles, and why the others cannot."""

from __future__ import annotations

from dataclasses import dataclass, field
from fnmatch import fnmatchcase

import numpy as np
import torch
from torch import nn

from ._attention import DynMultiheadAttention
from ._base import Particles

KINDS = {nn.Linear: "linear", nn.Conv2d: "conv", nn.Embedding: "embedding"}


@dataclass
class Entry:
    """A module that owns parameters: its names, the weights (T, S, n, m) to be fitted, or why there are none."""

    name: str
    module: nn.Module
    kind: str
    reason: str = ""
    names: list = field(default_factory=list)  # every name under which it is found

    @property
    def weights(self):
        """The target of the fit, in float32 or float64."""
        weight = self.module.weight.detach().cpu()
        weight = weight if weight.dtype in (torch.float32, torch.float64) else weight.float()
        axes = (2, 3, 0, 1) if weight.dim() == 4 else (0, 1)
        return np.ascontiguousarray(weight.permute(axes).numpy()).reshape(self.shape)

    @property
    def shape(self):
        """(T, S, n, m) of the weights."""
        n, m, *window = self.module.weight.shape
        return (*(window or (1, 1)), n, m)

    @property
    def size(self):
        """How many weights."""
        return int(np.prod(self.shape))


def split_attention(module):
    """Give every nn.MultiheadAttention projections that are layers of their own; returns {name: why not}."""
    refused = {}
    for name, part in list(module.named_modules()):
        if type(part) is nn.MultiheadAttention:
            try:
                replace(module, name, DynMultiheadAttention.from_ordinary(part))
            except ValueError as error:
                refused[name] = str(error)
    return refused


def walk(module, include=None, exclude=None):
    """Every module that owns parameters, as Entries in the order of the module; those to convert have no reason.

    Raises
    ------
    ValueError
        If a pattern of include or exclude fits no module: a name mistyped would change the result silently.
    """
    refused = split_attention(module)
    found, order = {}, []
    for name, part in module.named_modules(remove_duplicate=False):
        if id(part) in found:
            found[id(part)].names.append(name)
        elif any(True for _ in part.parameters(recurse=False)):
            found[id(part)] = Entry(name, part, KINDS.get(type(part), type(part).__name__), "", [name])
            order.append(found[id(part)])
    _expect_matches([entry.name for entry in order], include, "include")
    _expect_matches([entry.name for entry in order], exclude, "exclude")
    owners = {}
    for entry in order:
        for parameter in entry.module.parameters(recurse=False):
            owners.setdefault(id(parameter), []).append(entry.name)
    for entry in order:
        entry.reason = refused.get(entry.name) or _reason(entry, owners, include, exclude)
    return order


def replace(module, name, part):
    """Put a module in the place of the one of that name."""
    parent, _, child = name.rpartition(".")
    setattr(module.get_submodule(parent), child, part)


def _reason(entry, owners, include, exclude):
    part = entry.module
    if isinstance(part, Particles):
        return "made of particles already"
    if entry.kind not in KINDS.values():
        for known in KINDS:
            if isinstance(part, known):
                return f"{type(part).__name__} computes with its weights in a way of its own"
        return _ordinary(part)
    if include is not None and not any(fnmatchcase(entry.name, pattern) for pattern in include):
        return "not among include"
    if exclude is not None and any(fnmatchcase(entry.name, pattern) for pattern in exclude):
        return "excluded"
    others = [name for name in owners[id(part.weight)] if name != entry.name]
    if others:
        return f"shares its weights with {others[0]}"
    if part.weight.is_meta:
        return "its weights are not in memory (meta device)"
    if not bool(torch.isfinite(part.weight).all()):
        return "its weights are not finite"
    if entry.kind == "embedding" and (part.max_norm is not None or part.sparse or part.scale_grad_by_freq):
        return "an embedding with max_norm, sparse or scale_grad_by_freq"
    return ""


def _ordinary(part):
    parameters = list(part.parameters(recurse=False))
    if all(p.dim() <= 1 for p in parameters):
        return "a norm, a scale or a bias: it stays ordinary"
    return f"no layer of particles stands for {type(part).__name__}"


def _expect_matches(names, patterns, what):
    for pattern in patterns or ():
        if not any(fnmatchcase(name, pattern) for name in names):
            shown = ", ".join(names[:6]) + (", ..." if len(names) > 6 else "")
            raise ValueError(f"{what}: got {pattern!r}, which fits no layer; there are {shown}.")
