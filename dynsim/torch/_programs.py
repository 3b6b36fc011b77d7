"""Exported programs (torch.export, .pt2) as modules whose linear operations are layers again."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import fx, nn

from dynsim._files import damaged
from dynsim.errors import DataError, FileError

from ._exchange import replace_layer
from ._modules import with_weights
from ._program_archive import checked_archive


def load_program(path: str | Path) -> torch.export.ExportedProgram:
    """Read a .pt2 file of `torch.export.save`.

    Raises
    ------
    FileNotFoundError, DataError, FileError
        If there is none, it is of another kind, or damaged.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path} does not exist; give a program of torch.export.save (.pt2).")
    with path.open("rb") as file:
        return read_program(file, path)


def read_program(file, name):
    """As `load_program`, of an open file."""
    if file.read(2) != b"PK":
        raise DataError(f"{name} is not a zip archive; give a program of torch.export.save (.pt2).")
    try:
        program = torch.export.load(checked_archive(file, name))
        _expect_fitting(program, name)
        return program
    except (DataError, FileError):
        raise
    except Exception as error:  # what a damaged archive makes torch raise is not listed anywhere
        raise damaged(name, error) from None


def _expect_fitting(program, name):
    """Refuse numbers of another shape or type than the graph was made for; PyTorch would notice when it is called."""
    targets = {given.arg.name: given.target for given in program.graph_signature.input_specs}
    for node in program.graph.find_nodes(op="placeholder"):
        target, made = targets.get(node.name), node.meta.get("val")
        found = program.state_dict.get(target, program.constants.get(target))
        if not isinstance(found, torch.Tensor) or not isinstance(made, torch.Tensor):
            continue
        if (found.dtype, *found.shape) != (made.dtype, *made.shape):
            got, expected = (f"{str(x.dtype).removeprefix('torch.')} {tuple(x.shape)}" for x in (found, made))
            raise FileError(f"{name}: {target} is {got}; expected {expected}, as its graph says; the file is damaged.")


def modularise(program: torch.export.ExportedProgram, *, name: str = "the program") -> nn.Module:
    """The program as a module in which convolutions, full layers and embeddings are modules with weights.

    A weight that several operations use, or that is computed, stays where it is. Raises FileError, which names the file
    `name`, if the program contradicts itself, as after a change of its file.

    Examples
    --------
    >>> program = torch.export.export(nn.Sequential(nn.Linear(3, 2)), (torch.zeros(1, 3),))
    >>> [type(part).__name__ for part in modularise(program).modules() if isinstance(part, nn.Linear)]
    ['Linear']
    """
    try:
        return _modularised(program)
    except Exception as error:  # a program that was changed can make torch raise anything
        raise damaged(name, error) from error


def _modularised(program):
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
        replace_layer(module, name, layer=layer)
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
    return with_weights(layer, value, shift), source, weight


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
    return with_weights(layer, value, shift), source, weight


def _embedding(module, node):
    weight, source, padding = _arguments(node, 3)
    value = _parameter(module, weight)
    if value is None:
        return None, source, weight
    layer = nn.Embedding(*value.shape, padding if padding is not None and padding >= 0 else None, device="meta")
    return with_weights(layer, value), source, weight


def _arguments(node, count):
    return [*node.args, *([None] * count)][:count]


def _parameter(module, node):
    """The parameter that a node reads, or None."""
    if not isinstance(node, fx.Node) or node.op != "get_attr":
        return None
    parent, _, name = node.target.rpartition(".")
    value = getattr(module.get_submodule(parent), name)
    return value if isinstance(value, torch.Tensor) else None
