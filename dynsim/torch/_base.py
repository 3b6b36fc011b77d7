"""What all modules of particles have in common: their parameters, their weights, their counts."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from dynsim._check import as_count
from dynsim.kernels import Kernel
from dynsim.layers import SETS, random_places, start_strengths
from dynsim.learning import Target, Targets

from ._relation import relation


class Particles(nn.Module):
    """Places, lambdas and an optional low-rank part that stand for weights (T, S, n, m).

    `places_in` (S, H, m, d), `places_out` (T, H, n, d) and `strengths` (T, S, H), with full sets with an axis of two in
    front; `left` (T, n, r) and `right` (r, S, m) are there when rank is above 0. They begin as `dynsim.layers` says:
    zero mean and He scale.
    """

    def __init__(self, shape, copies, dim, kernel, rank=0, sets="half", device=None, dtype=None):
        super().__init__()
        t, s, n, m = shape
        self.kernel = kernel or Kernel()
        if not isinstance(self.kernel, Kernel):
            raise TypeError(f"kernel: got {type(kernel).__name__}; expected a dynsim.Kernel.")
        if sets not in SETS:
            raise ValueError(f"sets: got {sets!r}; expected one of {', '.join(SETS)}.")
        self.sets, self.rank = sets, as_count(rank, "rank", 0)
        copies, dim = as_count(copies, "copies"), as_count(dim, "dim")
        dtype = dtype or torch.get_default_dtype()
        # torch.manual_seed decides, as with every module.
        generator = np.random.default_rng(torch.randint(2**62, ()).item())
        drawn = []
        for rows, columns in ((t, s), (s, t))[: 1 if sets == "half" else 2]:
            sources = random_places(generator, columns, copies, m, dim, dtype=np.float64)
            targets = random_places(generator, rows, copies, n, dim, dtype=np.float64)
            drawn.append((sources, targets, start_strengths(self.kernel, sources, targets)))
        arrays = drawn[0] if sets == "half" else [np.stack(parts) for parts in zip(*drawn, strict=True)]
        for name, array in zip(("places_in", "places_out", "strengths"), arrays, strict=True):
            setattr(self, name, nn.Parameter(torch.as_tensor(array, dtype=dtype, device=device)))
        left = right = None
        if self.rank:
            left = nn.Parameter(torch.randn(t, n, self.rank, dtype=dtype, device=device) / self.rank**0.5)
            right = nn.Parameter(torch.zeros(self.rank, s, m, dtype=dtype, device=device))
        self.register_parameter("left", left)
        self.register_parameter("right", right)

    @property
    def copies(self):
        """H."""
        return self.strengths.shape[-1]

    @property
    def dim(self):
        """d."""
        return self.places_in.shape[-1]

    def particles(self):
        """The parameters that stand for weights, `{name: Parameter}`."""
        names = ("places_in", "places_out", "strengths", "left", "right")
        return {name: getattr(self, name) for name in names if getattr(self, name) is not None}

    def least_squares(self):
        """Its weights as a problem of least squares in its `unknowns` (see `dynsim.learning.Targets`), all wanted 0."""
        halves = 1 if self.sets == "half" else 2
        shape = [*self.strengths.shape[-3:-1], self.places_out.shape[-2], self.places_in.shape[-2]]
        relations = [(3 * k, 3 * k + 1, 3 * k + 2, bool(k)) for k in range(halves)]
        factors = (3 * halves, 3 * halves + 1) if self.rank else None
        zero = np.broadcast_to(np.float32(0), shape)
        return Targets([Target(self.kernel, zero, relations=relations, factors=factors)])

    def unknowns(self, named):
        """Of tensors by the names of its `particles`, views in the order of `least_squares`."""
        parts = [named[name] for name in ("places_in", "places_out", "strengths")]
        halves = parts if self.sets == "half" else [part[k] for k in range(2) for part in parts]
        return [*halves, *(named[name] for name in ("left", "right") if name in named)]

    def relations(self):
        """The weights as (T, S, n, m), differentiable."""
        if self.sets == "half":
            weights = relation(self.kernel, self.places_in, self.places_out, self.strengths)
        else:
            parts = (self.places_in, self.places_out, self.strengths)
            weights = relation(self.kernel, *(part[0] for part in parts))
            weights = weights + relation(self.kernel, *(part[1] for part in parts)).transpose(0, 1)
        if self.left is not None:
            weights = weights + torch.einsum("tor,rsi->tsoi", self.left, self.right)
        return weights

    @torch.no_grad()
    def set_particles(self, fitted):
        """Take over places, lambdas and factors of a `dynsim.learning.FittedWeights`, of whatever copies and d."""
        for name, array in (
            ("places_in", fitted.sources),
            ("places_out", fitted.targets),
            ("strengths", fitted.strengths),
            ("left", fitted.left),
            ("right", fitted.right),
        ):
            old = self.strengths
            value = None if array is None else torch.tensor(array, dtype=old.dtype, device=old.device)
            setattr(self, name, None if value is None else nn.Parameter(value))
        self.rank = 0 if fitted.left is None else fitted.left.shape[-1]

    def _particles_repr(self):
        kernel = f"{self.kernel.profile}, {self.kernel.metric}"
        low = f", rank={self.rank}" if self.rank else ""
        return f"copies={self.copies}, dim={self.dim}{low}, kernel={kernel}"
