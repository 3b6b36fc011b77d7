"""Exported programs (torch.export, .pt2) as modules whose linear operations are layers again."""

from __future__ import annotations

import io
import json
import pickle
import zipfile
from pathlib import Path

import torch
from torch import nn

from dynsim.errors import DataError, FileError

from ._walk import replace


def load_program(path):
    """Read a .pt2 file of `torch.export.save`.

    Raises
    ------
    FileNotFoundError, DataError, FileError
        If there is none, it is of another kind, or damaged.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file; expected a program of torch.export.save (.pt2).")
    with open(path, "rb") as file:
        if file.read(2) != b"PK":
            raise DataError(f"{path}: not a zip archive; expected a program of torch.export.save (.pt2).")
    try:
        _refuse_pickles(path)
        return torch.export.load(path)
    except DataError:
        raise
    except Exception as error:  # what a damaged archive makes torch raise is not listed anywhere
        raise FileError(f"{path}: no program of torch.export.save ({_first_line(error)}).") from None


def _refuse_pickles(path):
    """torch.export.load unpickles whatever a part of the archive holds if it says so: let plain tensors pass only."""
    with zipfile.ZipFile(path) as archive:
        names = archive.namelist()
        pickled = [name for name in names if name.endswith(".pt")]
        for name in names:
            if name.endswith("_config.json"):
                payloads = json.loads(archive.read(name)).get("config", {}).values()
                folder = name.rpartition("/")[0]
                pickled += [f"{folder}/{one['path_name']}" for one in payloads if one.get("use_pickle")]
        for name in pickled:
            try:
                torch.load(io.BytesIO(archive.read(name)), weights_only=True)
            except pickle.UnpicklingError:
                raise DataError(f"{path}: {name} holds pickled objects; expected tensors. It was not loaded.") from None


def modularise(program):
    """The program as a module in which convolutions, full layers and embeddings are modules with weights of their own.

    A weight that several operations use, or that is computed, stays where it is.

    Examples
    --------
    >>> program = torch.export.export(nn.Sequential(nn.Linear(3, 2)), (torch.zeros(1, 3),))
    >>> [type(part).__name__ for part in modularise(program).modules() if isinstance(part, nn.Linear)]
    ['Linear']
    """
    module = program.module()
    aten = torch.ops.aten
    makers = {
        aten.linear.default: _linear,
        aten.conv2d.default: _conv,
        aten.conv2d.padding: _conv,
        aten.embedding.default: _embedding,
    }
    for node in list(module.graph.nodes):
        make = makers.get(node.target) if node.op == "call_function" else None
        if make is None:
            continue
        layer, source, weight = make(module, node)
        if layer is None or len(weight.users) > 1:
            continue
        name = weight.target.removesuffix(".weight") if "." in weight.target else f"{weight.target}_layer"
        replace(module, name, layer)
        with module.graph.inserting_before(node):
            node.replace_all_uses_with(module.graph.call_module(name, (source,)))
        module.graph.erase_node(node)
    module.graph.eliminate_dead_code()
    module.recompile()
    return module


def _linear(module, node):
    source, weight, bias = _arguments(node, 3)
    value, shift = _parameter(module, weight), _parameter(module, bias)
    if value is None or (bias is not None and shift is None):
        return None, source, weight
    layer = nn.Linear(value.shape[1], value.shape[0], shift is not None, device="meta")
    return _filled(layer, value, shift), source, weight


def _conv(module, node):
    source, weight, bias, stride, padding, dilation, groups = _arguments(node, 7)
    value, shift = _parameter(module, weight), _parameter(module, bias)
    if value is None or (bias is not None and shift is None):
        return None, source, weight
    n, m = value.shape[:2]
    groups = groups or 1
    options = {"stride": stride or 1, "padding": padding or 0, "dilation": dilation or 1, "groups": groups}
    options = {key: tuple(x) if isinstance(x, (list, tuple)) else x for key, x in options.items()}
    layer = nn.Conv2d(m * groups, n, tuple(value.shape[2:]), bias=shift is not None, device="meta", **options)
    return _filled(layer, value, shift), source, weight


def _embedding(module, node):
    weight, source, padding = _arguments(node, 3)
    value = _parameter(module, weight)
    if value is None:
        return None, source, weight
    layer = nn.Embedding(*value.shape, padding if padding is not None and padding >= 0 else None, device="meta")
    return _filled(layer, value, None), source, weight


def _arguments(node, count):
    return [*node.args, *([None] * count)][:count]


def _parameter(module, node):
    """The parameter that a node reads, or None."""
    if node is None or not hasattr(node, "op") or node.op != "get_attr":
        return None
    parent, _, name = node.target.rpartition(".")
    value = getattr(module.get_submodule(parent), name)
    return value if isinstance(value, torch.Tensor) else None


def _filled(layer, weight, bias):
    layer.weight = nn.Parameter(weight.detach().clone())
    if bias is not None:
        layer.bias = nn.Parameter(bias.detach().clone())
    return layer


def _first_line(error):
    return (str(error).splitlines() or [type(error).__name__])[0]
