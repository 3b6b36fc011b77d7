"""Honest counting: the paper's way, and everything that is really stored."""

from __future__ import annotations

from dynsim._check import as_like
from dynsim.layers import BatchNorm, Conv, PlainConv


def count(model):
    """Count a model's numbers, `{"memory", "disk", "stored_floats", "bytes"}`.

    memory and disk are counted as in the paper: coordinates d * neurons * copies (disk: without the factor d), the
    lambdas of full layers and attention, and what stays ordinary: weights, biases, layer norms and the norms of
    convolutions. For LeNet-5 that is 9 (110 H_conv + 614 H_fc) + 3 H_fc + 474; the convolutions' lambdas and the full
    layers' norms are not in it.
    stored_floats counts every number of the model file; bytes are theirs, 4 each in float32.

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
        if isinstance(layer, BatchNorm):
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
            elif parameter.kind != "strengths" or not isinstance(layer, Conv):
                ordinary += parameter.stored
        if layer.parameters:
            after_convolution = isinstance(layer, (Conv, PlainConv))
    stored = model.arrays.values()
    absent = sum(p.value.size - p.stored for p in model.parameters.values())
    return {
        "memory": coordinates + ordinary,
        "disk": places + ordinary,
        "stored_floats": sum(array.size for array in stored) - absent,
        "bytes": sum(array.nbytes for array in stored) - 4 * absent,
    }
