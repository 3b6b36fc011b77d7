"""Packed models of any family: safetensors of one array of bytes, with every number at a few bits.

What inference does not need is not stored: norms are folded to a factor and an offset per channel, with the bias of the
layer before them; keys of the configuration that say what the builder takes anyway, and the seed of the start, are left
out. So a default of a builder that changes needs another format.

The bytes are: one character for the coding of codes; the grids, a step (the upper half of a float32) and an offset
(int16) for each array on one; the numbers stored as float16; the codes of 8 bits; the codes of `bits` bits, in the
coding that makes them shorter. Codes are counted from that of 0, so that the most frequent ones are the same in all
arrays. `dynsim.learning.stored_bits` says how an array is stored. Arrays have the order of the layers. What is pruned
takes no bytes more: the step of an array whose zeros are pruned has a minus, and so has a pruned zero in float16.
"""

from __future__ import annotations

import inspect
from dataclasses import MISSING, fields
from itertools import pairwise
from pathlib import Path

import numpy as np

from dynsim._check import as_count, as_like, refusal
from dynsim._files import damaged, expect_table, from_json, to_json
from dynsim.errors import DataError
from dynsim.kernels import Kernel
from dynsim.layers import BatchNorm
from dynsim.learning import MOST_BITS, Grid, find_grid, stored_bits
from dynsim.models import BUILDERS, Model, build, check_size

from ._codings import LARGEST_SHARE, decode, encode
from ._first_packed import FIRST, read_first
from ._safetensors_files import FEW, open_safetensors, safetensors_size, save_safetensors

PACKED = "dynsim packed 2"


def save_packed(model: Model, path: str | Path, *, bits: int) -> int:
    """Write a model as safetensors with places and weights at `bits` bits each; returns the bytes of the file.

    Arrays that lie on a grid of 2^bits values (a training with `bits`) are stored exactly; others are rounded to the
    grid of the least squared error. Strengths, biases and norms have 8 bits (float16 where bits are more than 8). The
    codes are compressed where that makes them shorter, so weights that are 0 after pruning take little. They are pruned
    in the model that is read, too, as are others of the same array that are rounded to 0.

    Raises
    ------
    ImportError
        If safetensors is not installed.
    ValueError
        If bits are not 1 to 16, or there are numbers that float16 (places and weights: float32) does not hold.
    """
    return save_safetensors(*_packed(model, bits, path), digits=FEW)


def packed_bytes(model: Model, *, bits: int) -> int:
    """Return the bytes of the file that `save_packed` would write; raises as it.

    >>> import dynsim
    >>> packed_bytes(dynsim.models.mlp((64, 10), copies=2, dim=3), bits=4) < 600
    True
    """
    tensors, _, metadata = _packed(model, bits, None)
    return safetensors_size(tensors, metadata, digits=FEW)


def rounded(model: Model, *, bits: int) -> Model:
    """Return a copy of the model as `load_packed` would read it from the file that `save_packed` writes; raises as it.

    >>> import dynsim
    >>> model = rounded(dynsim.models.mlp((64, 10), copies=2, dim=3), bits=2)
    >>> len(np.unique(model.layers[1].places_in.value))
    4
    """
    tensors, _, metadata = _packed(model, bits, None)
    return _read(metadata, tensors["codes"], as_count(bits, "bits"), "model")


def load_packed(path: str | Path) -> Model:
    """Read what `save_packed` wrote, of this format or the first; sizes are checked before memory is taken.

    Raises
    ------
    ImportError
        If safetensors is not installed.
    DataError, FileError
        If it is another file, or damaged.
    """
    with open_safetensors(path) as (metadata, stored):
        if metadata.get("format") not in (FIRST, PACKED):
            raise DataError(f"{path} is not a packed model; give a file of `dynsim export --packed`.")
        bits = _stored_bits(metadata, path)
        if metadata["format"] == FIRST:
            return read_first(metadata, stored, bits, path)
        return _read(metadata, stored["codes"], bits, path)


def packed_bits(path):
    """Bits of a coordinate in a packed file; raises as `load_packed`."""
    with open_safetensors(path) as (metadata, _):
        return _stored_bits(metadata, path)


def _stored_bits(metadata, path):
    found = metadata["bits"]
    if found not in map(str, range(1, MOST_BITS + 1)):
        raise damaged(path, f"{found[:20]!r} bits a coordinate, not 1 to {MOST_BITS}")
    return int(found)


def _packed(model, bits, path):
    """What `save_safetensors` takes."""
    as_like(model, ("layers", "config", "parameters"), "Model", "model")
    bits = as_count(bits, "bits")
    if bits > MOST_BITS:
        raise refusal("bits", bits, f"1 to {MOST_BITS}")
    grids, halves, rough, codes = [], [], [], []
    for kind, value, _, parameter in _slots(model):
        width = stored_bits(kind, value.size, bits)
        left = np.ones(1) if parameter is None or parameter.mask is None else parameter.mask.ravel()
        with np.errstate(over="ignore", invalid="ignore"):  # looked at below
            half = value.ravel().astype(np.float16) + np.float16(0)  # without the minus of a 0
            grid = find_grid(value, width) if width and np.isfinite(value).all() else None
            if not np.isfinite(half if grid is None else grid.nearest(value)).all():
                largest = np.finfo(np.float32 if width else np.float16).max
                do = "use the materialised form"
                raise refusal("model", f"numbers beyond {largest:.6g}", "smaller ones to pack", do)
        if grid is None:
            halves.append(np.where(left, half, np.float16(-0.0)))
            continue
        step = np.float32(grid.step if left.all() else -grid.step)
        grids.append((step.view(np.uint32) >> 16, grid.offset & 0xFFFF))
        (codes if _is_fine(kind) else rough).append((grid.codes(value).ravel() - grid.zero) % 2**width)
    coding, coded = encode(_joined(codes, np.uint16), bits)
    parts = [coding, np.array(grids, "<u2").tobytes(), _joined(halves, "<f2").tobytes()]
    content = b"".join([*parts, _joined(rough, np.uint8).tobytes(), coded])
    metadata = {"format": PACKED, "bits": str(bits), "config": _text(_short(model.config))}
    return {"codes": np.frombuffer(content, np.uint8)}, path, metadata


def _read(metadata, content, bits, path):
    config = _whole(_table(metadata["config"], path), path)
    if content.dtype != np.uint8 or content.ndim != 1 or not content.size:
        raise damaged(path, "its codes are not bytes")
    content = content.tobytes()
    coding, content = content[:1], content[1:]
    held = 32 / bits if coding == b"b" else 4 * LARGEST_SHARE
    check_size(config, stored=len(content) * held, path=path)
    model = build(config)
    slots = [(kind, array, stored_bits(kind, array.size, bits), owner) for kind, _, array, owner in _slots(model)]
    sizes = [4 * sum(1 for _, _, width, _ in slots if width)]
    sizes.append(2 * sum(array.size for _, array, width, _ in slots if not width))
    sizes.append(sum(array.size for kind, array, width, _ in slots if width and not _is_fine(kind)))
    if sum(sizes) > len(content):
        raise damaged(path, "its numbers do not fit its configuration")
    ends = np.cumsum([0, *sizes])
    grids, halves, rough = (content[a:b] for a, b in pairwise(ends))
    grids = iter(np.frombuffer(grids, "<u2").reshape(-1, 2))
    count = sum(array.size for kind, array, width, _ in slots if width and _is_fine(kind))
    rough = _Taken(np.frombuffer(rough, np.uint8))
    fine = _Taken(decode(coding, content[ends[-1] :], bits, count, path))
    halves = _Taken(np.frombuffer(halves, "<f2"))
    for kind, array, width, parameter in slots:
        if width:
            step, offset = next(grids)
            step = float((np.uint32(step) << 16).view(np.float32))
            grid = Grid(abs(step), int(np.uint16(offset).view(np.int16)), width)
            codes = (fine if _is_fine(kind) else rough).next(array.shape).astype(np.int64)
            with np.errstate(over="ignore", invalid="ignore"):
                array[...] = grid.values((codes + grid.zero) % 2**width, array.dtype)
            pruned = (array == 0) & np.signbit(step)
        else:
            array[...] = halves.next(array.shape)
            pruned = (array == 0) & np.signbit(array)
        if not np.isfinite(array).all():
            raise damaged(path, "it holds numbers that are not finite")
        if pruned.any() and parameter is not None:
            parameter.prune(~pruned)
    _unfold(model)
    return model


class _Taken:
    """Arrays one after the other from a flat one."""

    def __init__(self, flat):
        self.flat, self.start = flat, 0

    def next(self, shape):
        self.start += (size := int(np.prod(shape)))
        return self.flat[self.start - size : self.start].reshape(shape)


def _is_fine(kind):
    """Whether a kind of parameter has the bits of the file."""
    return kind in ("places", "weights")


def _joined(arrays, dtype):
    return np.concatenate([*arrays, np.zeros(0, np.float16 if dtype == "<f2" else np.int32)]).astype(dtype)


def _slots(model):
    """(kind, value, array that takes it when it is read, parameter or None) of everything that is stored, in its order.

    What is pruned is known of the parameters; what replaces a norm is none.
    """
    seen, before = set(), None
    for layer, following in zip(model.layers, [*model.layers[1:], None], strict=True):
        if isinstance(layer, BatchNorm):
            factor = layer.scale.value / np.sqrt(layer.variance + layer.epsilon)
            bias = before and before.parameters.get("bias")
            shift = 0.0 if bias is None else bias.value
            yield "norm", factor, layer.scale.value, None
            yield "norm", layer.shift.value + (shift - layer.mean) * factor, layer.shift.value, None
        else:
            for parameter in layer.parameters.values():
                folded = parameter.kind == "bias" and isinstance(following, BatchNorm)
                if not folded and id(parameter) not in seen:
                    seen.add(id(parameter))
                    yield parameter.kind, parameter.value, parameter.value, parameter
        before = layer


def _unfold(model):
    """Give norms the averages, and the layers before them the biases, that change nothing."""
    for layer, following in zip(model.layers, [*model.layers[1:], None], strict=True):
        if isinstance(layer, BatchNorm):
            layer.mean[...], layer.variance[...] = 0.0, 1.0 - layer.epsilon
        elif isinstance(following, BatchNorm) and "bias" in layer.parameters:
            layer.parameters["bias"].value[...] = 0.0


def _short(config):
    """A configuration without what the builder takes anyway, and without the seed of the start."""
    defaults = _defaults(config["model"])
    short = {key: value for key, value in config.items() if key not in defaults or not _same(value, defaults[key])}
    short.pop("seed", None)
    kernel = short.pop("kernel", None)
    if kernel is not None and not _same(build(short).config.get("kernel"), kernel):
        usual = {field.name: field.default for field in fields(Kernel) if field.default is not MISSING}
        short["kernel"] = {key: value for key, value in kernel.items() if key not in usual or value != usual[key]}
    return short


def _whole(config, path):
    """The inverse, as far as sizes can be read from it."""
    if config.get("model") not in BUILDERS:
        raise damaged(path, f"its model is {str(config.get('model'))[:40]!r}, which is not known")
    return {**{key: value for key, value in _defaults(config["model"]).items() if value is not None}, **config}


def _defaults(name):
    parameters = inspect.signature(BUILDERS[name]).parameters.values()
    return {parameter.name: parameter.default for parameter in parameters if parameter.default is not parameter.empty}


def _same(value, other):
    return to_json(value) == to_json(other)


def _text(config):
    """JSON, with quotes that a safetensors file need not escape where that can be read back."""
    text = to_json(config, separators=(",", ":"))
    return text if "'" in text or "\\" in text else text.replace('"', "'")


def _table(text, path):
    text = text.replace("'", '"') if text.startswith("{'") else text
    return expect_table(from_json(text, path), path, "an entry config")
