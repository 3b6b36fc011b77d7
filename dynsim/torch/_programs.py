"""Exported programs (torch.export, .pt2) as modules whose weights can be replaced."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import nn

from dynsim._files import damaged
from dynsim.errors import DataError, FileError

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
    """The program as a module that trains and evaluates, and whose parameters all belong to parts of it.

    A parameter `w` of the program itself becomes `w_layer.weight`. Raises FileError, which names the file `name`, if
    the program contradicts itself, as after a change of its file.

    Examples
    --------
    >>> program = torch.export.export(nn.Sequential(nn.Linear(3, 2)), (torch.zeros(1, 3),))
    >>> module = modularise(program)
    >>> module.eval()(torch.zeros(1, 3)).shape, [name for name, _ in module.named_parameters()]
    (torch.Size([1, 2]), ['0.weight', '0.bias'])
    """
    try:
        return _modularised(program)
    except Exception as error:  # a program that was changed can make torch raise anything
        raise damaged(name, error) from error


def _modularised(program):
    module = program.module()
    for name in ("train", "eval"):  # PyTorch's raise, as operations of a program do not depend on the mode
        vars(module).pop(name, None)
    for node in module.graph.find_nodes(op="get_attr"):
        name = str(node.target)
        if module._parameters.get(name) is not None:
            holder = nn.Module()
            holder.register_parameter("weight", module._parameters.pop(name))
            module.add_module(f"{name}_layer", holder)
        if "." not in name and hasattr(module, f"{name}_layer"):
            node.target = f"{name}_layer.weight"
    module.recompile()
    return module
