"""Weights that a module makes before each use from others: by pruning, weight norm, spectral norm, parametrisations.

They become what they make, once and for all, before particles are fitted to them.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable

import torch
from torch import nn
from torch.nn.utils import parametrize, prune, remove_spectral_norm, remove_weight_norm

from ._layer_list import chosen, label
from ._parametrisation import derived_weight, own_class

HOOKS = {"WeightNorm": remove_weight_norm, "SpectralNorm": remove_spectral_norm}


def copied(module: nn.Module) -> nn.Module:
    """A deep copy, also where the module keeps tensors that were computed, which PyTorch does not copy by itself.

    Examples
    --------
    >>> layer = prune.l1_unstructured(nn.Linear(3, 2), "weight", amount=1)
    >>> torch.equal(copied(layer).weight, layer.weight)
    True
    """
    memo = {}
    for part in module.modules():
        for value in vars(part).values():
            for tensor in value if isinstance(value, (list, tuple)) else [value]:
                if isinstance(tensor, torch.Tensor) and not tensor.is_leaf:
                    memo[id(tensor)] = tensor.detach().clone()
    return copy.deepcopy(module, memo)


def fold_made_weights(
    module: nn.Module, *, include: Iterable[str] | str | None = None, exclude: Iterable[str] | str | None = None
) -> list[str]:
    """Make made weights ordinary parameters of the module; returns their names.

    Those that `include` and `exclude` leave out stay as they are.

    Examples
    --------
    >>> layer = nn.utils.parametrizations.weight_norm(nn.Linear(3, 2))
    >>> fold_made_weights(layer), type(layer), [name for name, _ in layer.named_parameters()]
    ([''], <class 'torch.nn.modules.linear.Linear'>, ['bias', 'weight'])
    """
    folded = []
    for place, part in module.named_modules():
        for name, remove in _makers(part):
            if chosen([label(place, name), place], include, exclude):
                remove()
                folded.append(label(place, name))
    return folded


def _makers(part):
    """(name of a parameter that is made, what makes it ordinary) of a module."""
    for hook in list(part._forward_pre_hooks.values()):
        if isinstance(hook, prune.BasePruningMethod):
            yield hook._tensor_name, lambda name=hook._tensor_name: prune.remove(part, name)
        elif type(hook).__name__ in HOOKS and type(hook).__module__.startswith("torch.nn.utils"):
            yield hook.name, lambda hook=hook: HOOKS[type(hook).__name__](part, hook.name)
    for name in list(part.parametrizations) if parametrize.is_parametrized(part) else ():
        if derived_weight(part, name) is None:
            yield name, lambda name=name: _unparametrised(part, name)


def _unparametrised(part, name):
    learns = any(parameter.requires_grad for parameter in part.parametrizations[name].parameters())
    with torch.no_grad():
        value = getattr(part, name).clone()
    own_class(part)  # that of a copy is shared with the original
    parametrize.remove_parametrizations(part, name)
    for kind in (part._parameters, part._buffers):
        kind.pop(name, None)
    part.register_parameter(name, nn.Parameter(value, learns))
