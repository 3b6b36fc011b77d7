"""Packed models: safetensors with the places at b bits each and everything else as float16.

What inference does not need is not stored: norms are folded to a factor and an offset per channel, with the bias of the
layer before them.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from dynsim._check import as_count, refusal
from dynsim._files import damaged, expect_table, from_json, to_json
from dynsim.errors import DataError
from dynsim.layers import BatchNorm
from dynsim.models import Model, build, check_size

from ._safetensors_files import open_safetensors, save_safetensors

PACKED = "dynsim packed 1"
MOST_BITS = 16
TYPES = {"places": np.uint8, "grids": np.float32, "rest": np.float16}


def save_packed(model: Model, path: str | Path, *, bits: int) -> int:
    """Write a model in DyN form as safetensors; returns the bytes of the file.

    Places that lie on a grid of 2^bits values (a training with `bits`) are stored exactly; others are rounded to the
    2^bits values between their least and their largest. The rest is rounded to float16.

    Raises
    ------
    ImportError
        If safetensors is not installed.
    ValueError
        If bits are not 1 to 16, or the model has no places, or numbers that float16 (places: float32) does not hold.
    """
    bits = as_count(bits, "bits")
    if bits > MOST_BITS:
        raise refusal("bits", bits, f"1 to {MOST_BITS}")
    places = _places(model)
    if not places:
        raise refusal("model", "one without places", "a model in DyN form")
    with np.errstate(over="ignore", invalid="ignore"):  # looked at below
        codes, grids = zip(*(_encode(parameter.value, bits) for parameter in places), strict=True)
        rest = np.concatenate([array.ravel() for array in _rest(model)]).astype(np.float16)
        tensors = {"places": _pack(np.concatenate(codes), bits), "grids": np.array(grids, np.float32), "rest": rest}
    for name in ("grids", "rest"):
        if not np.isfinite(tensors[name]).all():
            largest = f"{np.finfo(TYPES[name]).max:.6g}"
            raise refusal("model", f"numbers beyond {largest}", "smaller ones to pack", "use the materialised form")
    config = {key: value for key, value in model.config.items() if value is not None}
    metadata = {"format": PACKED, "bits": str(bits), "config": to_json(config, separators=(",", ":"))}
    return save_safetensors(tensors, path, metadata)


def load_packed(path: str | Path) -> Model:
    """Read what `save_packed` wrote; sizes are checked before memory is taken.

    Raises
    ------
    ImportError
        If safetensors is not installed.
    DataError, FileError
        If it is another file, or damaged.
    """
    with open_safetensors(path) as (metadata, stored):
        if metadata.get("format") != PACKED:
            raise DataError(f"{path} is not a packed model; give a file of `dynsim export --packed`.")
        bits = _stored_bits(metadata, path)
        config = expect_table(from_json(metadata["config"], path), path, "an entry config")
        tensors = {name: stored[name] for name in TYPES}
        for name, kind in TYPES.items():
            if tensors[name].dtype != kind or not np.isfinite(tensors[name]).all():
                raise damaged(path, f"its {name} are not finite numbers of type {np.dtype(kind)}")
        return _restore(config, bits, tensors, path)


def packed_bits(path):
    """Bits of a coordinate in a packed file; raises as `load_packed`."""
    with open_safetensors(path) as (metadata, _):
        return _stored_bits(metadata, path)


def _stored_bits(metadata, path):
    found = metadata["bits"]
    if found not in map(str, range(1, MOST_BITS + 1)):
        raise damaged(path, f"{found[:20]!r} bits a coordinate, not 1 to {MOST_BITS}")
    return int(found)


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


def _encode(value, bits):
    """Codes of the values on their grid, and its lowest value and step."""
    levels = np.unique(value)
    step = (levels[-1] - levels[0]) / (2**bits - 1) if len(levels) > 1 else value.dtype.type(1)
    if 1 < len(levels) <= 2**bits:
        # On a grid already: neighbours are one step apart, whichever levels are used.
        least = np.diff(levels).min()
        if (levels[-1] - levels[0]) / least < 2**bits - 0.5:
            step = (levels[-1] - levels[0]) / np.rint((levels[-1] - levels[0]) / least)
    codes = np.rint((value.ravel() - levels[0]) / step).astype(np.uint32)
    return codes, (float(levels[0]), float(step))


def _pack(codes, bits):
    shifts = np.arange(bits, dtype=np.uint32)
    return np.packbits(((codes[:, None] >> shifts) & 1).astype(np.uint8).ravel())


def _unpack(packed, bits, count):
    spread = np.unpackbits(packed, count=count * bits).reshape(count, bits)
    return (spread.astype(np.uint32) << np.arange(bits, dtype=np.uint32)).sum(axis=1, dtype=np.uint32)
