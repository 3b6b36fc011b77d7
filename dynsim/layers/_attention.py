"""Self-attention whose queries, keys and values are one linear relation, of particles or of weights."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from dynsim._check import as_count, refusal
from dynsim.kernels import Kernel

from ._full import Full, Linear, PlainFull
from ._layer import ParameterLike, as_bias, as_kernel, as_parameter


class SelfAttention(Linear):
    """softmax(Q K^T / sqrt(d_k)) V in every head (Vaswani et al., NeurIPS 2017, equation 1), [Q, K, V] = W x + bias.

    W (2 d_k + d_v, T) comes from `materialize()`; its rows are all heads' queries, then the keys, then the values, as
    PyTorch and timm order them. `keys` is d_k and `heads` the number of heads that d_k and d_v are split into.
    """

    word = "attention"

    def answer(self, product: Callable, x: npt.NDArray, training: bool = False) -> npt.NDArray:
        """Map tokens (batch, tokens, T) to (batch, tokens, d_v)."""
        if x.ndim != 3:
            raise refusal("x", f"shape {x.shape}", "(batch, tokens, width)")
        signals = _features_first(super().answer(product, x, training))
        queries, keys, values = self._heads(signals)
        scores = queries.swapaxes(2, 3) @ keys  # (batch, heads, tokens, tokens)
        scores -= scores.max(axis=3, keepdims=True)
        scores *= scores.dtype.type(1 / np.sqrt(queries.shape[2]))
        shares = np.exp(scores, out=scores)
        shares /= shares.sum(axis=3, keepdims=True)
        batch, heads, size, tokens = values.shape
        y = np.empty((heads * size, batch, tokens), signals.dtype)
        np.matmul(values, shares.swapaxes(2, 3), out=_split(y, heads))
        if training:
            self.memory = *self.memory, signals, shares
        return np.moveaxis(y, 0, -1)

    def backward(self, dy: npt.NDArray) -> npt.NDArray:
        """Take dL/dy (batch, tokens, d_v), add the parameters' gradients and return dL/dx (batch, tokens, T)."""
        *_, signals, shares = self.memory
        queries, keys, values = self._heads(signals)
        signal = _split(_features_first(dy), self.heads)
        back = np.empty_like(signals)
        on_queries, on_keys, on_values = self._heads(back)
        np.matmul(signal, shares, out=on_values)
        force = signal.swapaxes(2, 3) @ values  # on the shares
        force -= np.einsum("bhts,bhts->bht", force, shares)[..., None]
        force *= shares
        force *= force.dtype.type(1 / np.sqrt(queries.shape[2]))  # on the scores
        np.matmul(keys, force.swapaxes(2, 3), out=on_queries)
        np.matmul(queries, force, out=on_keys)
        return super().backward(np.moveaxis(back, 0, -1))

    def other_operations(self, shape: tuple[int, ...]) -> int:
        """Products of all tokens' queries with all keys, and of the shares with the values."""
        batch, tokens, _ = shape
        return batch * tokens**2 * (len(self.materialize()) - self.keys)

    def to_onnx(self, graph, x: str) -> str:
        """The formula in ONNX's operators, all heads at once."""
        keys, heads, values = self.keys, self.heads, len(self.materialize()) - 2 * self.keys
        sizes = graph.constant([keys, keys, values], np.int64)
        parts = graph.add("Split", super().to_onnx(graph, x), sizes, outputs=3, axis=-1)
        orders = ([0, 2, 1, 3], [0, 2, 3, 1], [0, 2, 1, 3])
        query, key, value = (
            graph.add("Transpose", graph.reshape(part, 0, 0, heads, size // heads), perm=order)
            for part, size, order in zip(parts, (keys, keys, values), orders, strict=True)
        )
        scale = graph.constant(1 / np.sqrt(keys // heads))
        shares = graph.add("Softmax", graph.add("Mul", graph.add("MatMul", query, key), scale), axis=-1)
        mixed = graph.add("Transpose", graph.add("MatMul", shares, value), perm=[0, 2, 1, 3])
        return graph.reshape(mixed, 0, 0, values)

    def _set_heads(self, keys, values, heads):
        self.keys, self.heads = as_count(keys, "keys"), as_count(heads, "heads")
        if values < 1 or self.keys % self.heads or values % self.heads:
            raise refusal("heads", heads, f"a divisor of the {self.keys} keys and of the {values} values")

    def _heads(self, signals):
        """Views (batch, heads, size, tokens) of queries, keys and values."""
        parts = np.split(signals, [self.keys, 2 * self.keys])
        return [_split(part, self.heads) for part in parts]


class Attention(SelfAttention):
    """Self-attention without weights: [W_Q, W_K, W_V] is one relation from P(T) to P(2 d_k + d_v).

    ``W[o, i] = sum_h lambda_h phi(q_in[h, i], q_out[h, o])``, the o being queries, keys and values. A value's neuron is
    also the input of the projection that follows; give that one `places_value` to share its place.

    Parameters
    ----------
    places_in : array_like (H, T, d), or Parameter
        Places of the T signals of a token.
    places_query_key : array_like (H, 2 d_k, d), or Parameter
    places_value : array_like (H, d_v, d), or Parameter
    strengths : array_like (H,), or Parameter
        lambda_h.
    kernel : Kernel, optional
    bias : array_like (2 d_k + d_v,), or Parameter, optional
    heads : int
        Divides d_k and d_v.

    Raises
    ------
    ValueError, TypeError
        If shapes do not fit.

    Examples
    --------
    >>> import numpy as np
    >>> generator = np.random.default_rng(0)
    >>> places = [generator.normal(size=(2, n, 3)) for n in (6, 8, 4)]
    >>> layer = Attention(*places, [1.0, -1.0], heads=2)
    >>> layer.materialize().shape, layer.forward(np.ones((5, 7, 6))).shape
    ((12, 6), (5, 7, 4))
    """

    placed = True

    def __init__(
        self,
        places_in: ParameterLike,
        places_query_key: ParameterLike,
        places_value: ParameterLike,
        strengths: ParameterLike,
        kernel: Kernel | None = None,
        *,
        bias: ParameterLike | None = None,
        heads: int = 1,
    ):
        self.places_in = as_parameter(places_in, "places", "places_in", ("H", "T", "d"))
        copies, _, d = self.places_in.value.shape
        self.places_query_key = as_parameter(places_query_key, "places", "places_query_key", (copies, "2 d_k", d))
        self.places_value = as_parameter(places_value, "places", "places_value", (copies, "d_v", d))
        both, values = self.places_query_key.value.shape[1], self.places_value.value.shape[1]
        if both % 2:
            raise refusal("places_query_key", f"{both} neurons", "as many queries as keys")
        self.strengths = as_parameter(strengths, "strengths", "strengths", (copies,))
        self.kernel = as_kernel(kernel)
        self.bias = as_bias(bias, both + values)
        self._set_heads(both // 2, values, heads)

    def materialize(self) -> npt.NDArray:
        """Return [W_Q, W_K, W_V], (2 d_k + d_v, T)."""
        return self.relation().materialize()

    def add_weight_gradient(self, gradient: npt.NDArray):
        """Turn dL/dW (2 d_k + d_v, T) into forces on the neurons (their gradient) and on lambda."""
        relation = self.relation()
        relation.add_weight_gradient(gradient)
        self.places_in.add(relation.places_in.gradient)
        self.places_query_key.add(relation.places_out.gradient[:, : 2 * self.keys])
        self.places_value.add(relation.places_out.gradient[:, 2 * self.keys :])
        self.strengths.add(relation.strengths.gradient)

    def product(self, inference: str = "dense") -> Callable:
        """Return the product with [W_Q, W_K, W_V], as `Full.product`."""
        return self.relation().product(inference)

    def sizes(self, columns: int) -> dict[str, int]:
        """What the planner asks of this layer, as `Full.sizes`."""
        return self.relation().sizes(columns)

    def relation(self) -> Full:
        """The full layer from a token's signals to queries, keys and values."""
        places_out = np.concatenate([self.places_query_key.value, self.places_value.value], axis=1)
        return Full(self.places_in.value, places_out, self.strengths.value, self.kernel, bias=self.bias)


class PlainAttention(SelfAttention, PlainFull):
    """Ordinary self-attention, weights [W_Q, W_K, W_V] (2 d_k + d_v, T); `keys` is d_k, a third of the rows by default.

    Examples
    --------
    >>> import numpy as np
    >>> PlainAttention(np.ones((12, 6)), heads=2).forward(np.ones((5, 7, 6))).shape
    (5, 7, 4)
    """

    def __init__(
        self, weights: ParameterLike, bias: ParameterLike | None = None, *, heads: int = 1, keys: int | None = None
    ):
        PlainFull.__init__(self, weights, bias)
        rows = len(self.weights.value)
        keys = rows // 3 if keys is None else as_count(keys, "keys")
        self._set_heads(keys, rows - 2 * keys, heads)


def _features_first(x):
    """(batch, tokens, features) as a contiguous (features, batch, tokens); a view where the memory is so already."""
    return np.ascontiguousarray(np.moveaxis(x, -1, 0))


def _split(signals, heads):
    """A view (batch, heads, size, tokens) of (features, batch, tokens)."""
    return signals.reshape(heads, -1, *signals.shape[1:]).transpose(2, 0, 1, 3)
