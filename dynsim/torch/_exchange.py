"""Which layers of a module can become particles, and the exchange of ordinary layers for particles and back."""

from __future__ import annotations

import copy
from collections.abc import Iterable
from dataclasses import dataclass, field
from fnmatch import fnmatchcase

import numpy as np
import torch
from torch import nn

from dynsim._check import refusal

from ._modules import DynConv2d, DynEmbedding, DynLinear, Particles
from ._multihead import DynMultiheadAttention

KINDS = {nn.Linear: "linear", nn.Conv2d: "conv", nn.Embedding: "embedding"}
CONV = ("in_channels", "out_channels", "kernel_size", "stride", "padding", "dilation", "groups", "padding_mode")


@dataclass
class LayerEntry:
    """A module that owns parameters: its names, the weights (T, S, n, m) to be fitted, or why they are not."""

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
        """Number of weights."""
        return int(np.prod(self.shape))


def list_layers(
    module: nn.Module, *, include: Iterable[str] | None = None, exclude: Iterable[str] | None = None
) -> list[LayerEntry]:
    """Every module that owns parameters, in the order of the module; those to convert have no reason.

    Every nn.MultiheadAttention in `module` is first split into layers (see `split_attention`).

    Raises
    ------
    ValueError
        If a pattern of include or exclude matches no module: a mistyped name would change the result silently.
    """
    refused = split_attention(module)
    found = {}
    for name, part in module.named_modules(remove_duplicate=False):
        if id(part) in found:
            found[id(part)].names.append(name)
        elif any(True for _ in part.parameters(recurse=False)):
            found[id(part)] = LayerEntry(name, part, KINDS.get(type(part), type(part).__name__), "", [name])
    entries = list(found.values())
    for patterns, what in ((include, "include"), (exclude, "exclude")):
        _expect_matches([entry.name for entry in entries], patterns, what)
    owners = {}
    for entry in entries:
        for parameter in entry.module.parameters(recurse=False):
            owners.setdefault(id(parameter), []).append(entry.name)
    for entry in entries:
        entry.reason = refused.get(entry.name) or _reason(entry, owners, include, exclude)
    return entries


def split_attention(module):
    """Give every nn.MultiheadAttention separate layers as its projections; returns {name: why not} for the others."""
    refused = {}
    for name, part in list(module.named_modules()):
        if type(part) is nn.MultiheadAttention:
            try:
                replace_layer(module, name, layer=DynMultiheadAttention.from_ordinary(part))
            except ValueError as error:
                refused[name] = str(error)
    return refused


def replace_layer(module: nn.Module, name: str, *, layer: nn.Module) -> None:
    """Put a layer in the place of the one of that name."""
    parent, _, child = name.rpartition(".")
    setattr(module.get_submodule(parent), child, layer)


def _reason(entry, owners, include, exclude):
    part = entry.module
    if isinstance(part, Particles):
        return "made of particles already"
    if entry.kind not in KINDS.values():
        if isinstance(part, tuple(KINDS)):
            return f"{type(part).__name__} computes with its weights in another way"
        if all(p.dim() <= 1 for p in part.parameters(recurse=False)):
            return "a norm, a scale or a bias: it stays ordinary"
        return f"no layer of particles stands for {type(part).__name__}"
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


def _expect_matches(names, patterns, what):
    for pattern in patterns or ():
        if not any(fnmatchcase(name, pattern) for name in names):
            shown = ", ".join(names[:6]) + (", ..." if len(names) > 6 else "")
            raise refusal(what, repr(pattern), f"a pattern that matches a layer, of {shown}")


def to_particles(layer, fitted, kernel, sets="half"):
    """The module of particles for an ordinary layer, with what was fitted to its weights; its bias is copied."""
    options = {"copies": 1, "dim": 1, "kernel": kernel}  # set_particles gives the true ones
    options |= {"device": layer.weight.device, "dtype": layer.weight.dtype}
    if isinstance(layer, nn.Embedding):
        new = DynEmbedding(layer.num_embeddings, layer.embedding_dim, padding_idx=layer.padding_idx, **options)
    else:
        options["bias"] = layer.bias is not None
        if isinstance(layer, nn.Linear):
            new = DynLinear(layer.in_features, layer.out_features, **options)
        else:
            new = DynConv2d(**{name: getattr(layer, name) for name in CONV}, sets=sets, **options)
    new.set_particles(fitted)
    return _like(new, layer)


def to_ordinary(layer):
    """The ordinary layer that a module of particles stands for."""
    options = {"device": layer.strengths.device, "dtype": layer.strengths.dtype}
    if isinstance(layer, DynEmbedding):
        new = nn.Embedding(layer.num_embeddings, layer.embedding_dim, layer.padding_idx, **options)
    elif isinstance(layer, DynLinear):
        new = nn.Linear(layer.in_features, layer.out_features, layer.bias is not None, **options)
    else:
        shape = {name: getattr(layer, name) for name in CONV}
        new = nn.Conv2d(**shape, bias=layer.bias is not None, **options)
    with torch.no_grad():
        new.weight.copy_(layer.materialize())
    return _like(new, layer)


@torch.no_grad()
def _like(new, layer):
    """`new` with the bias and the mode of `layer`."""
    if not isinstance(layer, nn.Embedding) and layer.bias is not None:
        new.bias.copy_(layer.bias)
    return new.train(layer.training)


def materialize(module: nn.Module) -> nn.Module:
    """Return a copy in which every layer of particles is the ordinary layer that it stands for.

    For export, for serving, and for layers whose weights are used often and never change.

    Examples
    --------
    >>> from torch import nn
    >>> from dynsim.torch import DynLinear
    >>> materialize(nn.Sequential(DynLinear(4, 3), nn.ReLU()))
    Sequential(
      (0): Linear(in_features=4, out_features=3, bias=True)
      (1): ReLU()
    )
    """
    if isinstance(module, Particles):
        return to_ordinary(module)
    module = copy.deepcopy(module)
    made = {}
    for name, part in list(module.named_modules(remove_duplicate=False)):
        if isinstance(part, Particles):
            if id(part) not in made:
                made[id(part)] = to_ordinary(part)
            replace_layer(module, name, layer=made[id(part)])
    return module
