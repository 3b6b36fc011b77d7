"""How many operations an answer takes: with weights, with weights made from places, without any."""

from __future__ import annotations

import math

import numpy as np

from dynsim._check import as_like
from dynsim.layers import Attention, Conv, Full, PlainAttention, PlainFull, able


def operations(model):
    """Count a model's operations for one image, `{"dense", "materialized", "weight_free"}`.

    An operation is a multiply-accumulate, as a machine does it in one step: an addition, with the multiplication of one
    of its terms where there is one; or a multiplication alone. Counted is what the linear layers do with signals and
    places, without biases, norms and the profile's own function (its root, quotient or exponential)::

        dense          n m for each place of the kernel window
        materialized   the same, and n m (2 d + 1) for each copy, once a batch: differences, their sum, lambda phi
        weight_free    m (3 d + 1) + n (2 d + 2) + 2 d for each copy and, in a convolution, for each offset of the
                       kernel and each place of its window; at most, since sources above all targets are not passed

    Attention adds tokens^2 (d_k + d_v) to each, what tokens ask and take of each other.
    weight_free is None where the kernel cannot (see `dynsim.layers.choose`). Ordinary layers count alike in all three.

    Examples
    --------
    >>> from dynsim.kernels import Kernel
    >>> from dynsim.models import mlp
    >>> operations(mlp((100, 50), copies=2, dim=3, kernel=Kernel("linear", "l1")))
    {'dense': 5000, 'materialized': 75000, 'weight_free': 2812}
    """
    as_like(model, ("layers", "image"), "Model", "model")
    totals = {"dense": 0, "materialized": 0, "weight_free": 0}
    for _, layer, shape in signals(model):
        found = layer_operations(layer, shape)
        for name, number in found.items():
            totals[name] = None if None in (totals[name], number) else totals[name] + number
    return totals


def layer_operations(layer, shape):
    """The same of one layer with weights, for a signal of this shape, (..., m) or (n_in, height, width).

    Examples
    --------
    >>> from dynsim.layers import PlainFull
    >>> layer_operations(PlainFull(np.ones((2, 3))), (3,))["dense"]
    6
    """
    weights = layer.materialize()
    convolves = weights.ndim == 4
    windows = math.prod(side - weights.shape[-1] + 1 for side in shape[1:]) if convolves else math.prod(shape[:-1])
    dense = weights.size * windows
    if isinstance(layer, (Attention, PlainAttention)):
        # Every token asks every token, queries times keys, and takes its values.
        asking = windows**2 * (len(weights) - layer.keys)
        inner = layer.relation() if isinstance(layer, Attention) else PlainFull(weights)
        return {name: number and number + asking for name, number in layer_operations(inner, shape).items()}
    if not isinstance(layer, (Conv, Full)):
        return {"dense": dense, "materialized": dense, "weight_free": dense}
    sources, targets, strengths = (p.value for p in (layer.places_in, layer.places_out, layer.strengths))
    m, n, d = sources.shape[-2], targets.shape[-2], sources.shape[-1]
    relations = strengths.size  # of single copies: lambda's are as many
    making = relations * n * m * (2 * d + 1)
    sweeps = relations * windows * (m * (3 * d + 1) + n * (2 * d + 2) + 2 * d)
    return {
        "dense": dense,
        "materialized": dense + making,
        "weight_free": sweeps if able(layer.kernel) else None,
    }


def signals(model):
    """(number, layer, shape of its signal for one image) of every layer with weights.

    Examples
    --------
    >>> from dynsim.models import lenet5
    >>> [shape for _, _, shape in signals(lenet5())]
    [(1, 32, 32), (6, 14, 14), (400,), (120,), (84,)]
    """
    signal = np.zeros((1, *model.image), np.float32)
    signal = signal if model.prepare is None else model.prepare(signal)
    for number, layer in enumerate(model.layers):
        if hasattr(layer, "materialize"):
            yield number, layer, signal.shape[1:]
        signal = layer.forward(signal)
