"""A converted module in one HDF5 file: where its architecture comes from, which layers are particles, all arrays."""

from __future__ import annotations

import gzip
import io
import json
import os
import tempfile
from pathlib import Path

import numpy as np
import torch

from dynsim.errors import DataError, FileError
from dynsim.kernels import Kernel
from dynsim.learning import FittedWeights

from ._base import Particles
from ._plain import plain
from ._program import load_program, modularise
from ._replace import particles_of
from ._timm import load_timm
from ._walk import replace, split_attention

FORMAT = 1
LARGEST = 2**33  # numbers of one file
PARTS = ("places_in", "places_out", "strengths", "left", "right")


def load_source(source):
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
            raise DataError(f"model: got {text}; expected timm:NAME or timm:NAME:pretrained.")
        timm = load_timm()
        if name not in timm.list_models():
            raise DataError(f"model: got {text}; timm knows no model {name!r}.")
        return plain(timm.create_model(name, pretrained=bool(weights))).eval(), {"timm": name}
    if Path(text).suffix != ".pt2":
        raise DataError(f"model: got {text}; expected a .pt2 file of torch.export.save, or timm:NAME.")
    return modularise(load_program(text)), {"program": text}


def save_converted(module, path, source, report):
    """Write a converted module beside `path` and rename it there.

    A program's graph goes into the file, with zeros for its weights, which compress to nothing.

    Raises
    ------
    OSError
        If the folder cannot be written.
    """
    import h5py

    path = Path(path)
    made = {name: part for name, part in module.named_modules(remove_duplicate=False) if isinstance(part, Particles)}
    layers = {name: {"kernel": part.kernel.to_dict(), "sets": part.sets} for name, part in made.items()}
    handle, temporary = tempfile.mkstemp(suffix=".h5", dir=path.parent)
    os.close(handle)
    try:
        with h5py.File(temporary, "w") as file:
            file.attrs["dynsim"], file.attrs["format"] = "converted", FORMAT
            file.attrs["source"] = json.dumps({key: value for key, value in source.items() if key != "program"})
            file.create_dataset("layers", data=json.dumps(layers))
            file.create_dataset("report", data=json.dumps(report.to_dict()))
            if "program" in source:
                file.create_dataset("program", data=np.frombuffer(_skeleton(source["program"]), np.uint8))
            for name, value in module.state_dict().items():
                file.create_dataset(f"arrays/{name}", data=value.detach().cpu().numpy())
        with open(temporary, "rb") as written:
            os.fsync(written.fileno())
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    finally:
        if os.path.exists(temporary):
            os.unlink(temporary)


def load_converted(path):
    """Read what `save_converted` wrote; the module answers as the one that was saved.

    Raises
    ------
    FileNotFoundError, DataError, FileError
        If there is none, it is of another kind, or damaged.
    """
    import h5py

    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file; expected a converted model (`dynsim convert`).")
    if not h5py.is_hdf5(path):
        raise DataError(f"{path}: not an HDF5 file; expected a converted model (`dynsim convert`).")
    try:
        with h5py.File(path, "r") as file:
            if file.attrs.get("dynsim") != "converted":
                raise DataError(f"{path}: an HDF5 file, but not of `dynsim convert`.")
            found = []
            file["arrays"].visititems(lambda _, item: found.append(item.size) if hasattr(item, "size") else None)
            if sum(found) > LARGEST:
                raise FileError(f"{path}: promises {sum(found):,} numbers; expected at most {LARGEST:,}.")
            module = _architecture(file, path)
            arrays = {name: file[f"arrays/{name}"] for name in file["arrays"]}
            arrays = {name: torch.from_numpy(np.array(value)) for name, value in arrays.items()}
            for name, options in json.loads(file["layers"][()]).items():
                parts = [arrays.get(f"{name}.{part}") for part in PARTS]
                fitted = FittedWeights(*(None if part is None else part.numpy() for part in parts), 0.0)
                layer, kernel = module.get_submodule(name), Kernel.from_dict(options["kernel"])
                if not isinstance(layer, Particles):
                    replace(module, name, particles_of(layer, fitted, kernel, options["sets"]))
            module.load_state_dict(arrays)
    except (DataError, FileError):
        raise
    except (OSError, KeyError, ValueError, TypeError, AttributeError, RuntimeError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise FileError(f"{path}: damaged converted model ({reason}); write it again.") from None
    return module


def _architecture(file, path):
    if "program" in file:
        packed = gzip.decompress(file["program"][()].tobytes())
        with tempfile.TemporaryDirectory() as folder:
            place = Path(folder) / "program.pt2"
            place.write_bytes(packed)
            module = modularise(load_program(place))
    else:
        name = json.loads(file.attrs["source"])["timm"]
        module = plain(load_timm().create_model(name, pretrained=False)).eval()
    split_attention(module)
    return module


def _skeleton(path):
    """The program with zeros for its weights, gzipped."""
    program = load_program(path)
    with torch.no_grad():
        for value in program.state_dict.values():
            value.zero_()
    packed = io.BytesIO()
    torch.export.save(program, packed)
    return gzip.compress(packed.getvalue(), 6)
