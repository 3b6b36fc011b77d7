"""Packed files of format 1, which are read and no longer written: places at b bits each, all else as float16."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from dynsim._files import damaged, expect_table, from_json
from dynsim.layers import BatchNorm
from dynsim.models import build, check_size

FIRST = "dynsim packed 1"
TYPES = {"places": np.uint8, "grids": np.float32, "rest": np.float16}


def read_first(metadata, stored, bits, path):
    """Return the model in an open file; raises as `load_packed`."""
    config = expect_table(from_json(metadata["config"], path), path, "an entry config")
    tensors = {name: stored[name] for name in TYPES}
    for name, kind in TYPES.items():
        if tensors[name].dtype != kind or not np.isfinite(tensors[name]).all():
            raise damaged(path, f"its {name} are not finite numbers of type {np.dtype(kind)}")
    return _restore(config, bits, tensors, path)


def _restore(config, bits, tensors, path):
    check_size(config, stored=Path(path).stat().st_size * 32 / max(1, bits), path=path)
    model = build(config)
    places = _places(model)
    count = sum(p.value.size for p in places)
    if tensors["grids"].shape != (len(places), 2) or tensors["places"].size != -(-count * bits // 8):
        raise damaged(path, "its places do not fit its configuration")
    codes = _unpack(tensors["places"], bits, count)
    start = 0
    for parameter, (low, step) in zip(places, tensors["grids"], strict=True):
        size = parameter.value.size
        with np.errstate(over="ignore"):
            values = low + codes[start : start + size].astype(np.float32) * step
        if not np.isfinite(values).all():
            raise damaged(path, "its grids lead beyond float32")
        parameter.value[...] = values.reshape(parameter.value.shape)
        start += size
    rest, start = tensors["rest"].astype(np.float32), 0
    arrays = _rest(model)
    if rest.size != sum(array.size for array in arrays):
        raise damaged(path, "its numbers do not fit its configuration")
    values = []
    for array in arrays:
        values.append(rest[start : start + array.size].reshape(array.shape))
        start += array.size
    _fill(model, values)
    return model


def _places(model):
    return [p for p in model.parameters.values() if p.kind == "places"]


def _rest(model):
    """Everything stored except places: strengths, ordinary weights, last biases, norms folded with biases."""
    found, before = [], None
    for layer, following in zip(model.layers, [*model.layers[1:], None], strict=True):
        if isinstance(layer, BatchNorm):
            factor = layer.scale.value / np.sqrt(layer.variance + layer.epsilon)
            bias = None if before is None else before.parameters.get("bias")
            shift = 0.0 if bias is None else bias.value
            found += [factor, layer.shift.value + (shift - layer.mean) * factor]
        else:
            folded = isinstance(following, BatchNorm)
            for parameter in layer.parameters.values():
                if parameter.kind != "places" and not (parameter.kind == "bias" and folded):
                    found.append(parameter.value)
        before = layer
    return found


def _fill(model, values):
    """The inverse of `_rest`."""
    values = iter(values)
    for layer, following in zip(model.layers, [*model.layers[1:], None], strict=True):
        if isinstance(layer, BatchNorm):
            layer.scale.value[...], layer.shift.value[...] = next(values), next(values)
            layer.mean[...], layer.variance[...] = 0.0, 1.0 - layer.epsilon
            continue
        folded = isinstance(following, BatchNorm)
        for parameter in layer.parameters.values():
            if parameter.kind == "bias" and folded:
                parameter.value[...] = 0.0
            elif parameter.kind != "places":
                parameter.value[...] = next(values)


def _unpack(packed, bits, count):
    spread = np.unpackbits(packed, count=count * bits).reshape(count, bits)
    return (spread.astype(np.uint32) << np.arange(bits, dtype=np.uint32)).sum(axis=1, dtype=np.uint32)
