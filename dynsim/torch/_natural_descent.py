"""Natural gradient for places: neurons move such that the weights between them follow the gradient on weights."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import nn

from dynsim._check import as_count, as_number, refusal
from dynsim.learning import Targets, apply_inverse

from ._particles import DerivedWeights

RIDGE = 0.01  # of the blocks' diagonal: directions in which a neuron's weights hardly change are not followed far
FLOOR = 1e-4  # of the layer's mean: a low-rank part that begins at 0 has blocks of zeros


class NaturalDescent(torch.optim.Optimizer):
    """Gradient descent with momentum, measured in the weights that places, lambdas and factors stand for.

    Neurons have collective moves, such as all of a set away from the others, that change all weights alike and far
    more than the move of a single neuron; a step along the plain force, or one of Adam, follows these and destroys what
    was learned. Here every neuron moves by -rate (J^T J)^-1 dL/dq, J being the derivative of its weights by its H
    places: of all its moves the one nearest to descent on the weights (Amari, Neural Computation 1998; for low rank
    Tong et al., JMLR 2021). Physically this is overdamped motion with a separate mobility for each neuron.

    Only layers of particles move (in general: `DerivedWeights`); leave all other parameters to another optimiser.

    Parameters
    ----------
    module : torch.nn.Module
    rate : float
        As in gradient descent on ordinary weights.
    momentum : float
    refresh : int
        Steps after which mobilities are computed anew; `refresh()` does so at once.

    Raises
    ------
    ValueError, TypeError
        If an argument is out of range or there is no layer of particles.

    Examples
    --------
    >>> import torch
    >>> from dynsim.torch import DynLinear, NaturalDescent
    >>> _ = torch.manual_seed(0)  # a long step may go too far where two neurons happen to lie close together
    >>> layer = DynLinear(6, 4, copies=2, dim=3)
    >>> optimizer, x = NaturalDescent(layer, rate=0.01), torch.ones(5, 6)
    >>> before = layer(x).square().mean()
    >>> before.backward(); optimizer.step(); bool(layer(x).square().mean() < before)
    True
    """

    def __init__(self, module: nn.Module, rate: float = 0.001, *, momentum: float = 0.9, refresh: int = 10):
        layers = [part for part in module.modules() if isinstance(part, DerivedWeights) and part.parts()]
        if not layers:
            raise refusal("module", "no layers of particles", "a converted module", "convert it first")
        self.every, self.left, self.inverses = as_count(refresh, "refresh"), 0, None
        self.problem, self.unknowns = _common(layers)
        options = {"lr": as_number(rate, "rate", above=0), "momentum": as_number(momentum, "momentum", minimum=0)}
        unique = {id(p): p for layer in layers for p in layer.parts().values()}
        super().__init__(list(unique.values()), options)

    def refresh(self) -> None:
        """Compute the mobilities at the present places."""
        x = self._views(lambda p: p.detach())
        inverses = self.problem.inverses([part.cpu().numpy() for part in x], ridge=RIDGE, floor=FLOOR)
        self.inverses = [torch.as_tensor(inverse).to(part) for inverse, part in zip(inverses, x, strict=True)]
        self.left = self.every

    @torch.no_grad()
    def step(self, closure=None):
        """Move all neurons; returns what `closure` returns."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        if self.left == 0:
            self.refresh()
        self.left -= 1
        (group,) = self.param_groups
        velocities = {p: self._velocity(p, group["momentum"]) for p in group["params"]}
        forces = self._views(lambda p: torch.zeros_like(p) if p.grad is None else p.grad)
        for velocity, force, inverse in zip(self._views(velocities.get), forces, self.inverses, strict=True):
            velocity += apply_inverse(inverse, force)
        for p, velocity in velocities.items():
            p -= group["lr"] * velocity
        return loss

    def _views(self, tensor):
        """Of what `tensor` gives for every parameter, the views that are unknowns of the problem."""
        return [layer.unknowns({name: tensor(p) for name, p in layer.parts().items()})[k] for layer, k in self.unknowns]

    def _velocity(self, parameter, momentum):
        state = self.state[parameter]
        if "velocity" not in state:
            state["velocity"] = torch.zeros_like(parameter)
        return state["velocity"].mul_(momentum)


def _common(layers):
    """One problem for all layers, as neurons may be shared, and its unknowns as (layer, which of its own)."""
    places, unknowns, targets = {}, [], []
    for layer in layers:
        number = []
        for k, view in enumerate(layer.unknowns(layer.parts())):
            key = (view.data_ptr(), tuple(view.shape))
            if key not in places:
                places[key] = len(unknowns)
                unknowns.append((layer, k))
            number.append(places[key])
        for target in layer.least_squares().targets:
            relations = [(number[a], number[b], number[c], swapped) for a, b, c, swapped in target.relations]
            factors = None if target.factors is None else tuple(number[k] for k in target.factors)
            targets.append(replace(target, relations=relations, factors=factors))
    return Targets(targets), unknowns
