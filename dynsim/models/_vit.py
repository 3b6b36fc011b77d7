"""A small vision transformer, in DyN form or with ordinary weights."""

from __future__ import annotations

import numpy as np

from dynsim._check import as_choice, as_count, refusal
from dynsim.kernels import Kernel
from dynsim.layers import (
    Add,
    Attention,
    ClassToken,
    FirstToken,
    LayerNorm,
    Parameter,
    Patches,
    PlainAttention,
    Positions,
    ReLU,
    Skip,
    TokenMean,
    places_on_sphere,
    start_strengths,
)

from ._model import Model
from ._parts import DTYPE, full, he, ordinary, settings
from ._size import expect_room

POOLS = ("mean", "class")


def vit(
    image: int = 28,
    channels: int = 1,
    *,
    patch: int = 7,
    width: int = 64,
    depth: int = 4,
    heads: int = 4,
    hidden: int = 128,
    classes: int = 10,
    copies: int = 4,
    dim: int = 12,
    kernel: Kernel | None = None,
    pool: str = "mean",
    seed: int = 0,
    weights: bool = False,
    rank: int | None = None,
) -> Model:
    """A vision transformer (Dosovitskiy et al., ICLR 2021): patches, blocks of attention and full layers, the classes.

    Every block has attention and a network of one hidden layer (ReLU), each after a layer norm and with a bypass. All
    linear layers of the blocks are relations of particles, and neighbours share the neurons between them: a block has
    neurons for the `width` signals of a token, for queries, keys and values, for the signals after attention and for
    the hidden ones; the next block begins with those that this one ends with. The patch embedding, the positions and
    the norms stay ordinary.

    Parameters
    ----------
    image, channels, patch : int
        Square images of this size, cut into squares of `patch` pixels, which divides the size.
    width, depth, heads, hidden, classes : int
        Signals of a token, blocks, heads (a divisor of the width), hidden neurons of a block, classes.
    copies, dim : int
        Places per neuron H, and the dimension d of the space.
    kernel : Kernel, optional
        Default: inverse, l2, softened by 1e-3.
    pool : {"mean", "class"}
        What the scores follow from: the mean of all tokens, or a learned token put before them.
    seed : int
        Of the start.
    weights : bool
        Ordinary weights instead of places: the baseline.
    rank : int, optional
        With weights: those of projections and full layers are a product of this rank.

    Raises
    ------
    ValueError, TypeError
        If a number is out of range or does not divide another.

    Examples
    --------
    >>> from dynsim.models import count, vit
    >>> model = vit(image=8, patch=2, width=16, depth=1, heads=2, hidden=32, copies=2, dim=4)
    >>> model.scores(np.zeros((3, 1, 8, 8))).shape
    (3, 10)
    """
    given = {"image": image, "channels": channels, "patch": patch, "width": width, "depth": depth, "heads": heads}
    given |= {"hidden": hidden, "classes": classes, "copies": copies, "dim": dim}
    given = {name: as_count(value, name) for name, value in given.items()}
    if image % patch:
        raise refusal("patch", patch, f"a divisor of the image's size {image}")
    if width % heads:
        raise refusal("heads", heads, f"a divisor of the width {width}")
    as_choice(pool, POOLS, "pool")
    kernel = settings(kernel, seed, weights, rank)
    config = {"model": "vit", **given, "kernel": kernel.to_dict(), "pool": pool}
    config |= {"seed": seed, "weights": bool(weights), "rank": rank}
    expect_room(config)
    generator = np.random.default_rng(seed)
    tokens = (image // patch) ** 2 + (pool == "class")
    layers = [Patches(patch), ordinary(generator, (width, channels * patch * patch))]
    if pool == "class":
        layers.append(ClassToken(_small(generator, width)))
    layers.append(Positions(_small(generator, tokens, width)))
    # Every block adds two branches to what bypasses it; with this gain of their last layers the sum is of size one.
    gain = 1 / np.sqrt(2 * depth)
    parts = _Ordinary(generator, gain, rank) if weights else _Particles(generator, gain, width, copies, dim, kernel)
    for _ in range(depth):
        for inner in (parts.attention(width, heads), parts.network(width, hidden)):
            skip = Skip()
            layers += [skip, LayerNorm(width, dtype=DTYPE), *inner, Add(skip)]
    layers += [LayerNorm(width, dtype=DTYPE), TokenMean() if pool == "mean" else FirstToken()]
    layers.append(parts.full(width, classes))
    return Model(layers, config, image=(channels, image, image))


class _Particles:
    """Layers of particles in a row; `last` is the subsystem that the next one begins with."""

    def __init__(self, generator, gain, width, copies, dim, kernel):
        self.generator, self.gain, self.copies, self.dim, self.kernel = generator, gain, copies, dim, kernel
        self.last = self._neurons(width)

    def attention(self, width, heads):
        sources, query_key, value = self.last, self._neurons(2 * width), self._neurons(width)
        both = np.concatenate([query_key.value, value.value], axis=1)
        # Half of He's variance: no ReLU follows, and scores of queries and keys begin with a deviation of one.
        strengths = start_strengths(self.kernel, sources.value[None], both[None])[0, 0] * DTYPE(np.sqrt(0.5))
        bias = np.zeros(3 * width, DTYPE)
        self.last = value
        layer = Attention(sources, query_key, value, strengths, self.kernel, bias=bias, heads=heads)
        return [layer, self._last(width, width)]

    def network(self, width, hidden):
        return [self.full(width, hidden), ReLU(), self._last(hidden, width)]

    def full(self, m, n):
        sources, self.last = self.last, self._neurons(n)
        return full(self.kernel, sources, self.last)

    def _last(self, m, n):
        layer = self.full(m, n)
        layer.strengths.value *= self.gain
        return layer

    def _neurons(self, number):
        return Parameter(places_on_sphere(self.generator, self.copies, number, self.dim), "places")


class _Ordinary:
    """The same layers with weights."""

    def __init__(self, generator, gain, rank):
        self.generator, self.gain, self.rank = generator, gain, rank

    def attention(self, width, heads):
        layer = PlainAttention(
            he(self.generator, (3 * width, width), 2 * width), np.zeros(3 * width, DTYPE), heads=heads
        )
        return [layer, self._last(width, width)]

    def network(self, width, hidden):
        return [self.full(width, hidden), ReLU(), self._last(hidden, width)]

    def full(self, m, n):
        return ordinary(self.generator, (n, m), self.rank)

    def _last(self, m, n):
        layer = self.full(m, n)
        first = next(iter(layer.parameters.values()))  # the weights, or the left factor of a low rank
        first.value *= self.gain
        return layer


def _small(generator, *shape):
    """Normal numbers of deviation 0.02, as usual for tokens and positions."""
    return (0.02 * generator.standard_normal(shape)).astype(DTYPE)
