"""nn.MultiheadAttention without weights. A fused `qkv` layer, as in timm, is a `DynLinear` and needs nothing else."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from dynsim._check import refusal
from dynsim.kernels import Kernel

from ._modules import DynLinear, with_weights


class DynMultiheadAttention(nn.Module):
    """Attention whose [W_Q, W_K, W_V] is one relation from P(embed_dim) to P(3 embed_dim), and whose output is another.

    With kdim or vdim of their own, queries, keys and values have a relation each.

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

    def __init__(
        self, embed_dim: int, num_heads: int, *, dropout: float = 0.0, bias: bool = True, kdim: int | None = None,
        vdim: int | None = None, batch_first: bool = False, copies: int = 2, dim: int = 8,
        kernel: Kernel | None = None, rank: int = 0, device=None, dtype=None,
    ):  # fmt: skip
        super().__init__()
        if embed_dim % num_heads:
            raise refusal("num_heads", num_heads, f"a divisor of embed_dim = {embed_dim}")
        self.embed_dim, self.num_heads, self.dropout, self.batch_first = embed_dim, num_heads, dropout, batch_first
        self.kdim, self.vdim = kdim or embed_dim, vdim or embed_dim
        options = {"copies": copies, "dim": dim, "kernel": kernel, "rank": rank, "device": device, "dtype": dtype}
        if self.kdim == self.vdim == embed_dim:
            self.in_proj = DynLinear(embed_dim, 3 * embed_dim, bias=bias, **options)
        else:
            self.in_proj = None
            self.q_proj = DynLinear(embed_dim, embed_dim, bias=bias, **options)
            self.k_proj = DynLinear(self.kdim, embed_dim, bias=bias, **options)
            self.v_proj = DynLinear(self.vdim, embed_dim, bias=bias, **options)
        self.out_proj = DynLinear(embed_dim, embed_dim, bias=bias, **options)

    # nn.TransformerEncoderLayer reads these to see whether its fused path, which needs weights, can be taken.
    in_proj_bias = None
    _qkv_same_embed_dim = False

    @classmethod
    def from_ordinary(cls, attention: nn.MultiheadAttention) -> DynMultiheadAttention:
        """The same attention with its projections as separate modules, still with weights, ready to be converted.

        Raises
        ------
        ValueError
            If it adds keys of its own (bias_k, bias_v, zeros), which are not supported.
        """
        if attention.bias_k is not None or attention.bias_v is not None or attention.add_zero_attn:
            raise refusal("attention", "one with bias_k, bias_v or add_zero_attn", "one without them")
        self = cls.__new__(cls)
        nn.Module.__init__(self)
        for name in ("embed_dim", "num_heads", "dropout", "batch_first", "kdim", "vdim", "training"):
            setattr(self, name, getattr(attention, name))
        if attention.in_proj_weight is not None:
            self.in_proj = _linear(attention.in_proj_weight, attention.in_proj_bias)
        else:
            self.in_proj = None
            biases = [None] * 3 if attention.in_proj_bias is None else attention.in_proj_bias.chunk(3)
            for name, bias in zip("qkv", biases, strict=True):
                setattr(self, f"{name}_proj", _linear(getattr(attention, f"{name}_proj_weight"), bias))
        self.out_proj = _linear(attention.out_proj.weight, attention.out_proj.bias)
        return self

    def forward(
        self, query, key, value, key_padding_mask=None, need_weights=True, attn_mask=None, average_attn_weights=True,
        is_causal=False,
    ) -> tuple[Tensor, Tensor | None]:  # fmt: skip
        """As of `torch.nn.MultiheadAttention`: (output, attention weights or None)."""
        batched = query.dim() == 3
        if self.batch_first and batched:
            query, key, value = (x.transpose(0, 1) for x in (query, key, value))
        fused = self.in_proj is not None
        if fused:
            in_weight, in_bias, separate = self.in_proj.weight, self.in_proj.bias, {}
        else:
            parts = (self.q_proj, self.k_proj, self.v_proj)
            in_weight = None
            in_bias = None if parts[0].bias is None else torch.cat([part.bias for part in parts])
            names = ("q_proj_weight", "k_proj_weight", "v_proj_weight")
            separate = {name: part.weight for name, part in zip(names, parts, strict=True)}
        output, weights = functional.multi_head_attention_forward(
            query, key, value, self.embed_dim, self.num_heads, in_weight, in_bias, None, None, False, self.dropout,
            self.out_proj.weight, self.out_proj.bias, self.training, key_padding_mask, need_weights, attn_mask,
            not fused, average_attn_weights=average_attn_weights, is_causal=is_causal, **separate,
        )  # fmt: skip
        return (output.transpose(0, 1) if self.batch_first and batched else output), weights


def _linear(weight, bias):
    layer = nn.Linear(weight.shape[1], weight.shape[0], bias is not None, device="meta")
    return with_weights(layer, weight, bias)
