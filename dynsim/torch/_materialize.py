"""Ordinary weights again: for export, for serving, and for layers whose weights are used often and change never."""

from __future__ import annotations

import copy

from ._base import Particles
from ._replace import ordinary_of
from ._walk import replace


def materialize(module):
    """Return a copy of a module in which every layer of particles is the ordinary layer that it stands for.

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
        return ordinary_of(module)
    module = copy.deepcopy(module)
    made = {}
    for name, part in list(module.named_modules(remove_duplicate=False)):
        if isinstance(part, Particles):
            if id(part) not in made:
                made[id(part)] = ordinary_of(part)
            replace(module, name, made[id(part)])
    return module
