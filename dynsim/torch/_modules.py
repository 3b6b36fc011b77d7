"""Layers of PyTorch to build networks of: their weights are particles from the start."""

from __future__ import annotations

from collections.abc import Iterable
from fnmatch import fnmatchcase

import torch
from torch import nn
from torch.nn import functional
from torch.nn.modules.utils import _pair

from dynsim._check import as_choice, refusal
from dynsim.kernels import Kernel
from dynsim.layers import INFERENCE

from ._parametrisation import derive, derived_weight, derived_weights, own_class
from ._particles import Particles
from ._torch_relation import product_without_weights
from ._weight_layout import WeightLayout

PADDING_MODES = ("zeros", "reflect", "replicate", "circular")


def _particles(self) -> Particles:
    """Places, lambdas and the low-rank part."""
    return derived_weight(self)


class DynLinear(nn.Linear):
    """A full layer whose weights are the relation of its input and output neurons, with an optional low-rank part.

    W[o, i] = sum_h lambda_h phi(q_in[h, i], q_out[h, o]) + sum_r left[o, r] right[r, i]

    A layer shares its neurons with the one before it when both hold the same parameter:
    ``second.particles.places_in = first.particles.places_out`` (both have one set and as many copies and axes).

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
    >>> layer(torch.zeros(5, 6)).shape, layer.weight.shape, layer.particles.places_out.shape
    (torch.Size([5, 4]), torch.Size([4, 6]), torch.Size([1, 2, 4, 3]))
    """

    ordinary = nn.Linear
    particles = property(_particles)

    def __init__(
        self, in_features: int, out_features: int, *, bias: bool = True, copies: int = 2, dim: int = 8,
        kernel: Kernel | None = None, rank: int = 0, inference: str = "dense", device=None, dtype=None,
    ):  # fmt: skip
        super().__init__(in_features, out_features, bias, device="meta", dtype=dtype)
        options = {"copies": copies, "dim": dim, "kernel": kernel, "rank": rank, "device": device, "dtype": dtype}
        _begin(self, {"weight": WeightLayout((out_features, in_features))}, options)
        self.inference = as_choice(inference, INFERENCE, "inference")

    def forward(self, x):
        """Map (..., in_features) to (..., out_features)."""
        if self.inference == "dense":
            return functional.linear(x, self.weight, self.bias)
        return product_without_weights(self.particles, x, self.bias, self.inference)


class DynConv2d(nn.Conv2d):
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
    >>> layer(torch.zeros(1, 3, 9, 9)).shape, layer.weight.shape
    (torch.Size([1, 8, 9, 9]), torch.Size([8, 3, 3, 3]))
    """

    ordinary = nn.Conv2d
    particles = property(_particles)

    def __init__(
        self, in_channels: int, out_channels: int, *, kernel_size, stride=1, padding=0, dilation=1, groups: int = 1,
        bias: bool = True, padding_mode: str = "zeros", copies: int = 2, dim: int = 8, kernel: Kernel | None = None,
        rank: int = 0, sets: str = "half", device=None, dtype=None,
    ):  # fmt: skip
        if in_channels % groups or out_channels % groups:
            raise refusal("groups", groups, f"a divisor of {in_channels} and {out_channels} channels")
        as_choice(padding_mode, PADDING_MODES, "padding_mode")
        shape = (in_channels, out_channels, kernel_size, stride, padding, dilation, groups, bias, padding_mode)
        super().__init__(*shape, device="meta", dtype=dtype)
        options = {"copies": copies, "dim": dim, "kernel": kernel, "rank": rank, "device": device, "dtype": dtype}
        window = _pair(kernel_size)
        _begin(self, {"weight": WeightLayout((out_channels, in_channels // groups, *window))}, options | {"sets": sets})


class DynEmbedding(nn.Embedding):
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

    ordinary = nn.Embedding
    particles = property(_particles)

    def __init__(
        self, num_embeddings: int, embedding_dim: int, *, padding_idx: int | None = None, copies: int = 2, dim: int = 8,
        kernel: Kernel | None = None, rank: int = 0, device=None, dtype=None,
    ):  # fmt: skip
        if padding_idx is not None and not -num_embeddings <= padding_idx < num_embeddings:
            raise refusal("padding_idx", padding_idx, f"{-num_embeddings} to {num_embeddings - 1}")
        super().__init__(num_embeddings, embedding_dim, padding_idx, device="meta", dtype=dtype)
        options = {"copies": copies, "dim": dim, "kernel": kernel, "rank": rank, "device": device, "dtype": dtype}
        _begin(self, {"weight": WeightLayout(self.weight.shape)}, options | {"padding": self.padding_idx})

    def forward(self, tokens):
        """Map whole numbers (...) to (..., embedding_dim)."""
        asked, inverse = torch.unique(tokens, return_inverse=True)
        if asked.numel() and not (0 <= int(asked[0]) and int(asked[-1]) < self.num_embeddings):
            came = f"numbers from {int(asked[0])} to {int(asked[-1])}"
            raise refusal("tokens", came, f"0 to {self.num_embeddings - 1}", error=IndexError)
        return self.particles.rows(asked)[inverse]


class DynMultiheadAttention(nn.MultiheadAttention):
    """Attention whose [W_Q, W_K, W_V] is one relation from P(embed_dim) to P(3 embed_dim), and whose output is another.

    With kdim or vdim of their own, queries, keys and values have a relation each. Each is a parameter's, as
    `layer.parametrizations.in_proj_weight[0]` and `layer.out_proj.parametrizations.weight[0]`.

    Parameters
    ----------
    embed_dim, num_heads, dropout, bias, kdim, vdim, batch_first
        As of `torch.nn.MultiheadAttention`.
    copies, dim, kernel, rank
        As of `DynLinear`, and its errors.

    Examples
    --------
    >>> import torch
    >>> layer = DynMultiheadAttention(8, 2, copies=2, dim=3, batch_first=True)
    >>> x = torch.randn(4, 5, 8)
    >>> layer(x, x, x)[0].shape
    torch.Size([4, 5, 8])
    """

    ordinary = nn.MultiheadAttention

    def __init__(
        self, embed_dim: int, num_heads: int, *, dropout: float = 0.0, bias: bool = True, kdim: int | None = None,
        vdim: int | None = None, batch_first: bool = False, copies: int = 2, dim: int = 8,
        kernel: Kernel | None = None, rank: int = 0, device=None, dtype=None,
    ):  # fmt: skip
        if embed_dim % num_heads:
            raise refusal("num_heads", num_heads, f"a divisor of embed_dim = {embed_dim}")
        sizes = {"kdim": kdim, "vdim": vdim, "batch_first": batch_first}
        super().__init__(embed_dim, num_heads, dropout, bias, **sizes, device="meta", dtype=dtype)
        options = {"copies": copies, "dim": dim, "kernel": kernel, "rank": rank, "device": device, "dtype": dtype}
        names = [name for name, parameter in self._parameters.items() if parameter is not None and parameter.dim() > 1]
        _begin(self, {name: WeightLayout(tuple(getattr(self, name).shape)) for name in names}, options)
        _begin(self.out_proj, {"weight": WeightLayout((embed_dim, embed_dim))}, options)


def choose_inference(module: nn.Module, inference: str, *, include: Iterable[str] | None = None) -> list[str]:
    """Let full layers of particles compute without their weights; returns their names.

    They become `DynLinear` with this `inference`, which see; other layers, and those whose class is not nn.Linear, stay
    as they are. With patterns in `include`, layers with such names only.

    Raises
    ------
    ValueError
        If there is no such inference.

    Examples
    --------
    >>> from dynsim.torch import convert
    >>> made, _ = convert(nn.Sequential(nn.Linear(20, 16)), copies=2, dim=2, steps=5)
    >>> choose_inference(made, "tiled"), made(torch.zeros(1, 20)).shape
    (['0'], torch.Size([1, 16]))
    """
    as_choice(inference, INFERENCE, "inference")
    chosen = []
    for name, part, _, derived in derived_weights(module):
        if not isinstance(derived, Particles) or type(part).__mro__[1] not in (nn.Linear, DynLinear):
            continue
        if include is not None and not any(fnmatchcase(name, pattern) for pattern in include):
            continue
        own_class(part, DynLinear)
        part.inference = inference
        chosen.append(name)
    return chosen


def _begin(layer, layouts, options):
    """Give a layer on the meta device its particles, and biases of 0."""
    for name, layout in layouts.items():
        derive(layer, name, Particles(layout, **options))
    like = {"dtype": options["dtype"] or torch.get_default_dtype(), "device": options["device"]}
    for name, parameter in layer._parameters.items():
        if parameter is not None:
            setattr(layer, name, nn.Parameter(torch.zeros(parameter.shape, **like)))
