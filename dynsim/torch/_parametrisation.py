"""Derived weights in the place of the weights of a module that keeps its class, and ordinary weights back again.

This is torch.nn.utils.parametrize with one change. There a module's class is replaced by one that is shared with its
deep copies, so that what is done to a copy breaks the original, and it cannot be pickled. Here every module has a class
of its own.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator

import torch
from torch import nn
from torch.nn.utils import parametrize

from ._particles import DerivedWeights


def derive(module: nn.Module, name: str, derived: DerivedWeights) -> None:
    """Let the parameter `name` of a module follow from `derived`.

    Examples
    --------
    >>> from dynsim.torch import Particles, WeightLayout
    >>> layer = nn.Linear(6, 4)
    >>> derive(layer, "weight", Particles(WeightLayout((4, 6)), copies=2, dim=3))
    >>> isinstance(layer, nn.Linear), layer.weight.shape, [name for name, _ in layer.named_parameters()][:2]
    (True, torch.Size([4, 6]), ['bias', 'parametrizations.weight.0.places_in'])
    """
    flat = module._parameters[name]
    with torch.device("meta"):  # nothing is computed: what is given up is compared by shape and type only
        module._parameters[name] = nn.Parameter(torch.empty(flat.shape, dtype=flat.dtype), flat.requires_grad)
    parametrize.register_parametrization(module, name, derived, unsafe=True)
    module.parametrizations.train(module.training)
    own_class(module)


def share(module: nn.Module, name: str, like: nn.Module, other: str) -> None:
    """Let the parameter `name` of a module be the derived weight `other` of `like`, which both then have in common."""
    derived = derived_weight(like, other)
    derived.attached = False
    derive(module, name, derived)
    module.parametrizations[name] = like.parametrizations[other]


def derived_weight(module: nn.Module, name: str = "weight") -> DerivedWeights | None:
    """What a parameter of a module follows from, or None if it is ordinary."""
    if not parametrize.is_parametrized(module, name):
        return None
    first = module.parametrizations[name][0]
    return first if isinstance(first, DerivedWeights) else None


def derived_weights(module: nn.Module) -> Iterator[tuple[str, nn.Module, str, DerivedWeights]]:
    """(name of the part, part, name of its parameter, what that follows from), under every name that it has."""
    for place, part in module.named_modules(remove_duplicate=False):
        for name in getattr(part, "parametrizations", ()) if parametrize.is_parametrized(part) else ():
            derived = derived_weight(part, name)
            if derived is not None:
                yield place, part, name, derived


def materialize(module: nn.Module) -> nn.Module:
    """Return a copy in which every derived weight is the ordinary parameter that it stands for.

    For export, for serving, and for other programs: its classes and the names of its state are the original's.

    Examples
    --------
    >>> from dynsim.torch import convert
    >>> made, _ = convert(nn.Sequential(nn.Linear(20, 16), nn.ReLU()), copies=2, dim=2, steps=5)
    >>> materialize(made)
    Sequential(
      (0): Linear(in_features=20, out_features=16, bias=True)
      (1): ReLU()
    )
    """
    module = copy.deepcopy(module)
    made = {}
    for _, part, name, derived in list(derived_weights(module)):
        if not parametrize.is_parametrized(part, name):
            continue  # the same part under another name
        if id(derived) not in made:
            learns = any(parameter.requires_grad for parameter in derived.parameters())
            with torch.no_grad():
                made[id(derived)] = nn.Parameter(getattr(part, name).clone(), learns)
        own_class(part)  # a class that copies itself shares it
        parametrize.remove_parametrizations(part, name)
        for kind in (part._parameters, part._buffers):
            kind.pop(name, None)
        part.register_parameter(name, made[id(derived)])
        if not parametrize.is_parametrized(part) and hasattr(part, "ordinary"):
            part.__class__ = part.ordinary
    return module


def own_class(module, ordinary=None):
    """Give a module a class of its own above the ordinary one, with a property for each parameter that is derived."""
    module.__class__ = _class_above(ordinary or type(module).__mro__[1], list(module.parametrizations))


def _class_above(ordinary, names):
    members = {name: _property(name) for name in names}

    def assign(self, name, value):
        if name in members and parametrize.is_parametrized(self, name):
            self.parametrizations[name].right_inverse(value)  # a parameter would not reach the property
        else:
            ordinary.__setattr__(self, name, value)

    members |= {"__setattr__": assign, "__reduce_ex__": _reduced, "__module__": ordinary.__module__}
    if not hasattr(ordinary, "__deepcopy__"):
        members["__deepcopy__"] = _deep_copy
    return type(f"Parametrized{ordinary.__name__}", (ordinary,), members)


def _property(name):
    def value(self):
        return self.parametrizations[name]()

    def assign(self, tensor):
        self.parametrizations[name].right_inverse(tensor)

    return property(value, assign)


def _deep_copy(self, memo):
    ordinary = type(self).__mro__[1]
    replica = ordinary.__new__(ordinary)
    memo[id(self)] = replica
    return _rebuilt(ordinary, copy.deepcopy(_state(self), memo), replica)


def _reduced(self, protocol):
    return _rebuilt, (type(self).__mro__[1], _state(self))


def _state(self):
    with torch.no_grad():  # recurrent layers keep the weights they used last, which cannot be copied with a gradient
        return self.__getstate__()


def _rebuilt(ordinary, state, module=None):
    module = ordinary.__new__(ordinary) if module is None else module
    module.__setstate__(state)
    own_class(module, ordinary)
    return module
