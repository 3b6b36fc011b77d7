"""Places, lambdas and a low-rank part as the parametrisation of a weight (torch.nn.utils.parametrize).

The layer keeps its class and its forward; its weight is the relation of its neurons, made anew when they have moved.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from dynsim._check import as_choice, as_count, as_instance, refusal
from dynsim.kernels import Kernel
from dynsim.layers import SETS, choose, random_places, start_strengths
from dynsim.learning import FittedWeights, Target, Targets

from ._torch_relation import are_plain, as_stored, full_layer, relation, relation_gradients
from ._weight_layout import WeightLayout

PARTS = ("places_in", "places_out", "strengths", "left", "right")


class DerivedWeights(nn.Module):
    """A parametrisation whose weight follows from parameters that `NaturalDescent` moves and `noisy` perturbs.

    It holds its parameters itself, so that they have names: `layer.parametrizations.weight[0].places_in`.
    """

    def __init__(self):
        super().__init__()
        self.attached = False

    def parts(self) -> dict[str, nn.Parameter]:
        """The parameters that stand for the weight, by name."""
        raise NotImplementedError

    def unknowns(self, named: Mapping[str, Tensor]) -> list[Tensor]:
        """Of tensors by the names of its `parts`, views in the order of `least_squares`."""
        raise NotImplementedError

    def least_squares(self) -> Targets:
        """Its weight as a problem of least squares in its `unknowns`, all targets being 0."""
        raise NotImplementedError

    def right_inverse(self, weight: Tensor) -> tuple:
        """Called by PyTorch with the weight that is given up, and with one that is assigned, which is refused."""
        if self.attached:
            came, do = f"a tensor of shape {tuple(weight.shape)}", "materialize the module first, or convert it again"
            raise refusal("weight", came, "none, as it follows from the places of neurons", do)
        self.attached = True
        return ()


class Particles(DerivedWeights):
    """Places, lambdas and an optional low-rank part that stand for a weight, as sets (T, S, n, m) of a `WeightLayout`.

    `places_in` (S, H, m, d), `places_out` (T, H, n, d) and `strengths` (T, S, H), with full sets with an axis of two in
    front; `left` (T, n, r) and `right` (r, S, m) are there when rank is above 0. They begin as in `dynsim.layers`, with
    zero mean and He scale.

    The weight is kept until a part has changed, which is seen by comparing the parts' numbers.

    Parameters
    ----------
    layout : WeightLayout
    copies, dim : int
        H and d.
    kernel : dynsim.Kernel, optional
    rank : int
        Of a low-rank part beside the particles; 0 is without.
    sets : {"half", "full"}
    padding : int, optional
        Row of the weight that is 0 and not made of particles: that of an embedding's `padding_idx`.
    device, dtype : optional
    """

    def __init__(
        self, layout: WeightLayout, *, copies: int = 2, dim: int = 8, kernel: Kernel | None = None, rank: int = 0,
        sets: str = "half", padding: int | None = None, device=None, dtype=None,
    ):  # fmt: skip
        super().__init__()
        kernel = as_instance(kernel or Kernel(), Kernel, "kernel")
        copies, dim = as_count(copies, "copies"), as_count(dim, "dim")
        as_choice(sets, SETS, "sets"), as_count(rank, "rank", 0)
        t, s, n, m = layout.sets
        # drawn from torch's generator, so that torch.manual_seed sets them as in every module
        generator = np.random.default_rng(torch.randint(2**62, ()).item())
        drawn = []
        for rows, columns in ((t, s), (s, t))[: 1 if sets == "half" else 2]:
            sources = random_places(generator, columns, copies, m, dim, dtype=np.float64)
            targets = random_places(generator, rows, copies, n, dim, dtype=np.float64)
            drawn.append((sources, targets, start_strengths(kernel, sources, targets)))
        parts = list(drawn[0]) if sets == "half" else [np.stack(pair) for pair in zip(*drawn, strict=True)]
        factors = [torch.randn(t, n, rank) / rank**0.5, torch.zeros(rank, s, m)] if rank else [None, None]
        like = {"dtype": dtype or torch.get_default_dtype(), "device": device}
        self._hold(layout, kernel, [*parts, *factors], sets, padding, like)

    @classmethod
    def fitted(
        cls, layout: WeightLayout, found: FittedWeights, kernel: Kernel, weight: Tensor, *, sets: str = "half",
        padding: int | None = None, row: Tensor | None = None,
    ) -> Particles:  # fmt: skip
        """What was fitted to a weight, in its dtype, on its device; it learns if the weight does.

        `row` has the numbers of the row `padding`, None if they are 0. Raises ValueError where shapes do not fit.
        """
        self = cls.__new__(cls)
        DerivedWeights.__init__(self)
        parts = [found.sources, found.targets, found.strengths, found.left, found.right]
        _expect_shapes(layout.sets, sets, parts)
        like = {"dtype": weight.dtype, "device": weight.device}
        self._hold(layout, kernel, parts, sets, padding, like, row, weight.requires_grad)
        return self

    def _hold(self, layout, kernel, parts, sets, padding, like, row=None, learns=True):
        self.layout, self.kernel, self.sets, self.padding = layout, kernel, sets, padding
        self.made = self.kept = None
        for name, part in zip(PARTS, parts, strict=True):
            held = None if part is None else nn.Parameter(torch.as_tensor(part).to(**like).clone(), learns)
            self.register_parameter(name, held)
        self.register_buffer("row", None if row is None else row.detach().to(**like).clone())

    @property
    def copies(self) -> int:
        """H."""
        return self.strengths.shape[-1]

    @property
    def dim(self) -> int:
        """d."""
        return self.places_in.shape[-1]

    @property
    def rank(self) -> int:
        """Of the low-rank part; 0 without."""
        return 0 if self.left is None else self.left.shape[-1]

    def parts(self):
        """The parameters that stand for the weight, `{name: Parameter}`."""
        return {name: getattr(self, name) for name in PARTS if getattr(self, name) is not None}

    def least_squares(self):
        """Its weight as a problem of least squares in its `unknowns`, all targets being 0."""
        halves = 1 if self.sets == "half" else 2
        relations = [(3 * k, 3 * k + 1, 3 * k + 2, bool(k)) for k in range(halves)]
        factors = (3 * halves, 3 * halves + 1) if self.rank else None
        zero = np.broadcast_to(np.float32(0), self.layout.sets)
        return Targets([Target(self.kernel, zero, relations=relations, factors=factors)])

    def unknowns(self, named):
        """Of tensors by the names of its `parts`, views in the order of `least_squares`."""
        parts = [named[name] for name in PARTS[:3]]
        halves = parts if self.sets == "half" else [part[k] for k in range(2) for part in parts]
        return [*halves, *(named[name] for name in PARTS[3:] if name in named)]

    def forward(self) -> Tensor:
        """The weight, differentiable in the parts."""
        parts = list(self.parts().values())
        if not are_plain(parts):
            return self._make()
        if not self._is_current(parts):
            with torch.inference_mode(False), torch.no_grad():
                weight = self._make()
                self.made = weight, weight._version, [part.detach().clone() for part in parts]
        weight = self.made[0]
        if torch.is_grad_enabled() and any(part.requires_grad for part in parts):
            return _Made.apply(self, weight, *parts)
        return weight

    def rows(self, numbers: Tensor) -> Tensor:
        """Of the table that an embedding's weight is, the rows of these numbers, which alone are made."""
        found = relation(self.kernel, self.places_in, self.places_out[:, :, numbers], self.strengths)[0, 0]
        if self.left is not None:
            found = found + as_stored(torch.matmul, self.left[0, numbers], self.right[:, 0])
        if self.padding is None:
            return found
        other = torch.zeros_like(found[:1]) if self.row is None else self.row
        return torch.where((numbers == self.padding)[:, None], other, found)

    def product(self, inference: str, columns: int):
        """Of a full layer, the product of the particles with signals (m, s), as `dynsim.layers.Full.product`.

        Made without the low-rank part, and kept until a part has changed or, with auto, `columns` ask for another.
        """
        (_, copies, m, d), n = self.places_in.shape, self.places_out.shape[2]
        way = choose(inference, self.kernel, m=m, n=n, d=d, copies=copies, columns=columns, kept=True)
        parts = [self.places_in, self.places_out, self.strengths]
        if self.kept is None or self.kept[0] != way or not all(map(_same, parts, self.kept[2])):
            self.kept = way, full_layer(self).product(way), [part.detach().clone() for part in parts]
        return self.kept[1]

    def _is_current(self, parts):
        """Whether the weight that was made last is that of the parts, and nobody has written to it."""
        if self.made is None:
            return False
        weight, version, before = self.made
        return weight._version == version and len(parts) == len(before) and all(map(_same, parts, before))

    def _make(self):
        weights = self._relations()
        if self.left is not None:
            weights = weights + as_stored(torch.einsum, "tor,rsi->tsoi", self.left, self.right)
        weight = self.layout.from_sets(weights)
        if self.padding is None:
            return weight
        row = torch.zeros_like(weight[:1]) if self.row is None else self.row[None]
        return torch.cat([weight[: self.padding], row, weight[self.padding + 1 :]])

    def _relations(self):
        parts = (self.places_in, self.places_out, self.strengths)
        if self.sets == "half":
            return relation(self.kernel, *parts)
        first, second = (relation(self.kernel, *(part[k] for part in parts)) for k in range(2))
        return first + second.transpose(0, 1)

    def __getstate__(self):
        return {**self.__dict__, "made": None, "kept": None}  # what is copied or sent elsewhere makes it anew

    def extra_repr(self):
        """The sizes that `print(module)` shows."""
        low = f", rank={self.rank}" if self.rank else ""
        sets = f", sets={self.sets}" if self.layout.sets[:2] != (1, 1) else ""
        return f"copies={self.copies}, dim={self.dim}{low}, kernel={self.kernel.profile}, {self.kernel.metric}{sets}"


def _expect_shapes(shape, sets, parts):
    """Refuse parts that do not make weights of this shape (T, S, n, m)."""
    (t, s, n, m), lead = shape, () if sets == "half" else (2,)
    found = {name: None if part is None else tuple(part.shape) for name, part in zip(PARTS, parts, strict=True)}
    h, _, d = found["places_in"][-3:] if found["places_in"] else (0, 0, 0)
    r = None if found["left"] is None else found["left"][-1]
    expected = {"places_in": (*lead, s, h, m, d), "places_out": (*lead, t, h, n, d), "strengths": (*lead, t, s, h)}
    expected |= {"left": r and (t, n, r), "right": r and (r, s, m)}
    for name, wanted in expected.items():
        if found[name] != wanted:
            raise refusal(name, found[name], wanted)


def _same(part, before):
    if (part.dtype, part.device, part.shape) != (before.dtype, before.device, before.shape):
        return False
    return torch.equal(part.detach(), before)


class _Made(torch.autograd.Function):
    """A weight that was made before, as a function of the parts it was made of."""

    @staticmethod
    def forward(context, particles, weight, *parts):
        context.particles = particles
        context.save_for_backward(*parts)
        return weight.detach()

    @staticmethod
    @once_differentiable
    def backward(context, gradient):
        parts, own = context.saved_tensors, context.particles
        gradient = own.layout.to_sets(_without(gradient, own.padding)).contiguous()
        if own.sets == "half":
            found = list(relation_gradients(own.kernel, *parts[:3], gradient))
        else:
            swapped = (gradient, gradient.transpose(0, 1).contiguous())
            halves = [
                relation_gradients(own.kernel, *(part[k] for part in parts[:3]), one) for k, one in enumerate(swapped)
            ]
            found = [torch.stack(pair) for pair in zip(*halves, strict=True)]
        if len(parts) > 3:
            left, right = parts[3:]
            found.append(as_stored(torch.einsum, "tsoi,rsi->tor", gradient, right))
            found.append(as_stored(torch.einsum, "tsoi,tor->rsi", gradient, left))
        return None, None, *found


def _without(gradient, padding):
    """A gradient in the weight without the row that is not made of particles."""
    if padding is None:
        return gradient
    return gradient.index_fill(0, torch.tensor([padding], device=gradient.device), 0.0)
