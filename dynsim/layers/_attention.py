"""Self-attention: one relation makes queries, keys and values; every token takes from all tokens what it asks for."""

from __future__ import annotations

import numpy as np

from dynsim._check import as_array, as_count, as_instance
from dynsim.kernels import Kernel

from ._full import Full, PlainFull
from ._linear import Linear
from ._parameter import as_parameter


class SelfAttention(Linear):
    """softmax(Q K^T / sqrt(d_k)) V in every head (Vaswani et al., NeurIPS 2017, equation 1), [Q, K, V] = W x + bias.

    W (2 d_k + d_v, T) comes from `materialize()`; its rows are all heads' queries, then the keys, then the values, as
    PyTorch and timm order them. `keys` is d_k and `heads` the number of heads that d_k and d_v are split into.
    """

    def forward(self, x, training=False, inference="dense"):
        """Map tokens (batch, tokens, T) to (batch, tokens, d_v)."""
        if x.ndim != 3:
            raise ValueError(f"x: got shape {x.shape}; expected (batch, tokens, width).")
        signals = _features_first(super().forward(x, training, inference))
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
            self.mixed = signals, shares
        return np.moveaxis(y, 0, -1)

    def backward(self, dy):
        """Take dL/dy (batch, tokens, d_v), add the parameters' gradients and return dL/dx (batch, tokens, T)."""
        signals, shares = self.mixed
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

    def _check(self, keys, values, heads):
        self.keys, self.heads = as_count(keys, "keys"), as_count(heads, "heads")
        if values < 1 or self.keys % self.heads or values % self.heads:
            raise ValueError(
                f"heads: got {heads}; expected a divisor of the {self.keys} keys and of the {values} values."
            )

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

    def __init__(self, places_in, places_query_key, places_value, strengths, kernel=None, bias=None, heads=1):
        self.places_in = as_parameter(places_in, "places")
        self.places_query_key = as_parameter(places_query_key, "places")
        self.places_value = as_parameter(places_value, "places")
        self.strengths = as_parameter(strengths, "strengths")
        self.kernel = Kernel() if kernel is None else as_instance(kernel, Kernel, "kernel")
        copies, _, d = as_array(self.places_in.value, "places_in", ("H", "T", "d")).shape
        both = as_array(self.places_query_key.value, "places_query_key", (copies, "2 d_k", d)).shape[1]
        values = as_array(self.places_value.value, "places_value", (copies, "d_v", d)).shape[1]
        if both % 2:
            raise ValueError(f"places_query_key: got {both} neurons; expected as many queries as keys.")
        if bias is not None:
            self.bias = as_parameter(bias, "bias")
        self._check(both // 2, values, heads)
        self.relation()  # checks strengths and bias

    @property
    def parameters(self):
        """Everything learning moves, by name."""
        names = ("places_in", "places_query_key", "places_value", "strengths")
        named = {name: getattr(self, name) for name in names}
        return named if self.bias is None else {**named, "bias": self.bias}

    def materialize(self):
        """Return [W_Q, W_K, W_V], (2 d_k + d_v, T)."""
        return self.relation().materialize()

    def add_weight_gradient(self, gradient):
        """Turn dL/dW (2 d_k + d_v, T) into forces on the neurons (their gradient) and on lambda."""
        relation = self.relation()
        relation.add_weight_gradient(gradient)
        self.places_in.add(relation.places_in.gradient)
        self.places_query_key.add(relation.places_out.gradient[:, : 2 * self.keys])
        self.places_value.add(relation.places_out.gradient[:, 2 * self.keys :])
        self.strengths.add(relation.strengths.gradient)

    def product(self, x, inference="auto"):
        """Return x W^T for rows x (batch, T), without bias, as `Full.product`."""
        return self.relation().product(x, inference)

    def sizes(self, shape):
        """What the planner has to know of an answer to signals (batch, tokens, T), as `Full.sizes`."""
        return self.relation().sizes(shape)

    def relation(self):
        """The full layer from a token's signals to queries, keys and values."""
        places_out = np.concatenate([self.places_query_key.value, self.places_value.value], axis=1)
        return Full(self.places_in.value, places_out, self.strengths.value, self.kernel, self.bias)


class PlainAttention(SelfAttention, PlainFull):
    """Ordinary self-attention, weights [W_Q, W_K, W_V] (2 d_k + d_v, T); `keys` is d_k, a third of the rows by default.

    Examples
    --------
    >>> import numpy as np
    >>> PlainAttention(np.ones((12, 6)), heads=2).forward(np.ones((5, 7, 6))).shape
    (5, 7, 4)
    """

    def __init__(self, weights, bias=None, heads=1, keys=None):
        PlainFull.__init__(self, weights, bias)
        rows = len(self.weights.value)
        keys = rows // 3 if keys is None else as_count(keys, "keys")
        self._check(keys, rows - 2 * keys, heads)


def _features_first(x):
    """(batch, tokens, features) as a contiguous (features, batch, tokens); a view where the memory is so already."""
    return np.ascontiguousarray(np.moveaxis(x, -1, 0))


def _split(signals, heads):
    """A view (batch, heads, size, tokens) of (features, batch, tokens)."""
    return signals.reshape(heads, -1, *signals.shape[1:]).transpose(2, 0, 1, 3)
