"""From an ordinary layer to one of particles, and back."""

from __future__ import annotations

import torch
from torch import nn

from ._conv import DynConv2d
from ._embedding import DynEmbedding
from ._linear import DynLinear


def particles_of(layer, fitted, kernel, sets="half", inference="dense"):
    """The module of particles for an ordinary layer, with what was fitted to its weights; its bias is copied."""
    small = {"copies": 1, "dim": 1, "kernel": kernel}  # set_particles gives the true ones
    like = {"device": layer.weight.device, "dtype": layer.weight.dtype}
    if isinstance(layer, nn.Embedding):
        new = DynEmbedding(layer.num_embeddings, layer.embedding_dim, layer.padding_idx, **small, **like)
    elif isinstance(layer, nn.Linear):
        bias = layer.bias is not None
        new = DynLinear(layer.in_features, layer.out_features, bias=bias, inference=inference, **small, **like)
    else:
        names = ("in_channels", "out_channels", "kernel_size", "stride", "padding", "dilation", "groups")
        shape = {name: getattr(layer, name) for name in (*names, "padding_mode")}
        new = DynConv2d(**shape, bias=layer.bias is not None, sets=sets, **small, **like)
    new.set_particles(fitted)
    if getattr(layer, "bias", None) is not None:
        with torch.no_grad():
            new.bias.copy_(layer.bias)
    new.train(layer.training)
    return new


def ordinary_of(layer):
    """The ordinary layer that a module of particles stands for."""
    like = {"device": layer.strengths.device, "dtype": layer.strengths.dtype}
    if isinstance(layer, DynEmbedding):
        new = nn.Embedding(layer.num_embeddings, layer.embedding_dim, layer.padding_idx, **like)
    elif isinstance(layer, DynLinear):
        new = nn.Linear(layer.in_features, layer.out_features, layer.bias is not None, **like)
    else:
        names = ("in_channels", "out_channels", "kernel_size", "stride", "padding", "dilation", "groups")
        shape = {name: getattr(layer, name) for name in (*names, "padding_mode")}
        new = nn.Conv2d(**shape, bias=layer.bias is not None, **like)
    with torch.no_grad():
        new.weight.copy_(layer.materialize())
        if getattr(layer, "bias", None) is not None:
            new.bias.copy_(layer.bias)
    new.train(layer.training)
    return new
