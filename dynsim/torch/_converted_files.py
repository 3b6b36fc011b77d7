"""Files of modules: what is converted, converted modules in one HDF5 file, weights of other programs, and ONNX."""

from __future__ import annotations

import gzip
import io
import zlib
from pathlib import Path

import h5py
import numpy as np
import torch
from torch import Tensor, nn

from dynsim._check import as_choice, refusal
from dynsim._files import (
    Stored,
    attribute,
    damaged,
    dataset,
    expect_input,
    expect_sealed,
    from_json,
    holds,
    reading,
    reason,
    replacing,
    replacing_hdf5,
    seal,
    to_json,
)
from dynsim.errors import DataError
from dynsim.kernels import Kernel
from dynsim.layers import SETS
from dynsim.learning import FittedWeights

from ._conversion_report import Report
from ._eight_bits import EightBits
from ._input_shapes import batch_of
from ._made_weights import fold_made_weights
from ._parametrisation import derive, derived_weights, materialize, share
from ._particles import PARTS, Particles
from ._program_archive import expect_room
from ._programs import load_program, modularise, read_program
from ._timm_backbones import load_timm, plain_convolutions
from ._weight_layout import WeightLayout

FORMAT = 2
DESCRIPTION = ("dynsim", "format", "source")  # attributes
OPSET = 18  # of ONNX
PIECE = 2**20  # bytes


def load_source(source: str | Path) -> tuple[nn.Module, dict]:
    """A module to convert, from "timm:NAME", "timm:NAME:pretrained" or the path of a .pt2 program, and its source.

    Raises
    ------
    DataError, FileError, FileNotFoundError, ImportError
        If there is no such model or file, or timm is missing.
    """
    text = str(source)
    if text.startswith("timm:"):
        name, _, weights = text.removeprefix("timm:").partition(":")
        if weights not in ("", "pretrained"):
            raise refusal("model", text, "timm:NAME or timm:NAME:pretrained", error=DataError)
        timm = load_timm()
        if name not in timm.list_models():
            raise refusal("model", text, "a model that timm.list_models() lists", error=DataError)
        return plain_convolutions(timm.create_model(name, pretrained=bool(weights))).eval(), {"timm": name}
    if Path(text).suffix != ".pt2":
        raise refusal("model", text, "a .pt2 file of torch.export.save, or timm:NAME", error=DataError)
    return modularise(load_program(text), name=text), {"program": text}


def load_weights(module: nn.Module, path: str | Path) -> nn.Module:
    """Read a file of weights into a module; returns the module.

    The file is safetensors, or a state_dict that `torch.save` wrote, by itself or under "state_dict". It is read with
    weights_only=True, so nothing in it is executed.

    Raises
    ------
    DataError
        If the file does not fit the module.
    ImportError
        If it is safetensors, and that is not installed.
    """
    try:
        if Path(path).suffix == ".safetensors":
            from safetensors.torch import load_file

            state = load_file(str(expect_input(path)))
        else:
            state = torch.load(expect_input(path), map_location="cpu", weights_only=True)
        state = state.get("state_dict", state)
        module.load_state_dict({name.removeprefix("module."): value for name, value in state.items()})
    except ImportError:
        raise ImportError("Safetensors files need safetensors: pip install 'dynsim[export]'.") from None
    except Exception as error:  # unpickling, safetensors and load_state_dict raise different errors
        raise DataError(f"{path} holds no weights of this network ({reason(error)}).") from None
    return module


def save_converted(module: nn.Module, path: str | Path, *, source: dict, report: Report) -> None:
    """Write a converted module, the source that `load_source` gave, and the report.

    A program's graph goes into the file, with zeros for its weights, which compress to nothing.

    Raises
    ------
    OSError
        If the file cannot be written.
    """
    found = {}
    for place, _, name, derived in derived_weights(module):
        if not isinstance(derived, (Particles, EightBits)):
            wanted = "weights of particles or of 8 bits"
            raise refusal("module", f"a {type(derived).__name__} as {place}.{name}", wanted)
        layout = derived.layout
        entry = {"owners": [], "outputs": layout.outputs, "inputs": layout.inputs}
        if isinstance(derived, Particles):
            entry |= {"kernel": derived.kernel.to_dict(), "sets": derived.sets, "padding": derived.padding}
        found.setdefault(id(derived), entry)["owners"].append([place, name])
    with replacing_hdf5(path) as file:
        file.attrs["dynsim"], file.attrs["format"] = "converted", FORMAT
        file.attrs["source"] = to_json({key: value for key, value in source.items() if key != "program"})
        seal(file, *DESCRIPTION)
        file.create_dataset("weights", data=to_json(list(found.values())))
        file.create_dataset("report", data=to_json(report.to_dict()))
        if "program" in source:
            file.create_dataset("program", data=np.frombuffer(_skeleton(source["program"]), np.uint8))
        written, others = {}, {}
        for name, value in module.state_dict().items():
            place = value.data_ptr(), value.shape, value.stride()
            if value.numel() and place in written:
                others[name] = written[place]
                continue
            written[place] = name
            half = value.dtype == torch.bfloat16  # which NumPy has not
            stored = file.create_dataset(f"arrays/{name}", data=_array(value.view(torch.int16) if half else value))
            if half:
                stored.attrs["type"] = "bfloat16"
        file.create_dataset("aliases", data=to_json(others))
        file.visititems(lambda _, item: seal(item) if isinstance(item, h5py.Dataset) else None)


def _array(tensor):
    return tensor.detach().cpu().numpy()


def load_converted(path: str | Path) -> nn.Module:
    """Read what `save_converted` wrote; the module answers as the one that was saved.

    Raises
    ------
    FileNotFoundError, DataError, FileError
        If there is none, it is of another kind, or damaged.
    """
    with reading(path, "converted") as file:
        expect_sealed(file, *DESCRIPTION)
        if int(attribute(file, "format")) != FORMAT:
            raise refusal(
                path, f"format {attribute(file, 'format')}", FORMAT, "convert the network again", error=DataError
            )
        stored = Stored(file, "arrays", "biufc")
        arrays = {name: torch.from_numpy(np.array(stored[name])) for name in stored.names}
        for name, value in arrays.items():
            if attribute(file[f"arrays/{name}"], "type", None) == "bfloat16":
                arrays[name] = value.view(torch.bfloat16)
        report = from_json(dataset(file, "report", (), "O")[()], path)
        module = _architecture(file, path)
        folded = report["options"].get("folded", [])
        if folded:
            fold_made_weights(module, include=folded)
        for entry in from_json(dataset(file, "weights", (), "O")[()], path):
            _derive(module, entry, arrays)
        for name, other in from_json(dataset(file, "aliases", (), "O")[()], path).items():
            arrays[name] = arrays[other]
        kept = module.state_dict().keys()
        for name, value in module.named_buffers():  # copying made some permanent that were not
            if name in arrays and name not in kept:
                value.copy_(arrays.pop(name))
        module.load_state_dict(arrays)
    return module


def _derive(module, entry, arrays):
    """Let a weight of the architecture follow from particles of the sizes that a file has."""
    (place, name), *rest = entry["owners"]
    part = module.get_submodule(place)
    weight, prefix = part._parameters[name], ".".join(filter(None, (place, "parametrizations", name, "0")))
    layout = WeightLayout(tuple(weight.shape), entry["outputs"], entry["inputs"])
    if "kernel" in entry:
        parts = [arrays.get(f"{prefix}.{one}") for one in PARTS]
        options = {"sets": as_choice(entry["sets"], SETS, "sets"), "padding": entry["padding"]}
        options["row"] = arrays.get(f"{prefix}.row")
        kernel = Kernel.from_dict(entry["kernel"])
        made = Particles.fitted(layout, FittedWeights(*parts, 0.0), kernel, weight, **options)
    else:  # in 8 bits; sizes and types are those of the weight that it takes the place of
        made = EightBits.rounded(layout, torch.zeros_like(weight).requires_grad_(weight.requires_grad))
    derive(part, name, made)
    for other, parameter in rest:
        share(module.get_submodule(other), parameter, part, name)


def _architecture(file, path):
    if holds(file, "program"):
        packed = dataset(file, "program", kind="u")[()].tobytes()
        module = modularise(read_program(_unpacked(packed, path), path), name=path)
    else:
        name = from_json(attribute(file, "source"), path)["timm"]
        module = plain_convolutions(load_timm().create_model(name, pretrained=False)).eval()
    return module


def _unpacked(packed, path):
    """The program of a file, open for reading; how large it becomes is counted before memory is taken."""
    size, unpacker, rest = 0, zlib.decompressobj(zlib.MAX_WBITS | 16), packed
    while not unpacker.eof:
        try:
            piece = unpacker.decompress(rest, PIECE)
        except zlib.error as error:
            raise damaged(path, error) from None
        if not piece and not unpacker.unconsumed_tail:
            raise damaged(path, "its program ends in the middle")
        size, rest = size + len(piece), unpacker.unconsumed_tail
    expect_room(size, f"{path}, its program")
    return io.BytesIO(zlib.decompress(packed, zlib.MAX_WBITS | 16))


def _skeleton(path):
    """The program with zeros for its weights, gzipped."""
    program = load_program(path)
    with torch.no_grad():
        for value in program.state_dict.values():
            value.zero_()
    packed = io.BytesIO()
    torch.export.save(program, packed)
    return gzip.compress(packed.getvalue(), 6)


def save_onnx(module: nn.Module, path: str | Path, *, example: Tensor) -> int:
    """Write a module as ONNX (opset 18), ordinary weights in the place of particles; returns the bytes of the file.

    Parameters
    ----------
    module : torch.nn.Module
        Converted or not; exported as it answers in evaluation.
    path : path
        The graph and all weights are written into this one file.
    example : torch.Tensor
        An input; the first axis may have any length later, but for a program that was exported for one length.

    Raises
    ------
    ImportError
        If onnx or onnxscript is not installed.
    """
    try:
        import onnx
        import onnxscript  # noqa: F401 - torch.onnx needs it
    except ImportError:
        raise ImportError("Modules as ONNX need onnx and onnxscript: pip install 'dynsim[onnx]'.") from None
    ordinary = materialize(module).eval()
    shapes = ({0: torch.export.Dim("batch")},) if batch_of(module) is None else None
    program = torch.onnx.export(
        ordinary, (example,), input_names=["images"], output_names=["scores"], dynamic_shapes=shapes,
        opset_version=OPSET, dynamo=True, verbose=False,
    )  # fmt: skip
    with replacing(path) as temporary:
        program.save(str(temporary), external_data=False)
        onnx.checker.check_model(str(temporary))
    return Path(path).stat().st_size
