"""How every layer is written in ONNX's operators: one small function each."""

from __future__ import annotations

import numpy as np

from dynsim import layers
from dynsim.models import Enlarge


class Graph:
    """Nodes and constants as they are added; `image` is the (channels, height, width) that goes in."""

    def __init__(self, onnx, image):
        self.onnx, self.image = onnx, tuple(image)
        self.nodes, self.constants, self.kept = [], [], {}

    def constant(self, value, dtype=np.float32):
        """Add a constant; returns its name."""
        name = f"constant{len(self.constants)}"
        self.constants.append(self.onnx.numpy_helper.from_array(np.array(value, dtype=dtype, order="C"), name))
        return name

    def add(self, operator, *inputs, outputs=1, **attributes):
        """Add a node; returns the name of its output, or a list of names."""
        names = [f"{operator.lower()}{len(self.nodes)}_{number}" for number in range(outputs)]
        self.nodes.append(self.onnx.helper.make_node(operator, list(inputs), names, **attributes))
        return names[0] if outputs == 1 else names

    def reshape(self, x, *shape):
        """Reshape; a 0 keeps the axis."""
        return self.add("Reshape", x, self.constant(shape, np.int64))


def write(graph, model):
    """Write an ordinary model's layers in a row; returns the name of the scores.

    Raises TypeError if a layer has no counterpart.
    """
    x = "images"
    if model.prepare is not None:
        x = _writer(model.prepare)(graph, model.prepare, x)
    for layer in model.layers:
        x = _writer(layer)(graph, layer, x)
    return x


def _writer(layer):
    if type(layer) not in _WRITERS:
        known = ", ".join(kind.__name__ for kind in _WRITERS)
        raise TypeError(f"export: {type(layer).__name__} has no counterpart in ONNX here; expected one of {known}.")
    return _WRITERS[type(layer)]


def _enlarge(graph, prepare, x):
    times, before, after = prepare.plan(graph.image[1])
    if times > 1:
        scales = graph.constant([1, 1, times, times])
        nearest = {"mode": "nearest", "coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
        x = graph.add("Resize", x, "", scales, **nearest)
    return graph.add("Pad", x, graph.constant([0, 0, before, before, 0, 0, after, after], np.int64))


def _full(graph, layer, x):
    y = graph.add("MatMul", x, graph.constant(layer.materialize().T))
    return y if layer.bias is None else graph.add("Add", y, graph.constant(layer.bias.value))


def _conv(graph, layer, x):
    bias = [] if layer.bias is None else [graph.constant(layer.bias.value)]
    return graph.add("Conv", x, graph.constant(layer.materialize()), *bias)


def _batch_norm(graph, layer, x):
    numbers = (layer.scale.value, layer.shift.value, layer.mean, layer.variance)
    x = graph.add("BatchNormalization", x, *map(graph.constant, numbers), epsilon=layer.epsilon)
    if layer.relu:
        x = graph.add("Relu", x)
    return _max_pool(graph, layer, x) if layer.pool else x


def _layer_norm(graph, layer, x):
    numbers = map(graph.constant, (layer.scale.value, layer.shift.value))
    return graph.add("LayerNormalization", x, *numbers, axis=-1, epsilon=layer.epsilon)


def _relu(graph, layer, x):
    return graph.add("Relu", x)


def _max_pool(graph, layer, x):
    return graph.add("MaxPool", x, kernel_shape=[2, 2], strides=[2, 2])


def _flatten(graph, layer, x):
    return graph.add("Flatten", x, axis=1)


def _patches(graph, layer, x):
    channels, height, width = graph.image
    p = layer.size
    squares = graph.reshape(x, 0, channels, height // p, p, width // p, p)
    squares = graph.add("Transpose", squares, perm=[0, 2, 4, 1, 3, 5])
    return graph.reshape(squares, 0, height // p * (width // p), channels * p * p)


def _positions(graph, layer, x):
    return graph.add("Add", x, graph.constant(layer.value.value))


def _class_token(graph, layer, x):
    first = graph.add("Slice", x, *(graph.constant([n], np.int64) for n in (0, 1, 1)))  # (batch, 1, width)
    nothing = graph.add("Mul", first, graph.constant(0.0))
    token = graph.add("Add", nothing, graph.constant(layer.value.value))
    return graph.add("Concat", token, x, axis=1)


def _first_token(graph, layer, x):
    return graph.add("Gather", x, graph.constant(0, np.int64), axis=1)


def _token_mean(graph, layer, x):
    return graph.add("ReduceMean", x, axes=[1], keepdims=0)


def _skip(graph, layer, x):
    graph.kept[id(layer)] = x
    return x


def _add(graph, layer, x):
    return graph.add("Add", x, graph.kept.pop(id(layer.skip)))


def _attention(graph, layer, x):
    keys, heads = layer.keys, layer.heads
    values = len(layer.materialize()) - 2 * keys
    sizes = graph.constant([keys, keys, values], np.int64)
    parts = graph.add("Split", _full(graph, layer, x), sizes, outputs=3, axis=-1)
    query, key, value = (
        graph.add("Transpose", graph.reshape(part, 0, 0, heads, size // heads), perm=perm)
        for part, size, perm in zip(
            parts, (keys, keys, values), ([0, 2, 1, 3], [0, 2, 3, 1], [0, 2, 1, 3]), strict=True
        )
    )
    scale = graph.constant(1 / np.sqrt(keys // heads))
    shares = graph.add("Softmax", graph.add("Mul", graph.add("MatMul", query, key), scale), axis=-1)
    mixed = graph.add("Transpose", graph.add("MatMul", shares, value), perm=[0, 2, 1, 3])
    return graph.reshape(mixed, 0, 0, values)


_WRITERS = {
    Enlarge: _enlarge,
    layers.PlainFull: _full,
    layers.PlainConv: _conv,
    layers.PlainAttention: _attention,
    layers.BatchNorm: _batch_norm,
    layers.LayerNorm: _layer_norm,
    layers.ReLU: _relu,
    layers.MaxPool: _max_pool,
    layers.Flatten: _flatten,
    layers.Patches: _patches,
    layers.Positions: _positions,
    layers.ClassToken: _class_token,
    layers.FirstToken: _first_token,
    layers.TokenMean: _token_mean,
    layers.Skip: _skip,
    layers.Add: _add,
}
