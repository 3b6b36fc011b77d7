"""Layers of PyTorch whose weights are relations of particles: full, convolutional, and embeddings."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.modules.utils import _pair

from dynsim._check import as_choice, as_count, as_instance, refusal
from dynsim.kernels import Kernel
from dynsim.layers import INFERENCE, SETS, random_places, start_strengths
from dynsim.learning import FittedWeights, Target, Targets

from ._torch_relation import product_without_weights, relation

PARTS = ("places_in", "places_out", "strengths", "left", "right")
PADDING_MODES = ("zeros", "reflect", "replicate", "circular")


class DerivedWeights(nn.Module):
    """A layer whose weights follow from other parameters, which `NaturalDescent` moves and `noisy` perturbs."""

    def particles(self) -> dict[str, nn.Parameter]:
        """The parameters that stand for weights, by name."""
        raise NotImplementedError

    def unknowns(self, named: Mapping[str, Tensor]) -> list[Tensor]:
        """Of tensors by the names of its `particles`, views in the order of `least_squares`."""
        raise NotImplementedError

    def least_squares(self) -> Targets:
        """Its weights as a problem of least squares in its `unknowns`, all targets being 0."""
        raise NotImplementedError

    def materialize(self) -> Tensor:
        """Return the weights, differentiable."""
        raise NotImplementedError


class Particles(DerivedWeights):
    """Places, lambdas and an optional low-rank part that stand for weights (T, S, n, m).

    `places_in` (S, H, m, d), `places_out` (T, H, n, d) and `strengths` (T, S, H), with full sets with an axis of two in
    front; `left` (T, n, r) and `right` (r, S, m) are there when rank is above 0. They begin as in `dynsim.layers`, with
    zero mean and He scale.
    """

    def __init__(self, shape, *, copies, dim, kernel, rank, sets="half", bias=False, device=None, dtype=None):
        super().__init__()
        t, s, n, m = shape
        self.kernel = as_instance(kernel or Kernel(), Kernel, "kernel")
        self.sets, self.rank = as_choice(sets, SETS, "sets"), as_count(rank, "rank", 0)
        copies, dim = as_count(copies, "copies"), as_count(dim, "dim")
        dtype = dtype or torch.get_default_dtype()
        # drawn from torch's generator, so that torch.manual_seed sets them as in every module
        generator = np.random.default_rng(torch.randint(2**62, ()).item())
        drawn = []
        for rows, columns in ((t, s), (s, t))[: 1 if sets == "half" else 2]:
            sources = random_places(generator, columns, copies, m, dim, dtype=np.float64)
            targets = random_places(generator, rows, copies, n, dim, dtype=np.float64)
            drawn.append((sources, targets, start_strengths(self.kernel, sources, targets)))
        arrays = drawn[0] if sets == "half" else [np.stack(parts) for parts in zip(*drawn, strict=True)]
        for name, array in zip(PARTS[:3], arrays, strict=True):
            setattr(self, name, nn.Parameter(torch.as_tensor(array, dtype=dtype, device=device)))
        left = right = None
        if self.rank:
            left = nn.Parameter(torch.randn(t, n, self.rank, dtype=dtype, device=device) / self.rank**0.5)
            right = nn.Parameter(torch.zeros(self.rank, s, m, dtype=dtype, device=device))
        self.register_parameter("left", left)
        self.register_parameter("right", right)
        self.register_parameter("bias", nn.Parameter(torch.zeros(n, dtype=dtype, device=device)) if bias else None)

    @property
    def copies(self) -> int:
        """H."""
        return self.strengths.shape[-1]

    @property
    def dim(self) -> int:
        """d."""
        return self.places_in.shape[-1]

    @property
    def weight(self) -> Tensor:
        """The weights, computed anew; for code that reads `layer.weight`."""
        return self.materialize()

    def particles(self):
        """The parameters that stand for weights, `{name: Parameter}`."""
        return {name: getattr(self, name) for name in PARTS if getattr(self, name) is not None}

    def least_squares(self):
        """Its weights as a problem of least squares in its `unknowns`, all targets being 0."""
        halves = 1 if self.sets == "half" else 2
        shape = [*self.strengths.shape[-3:-1], self.places_out.shape[-2], self.places_in.shape[-2]]
        relations = [(3 * k, 3 * k + 1, 3 * k + 2, bool(k)) for k in range(halves)]
        factors = (3 * halves, 3 * halves + 1) if self.rank else None
        zero = np.broadcast_to(np.float32(0), shape)
        return Targets([Target(self.kernel, zero, relations=relations, factors=factors)])

    def unknowns(self, named):
        """Of tensors by the names of its `particles`, views in the order of `least_squares`."""
        parts = [named[name] for name in PARTS[:3]]
        halves = parts if self.sets == "half" else [part[k] for k in range(2) for part in parts]
        return [*halves, *(named[name] for name in PARTS[3:] if name in named)]

    def relations(self) -> Tensor:
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
    def set_particles(self, fitted: FittedWeights) -> None:
        """Take the places, lambdas and factors of a `dynsim.learning.FittedWeights`, of whatever copies and d."""
        arrays = (fitted.sources, fitted.targets, fitted.strengths, fitted.left, fitted.right)
        like = {"dtype": self.strengths.dtype, "device": self.strengths.device}
        for name, array in zip(PARTS, arrays, strict=True):
            setattr(self, name, None if array is None else nn.Parameter(torch.tensor(array, **like)))
        self.rank = 0 if fitted.left is None else fitted.left.shape[-1]

    def _particles_repr(self):
        kernel = f"{self.kernel.profile}, {self.kernel.metric}"
        low = f", rank={self.rank}" if self.rank else ""
        return f"copies={self.copies}, dim={self.dim}{low}, kernel={kernel}"


class DynLinear(Particles):
    """A full layer whose weights are the relation of its input and output neurons, with an optional low-rank part.

    W[o, i] = sum_h lambda_h phi(q_in[h, i], q_out[h, o]) + sum_r left[o, r] right[r, i]

    A layer shares its neurons with the one before it when both hold the same parameter:
    ``second.places_in = first.places_out`` (both have one set and as many copies and axes).

    Parameters
    ----------
    in_features, out_features : int
    bias : bool
    copies, dim : int
        H and d.
    kernel : dynsim.Kernel, optional
    rank : int
        Of a low-rank part beside the particles; 0 is without.
    inference : {"dense", "weight-free", "auto", "tiled"}
        How to compute when no gradient is needed; all but "dense" are those of `dynsim.layers`, on the processor.
        "weight-free" needs the linear kernel of l1 distances, and there gradients are sorted sums, too.
    device, dtype : optional

    Raises
    ------
    ValueError, TypeError
        If an argument is out of range.

    Examples
    --------
    >>> import torch
    >>> layer = DynLinear(6, 4, copies=2, dim=3)
    >>> layer(torch.zeros(5, 6)).shape, layer.materialize().shape
    (torch.Size([5, 4]), torch.Size([4, 6]))
    """

    def __init__(
        self, in_features: int, out_features: int, *, bias: bool = True, copies: int = 2, dim: int = 8,
        kernel: Kernel | None = None, rank: int = 0, inference: str = "dense", device=None, dtype=None,
    ):  # fmt: skip
        options = {"copies": copies, "dim": dim, "kernel": kernel, "rank": rank, "device": device, "dtype": dtype}
        super().__init__((1, 1, out_features, in_features), bias=bias, **options)
        self.in_features, self.out_features = in_features, out_features
        self.inference = as_choice(inference, INFERENCE, "inference")

    def materialize(self) -> Tensor:
        """Return the weights (out_features, in_features), differentiable."""
        return self.relations()[0, 0]

    def forward(self, x):
        """Map (..., in_features) to (..., out_features)."""
        if self.inference == "dense":
            return functional.linear(x, self.materialize(), self.bias)
        return product_without_weights(self, x)

    def extra_repr(self):
        """The arguments that `print(module)` shows."""
        return f"{self.in_features}, {self.out_features}, {self._particles_repr()}, bias={self.bias is not None}"


class DynConv2d(Particles):
    """A convolution whose weights are relations between sets of places.

    With half sets, one set of output places for each kernel row and one of input places for each column::

        W[o, i, r, c] = sum_h lambda[r, c, h] phi(q_out[r, h, o], q_in[c, h, i]) + sum_q left[r, o, q] right[q, c, i]

    With full sets a second relation goes from the rows' inputs to the columns' outputs (see `dynsim.layers.Conv`).
    With groups, i is the place of an input within its group: all groups share the input neurons; in a depthwise
    convolution there is one for each column.

    Parameters
    ----------
    in_channels, out_channels, kernel_size, stride, padding, dilation, groups, bias, padding_mode
        As of `torch.nn.Conv2d`.
    copies, dim, kernel, rank
        As of `DynLinear`, and its errors.
    sets : {"half", "full"}

    Examples
    --------
    >>> import torch
    >>> layer = DynConv2d(3, 8, kernel_size=3, padding=1, copies=2, dim=4)
    >>> layer(torch.zeros(1, 3, 9, 9)).shape, layer.materialize().shape
    (torch.Size([1, 8, 9, 9]), torch.Size([8, 3, 3, 3]))
    """

    def __init__(
        self, in_channels: int, out_channels: int, *, kernel_size, stride=1, padding=0, dilation=1, groups: int = 1,
        bias: bool = True, padding_mode: str = "zeros", copies: int = 2, dim: int = 8, kernel: Kernel | None = None,
        rank: int = 0, sets: str = "half", device=None, dtype=None,
    ):  # fmt: skip
        if in_channels % groups or out_channels % groups:
            raise refusal("groups", groups, f"a divisor of {in_channels} and {out_channels} channels")
        as_choice(padding_mode, PADDING_MODES, "padding_mode")
        size = _pair(kernel_size)
        options = {"copies": copies, "dim": dim, "kernel": kernel, "rank": rank, "device": device, "dtype": dtype}
        super().__init__((*size, out_channels, in_channels // groups), sets=sets, bias=bias, **options)
        self.in_channels, self.out_channels, self.kernel_size = in_channels, out_channels, size
        self.stride, self.dilation, self.groups = _pair(stride), _pair(dilation), groups
        self.padding = padding if isinstance(padding, str) else _pair(padding)
        self.padding_mode = padding_mode

    def materialize(self) -> Tensor:
        """Return the weights (out_channels, in_channels / groups, rows, columns), differentiable."""
        return self.relations().permute(2, 3, 0, 1)

    def forward(self, x):
        """Map (batch, in_channels, height, width) to (batch, out_channels, ...)."""
        padding, weight = self.padding, self.materialize()
        if self.padding_mode != "zeros":
            x, padding = functional.pad(x, padding_sides(self), self.padding_mode), 0
        return functional.conv2d(x, weight, self.bias, self.stride, padding, self.dilation, self.groups)

    def extra_repr(self):
        """The arguments that `print(module)` shows."""
        shape = f"{self.in_channels}, {self.out_channels}, kernel_size={self.kernel_size}, stride={self.stride}"
        groups = f", groups={self.groups}" if self.groups > 1 else ""
        return f"{shape}, padding={self.padding}{groups}, {self._particles_repr()}, sets={self.sets}"


def with_weights(layer, weight, bias=None):
    """Give an ordinary layer (built on the meta device) copies of a weight and a bias; returns the layer."""
    layer.weight = nn.Parameter(weight.detach().clone())
    if bias is not None:
        layer.bias = nn.Parameter(bias.detach().clone())
    return layer


def padding_sides(layer):
    """[left, right, top, bottom] of a convolution's padding, as torch.nn.functional.pad takes them."""
    sides = []
    for axis in (1, 0):
        if layer.padding == "valid":
            low = high = 0
        elif layer.padding == "same":
            total = layer.dilation[axis] * (layer.kernel_size[axis] - 1)
            low, high = total // 2, total - total // 2
        else:
            low = high = layer.padding[axis]
        sides += [low, high]
    return sides


class DynEmbedding(Particles):
    """An embedding whose entries are the relation of tokens and axes; only the rows that are needed are computed.

    W[token, axis] = sum_h lambda_h phi(q_in[h, axis], q_out[h, token]) + sum_r left[token, r] right[r, axis]

    Parameters
    ----------
    num_embeddings, embedding_dim, padding_idx
        As of `torch.nn.Embedding`; the row of `padding_idx` is 0.
    copies, dim, kernel, rank
        As of `DynLinear`, and its errors.

    Examples
    --------
    >>> import torch
    >>> layer = DynEmbedding(10, 4, copies=2, dim=3)
    >>> rows = layer(torch.tensor([[1, 2], [1, 9]]))
    >>> rows.shape, torch.equal(rows[0, 0], rows[1, 0])
    (torch.Size([2, 2, 4]), True)
    """

    def __init__(
        self, num_embeddings: int, embedding_dim: int, *, padding_idx: int | None = None, copies: int = 2, dim: int = 8,
        kernel: Kernel | None = None, rank: int = 0, device=None, dtype=None,
    ):  # fmt: skip
        options = {"copies": copies, "dim": dim, "kernel": kernel, "rank": rank, "device": device, "dtype": dtype}
        super().__init__((1, 1, num_embeddings, embedding_dim), **options)
        self.num_embeddings, self.embedding_dim = num_embeddings, embedding_dim
        self.padding_idx = None if padding_idx is None else range(num_embeddings)[padding_idx]

    def materialize(self) -> Tensor:
        """Return the table (num_embeddings, embedding_dim), differentiable."""
        return self._rows(torch.arange(self.num_embeddings, device=self.strengths.device))

    def forward(self, tokens):
        """Map whole numbers (...) to (..., embedding_dim)."""
        asked, inverse = torch.unique(tokens, return_inverse=True)
        return self._rows(asked)[inverse]

    def _rows(self, tokens):
        rows = relation(self.kernel, self.places_in, self.places_out[:, :, tokens], self.strengths)[0, 0]
        if self.left is not None:
            rows = rows + self.left[0, tokens] @ self.right[:, 0]
        if self.padding_idx is None:
            return rows
        return rows.masked_fill((tokens == self.padding_idx)[:, None], 0.0)

    def extra_repr(self):
        """The arguments that `print(module)` shows."""
        return f"{self.num_embeddings}, {self.embedding_dim}, {self._particles_repr()}"
