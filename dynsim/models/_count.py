"""Counts of a model: stored numbers, in the paper's way and in full, and operations for one image."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from dynsim._check import as_like
from dynsim.layers import Layer, is_sortable

from ._model import Model


def count(model: Model) -> dict[str, int]:
    """Count a model's numbers, `{"memory", "disk", "numbers", "stored_floats", "bytes"}`.

    memory and disk are counted as in the paper: coordinates d * neurons * copies (disk: without the factor d), the
    lambdas of full layers and attention, and what stays ordinary: weights, biases, layer norms and the norms of
    convolutions. For LeNet-5 that is 9 (110 H_conv + 614 H_fc) + 3 H_fc + 474; the convolutions' lambdas and the full
    layers' norms are not in it.
    numbers are what inference needs (see `numbers`). stored_floats counts every number of the model file; bytes are
    theirs, 4 each in float32.

    Examples
    --------
    >>> from dynsim.models import lenet5
    >>> count(lenet5())["stored_floats"]
    15393
    """
    as_like(model, ("layers",), "Model", "model")
    coordinates, places, ordinary = 0, 0, 0
    after_convolution = False
    seen = set()
    for layer in model.layers:
        if layer.averaged:
            if after_convolution:
                ordinary += sum(p.value.size for p in layer.parameters.values())
                ordinary += sum(buffer.size for buffer in layer.buffers.values())
            continue
        for parameter in layer.parameters.values():
            if id(parameter) in seen:
                continue
            seen.add(id(parameter))
            if parameter.kind == "places":
                coordinates += parameter.value.size
                places += parameter.value.size // parameter.value.shape[-1]
            elif parameter.kind != "strengths" or not layer.convolves:
                ordinary += parameter.stored
        if layer.parameters:
            after_convolution = layer.convolves
    stored = model.arrays.values()
    absent = sum(p.value.size - p.stored for p in model.parameters.values())
    return {
        "memory": coordinates + ordinary,
        "disk": places + ordinary,
        "numbers": numbers(model),
        "stored_floats": sum(array.size for array in stored) - absent,
        "bytes": sum(array.nbytes for array in stored) - 4 * absent,
    }


def numbers(model: Model) -> int:
    """Count the numbers that inference needs: those of a packed file.

    Places, lambdas, weights and biases, of pruned parameters what is left; of a norm that uses running averages a
    factor and an offset a channel, in which the bias of the layer before it is contained.

    Examples
    --------
    >>> from dynsim.models import mlp
    >>> numbers(mlp((4, 3, 2), weights=True))  # 4 x 3 weights, 2 x 3 of the norm, 3 x 2 weights, 2 biases
    26
    """
    as_like(model, ("layers",), "Model", "model")
    total, seen = 0, set()
    for layer, following in zip(model.layers, [*model.layers[1:], None], strict=True):
        if layer.averaged:
            total += 2 * layer.scale.value.size
            continue
        folded = layer.bias if following is not None and following.averaged else None
        for parameter in layer.parameters.values():
            if parameter is not folded and id(parameter) not in seen:
                seen.add(id(parameter))
                total += parameter.stored
    return total


def operations(model: Model) -> dict[str, int | None]:
    """Count a model's operations for one image, `{"dense", "materialized", "weight_free"}`.

    An operation is a multiply-accumulate, as a machine does it in one step: an addition, with the multiplication of one
    of its terms where there is one; or a multiplication alone. Counted is what the linear layers do with signals and
    places, without biases, norms and the profile's own function (its root, quotient or exponential)::

        dense          n m for each place of the kernel window
        materialized   the same, and n m (2 d + 1) for each copy, once a batch: differences, their sum, lambda phi
        weight_free    m (3 d + 1) + n (2 d + 2) + 2 d for each copy and, in a convolution, for each offset of the
                       kernel and each place of its window; at most, since sources above all targets are not passed

    Attention adds tokens^2 (d_k + d_v) to each, for the scores and the means of the values.
    weight_free is None where the kernel does not allow it (see `dynsim.layers.choose`). Ordinary layers count alike in
    all three. A depthwise convolution, whose weights are always made, has as many operations weight-free as
    materialised: k k for each channel and place of the window, and k k (2 d + 1) for each channel and copy.

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


def layer_operations(layer: Layer, shape: tuple[int, ...]) -> dict[str, int | None]:
    """The same of one layer with weights, for a signal of this shape, (..., m) or (n_in, height, width).

    Examples
    --------
    >>> from dynsim.layers import PlainFull
    >>> layer_operations(PlainFull(np.ones((2, 3))), (3,))["dense"]
    6
    """
    shape = (1, *shape)
    other = layer.other_operations(shape)
    dense = layer.materialize().size * layer.columns(shape) + other
    if not layer.placed:
        return {"dense": dense, "materialized": dense, "weight_free": dense}
    sizes = layer.sizes(layer.columns(shape))
    m, n, d = (sizes[name] for name in ("m", "n", "d"))
    relations = sizes["copies"] * sizes.get("offsets", 1)  # of single copies
    sweeps = relations * sizes["columns"] * (m * (3 * d + 1) + n * (2 * d + 2) + 2 * d)
    materialized = dense + relations * n * m * (2 * d + 1)
    weight_free = materialized if layer.by_weights else sweeps + other
    return {
        "dense": dense,
        "materialized": materialized,
        "weight_free": weight_free if is_sortable(layer.kernel) else None,
    }


def signals(model: Model) -> Iterator[tuple[int, Layer, tuple[int, ...]]]:
    """(number, layer, shape of its signal for one image) of every layer with weights.

    Examples
    --------
    >>> from dynsim.models import lenet5
    >>> [shape for _, _, shape in signals(lenet5())]
    [(1, 32, 32), (6, 14, 14), (400,), (120,), (84,)]
    """
    signal = np.zeros((1, *model.image), np.float32)
    signal = signal if model.preprocess is None else model.preprocess(signal)
    for number, layer in enumerate(model.layers):
        if layer.weighted:
            yield number, layer, signal.shape[1:]
        signal = layer.forward(signal)
