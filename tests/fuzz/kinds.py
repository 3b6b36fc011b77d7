"""The kinds of files that are tried: how a valid one is made, how it is changed, and who reads it."""

import shutil
import tempfile
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import mutations
import numpy as np

from dynsim.cli import main

CONFIGURATION = """
seed = 1
dimension = 3
copies = 1
signals = 1
delay = 0.25

[kernel]
profile = "gaussian"
length = 1.5
softening = 0.01

[operators]
A = 0.5
B = [[0.1, 0.0, 0.0]]
D = [[0.1], [0.2], [0.3]]
activation = "tanh"

[[groups]]
name = "input"
neurons = 2
places = {kind = "normal", center = [0.0, 1.0, 0.0], spread = 0.5}
clamped = {kind = "pulse", start = 0.1, end = 0.3, height = 1.0}

[[groups]]
name = "output"
neurons = 3
places = {kind = "uniform", low = -1.0, high = 1.0}
drive = {kind = "sine", amplitude = 0.1, period = 2.0}

[strengths]
"input->output" = 1.0
"output->output" = 0.5

[run]
until = 1.0
method = "rk4"
dt = 0.05
frames = 5
"""
RECIPE = """
title = "small"
data = "digits"
model = "mlp"
seeds = [0, 1]
methods = ["weights", "forces"]
deltas = [1e-3]
draws = 2

[options]
widths = [64, 8, 10]
dim = 2

[training.all]
epochs = 1
batch = 64

[training.forces]
motion = "adam"
rate = 0.01

[[rows]]
options = {copies = 2}
published = {memory = 100, forces = 97.5}
"""
METRICS = '{"epoch": K, "loss": 0.K, "accuracy": 9K.5, "seconds": 1.5}\n'


@dataclass
class Kind:
    """A kind of file. `readers` maps a name to a function of the file's path; `rare` ones cost much and run seldom."""

    name: str
    suffix: str
    make: object
    change: object
    readers: dict
    rare: dict
    needs: str = "numpy"

    def available(self):
        return find_spec(self.needs) is not None


def command(*arguments):
    """A reader that is a command; `FILE` stands for the file, `OUT` for an output that does not exist."""

    def run(path):
        out = path.with_name("output")
        for old in path.parent.glob("output*"):
            old.unlink() if not old.is_dir() else shutil.rmtree(old)
        words = [str(word).replace("FILE", str(path)).replace("OUT", str(out)) for word in arguments]
        main(["--debug", *words])

    return run


def _make_trajectory(folder):
    from dynsim.trajectory import TrajectoryWriter

    path, rng = folder / "run.h5", np.random.default_rng(0)
    parameters = {"config": _configuration(), "echo_gain": 0.5}
    options = {"neurons": 5, "dimension": 3, "signals": 1, "observables": ["energy"], "parameters": parameters}
    with TrajectoryWriter(path, **options) as writer:
        for k in range(70):
            writer.write(
                k, 0.5 * k, *(rng.normal(size=shape) for shape in [(5, 3), (5, 1), (5, 1)]), energy=1.0 / (1 + k)
            )
    return path


def _configuration():
    import tomllib

    return tomllib.loads(CONFIGURATION)


def _make_checkpoint(folder):
    from dynsim.trajectory import save_checkpoint

    rng = np.random.default_rng(0)
    state = {"q": rng.normal(size=(5, 3)), "t": 0.5, "step": 7, "config": _configuration(), "gain": float("inf")}
    save_checkpoint(folder / "run.checkpoint", {**state, "delay": [rng.normal(size=(4, 5)), None]}, run="a")
    return folder / "run.checkpoint"


def _make_model(folder):
    from dynsim.models import mlp

    path = folder / "model.h5"
    model = mlp(widths=(64, 6, 10), copies=2, dim=2)
    model.results = {"epochs": 1, "test_accuracy": 50.0, "motion": "adam", "data": "digits"}
    model.save(path)
    return path


def _make_lenet(folder):
    from dynsim.models import lenet5

    lenet5(copies_fc=1, copies_conv=1, dim=2).save(folder / "lenet.h5")
    return folder / "lenet.h5"


def _make_packed(folder):
    from dynsim import load_model
    from dynsim.export import save_packed

    save_packed(load_model(_make_model(folder)), folder / "packed.safetensors", bits=6)
    return folder / "packed.safetensors"


def _make_materialized(folder):
    from dynsim import load_model
    from dynsim.export import save_materialized

    save_materialized(load_model(_make_model(folder)), folder / "materialized.safetensors")
    return folder / "materialized.safetensors"


def _writing(name, text):
    def make(folder):
        (folder / name).write_text(text)
        return folder / name

    return make


def _make_idx(folder):
    from dynsim.datasets import EMBEDDED

    name = "t10k-images-idx3-ubyte.gz"
    shutil.copy(EMBEDDED / name, folder / name)
    return folder / name


def _make_plain_idx(folder):
    from dynsim.datasets import EMBEDDED, read_idx

    images = read_idx(EMBEDDED / "t10k-labels-idx1-ubyte.gz")
    path = folder / "t10k-labels-idx1-ubyte"
    path.write_bytes(b"\0\0\x08\x01" + len(images).to_bytes(4, "big") + images.tobytes())
    return path


def _make_program(folder):
    import torch
    from torch import nn

    class Network(nn.Module):
        def __init__(self):
            super().__init__()
            self.embed, self.norm = nn.Embedding(7, 4), nn.LayerNorm(4)
            self.conv, self.full = nn.Conv1d(4, 4, 3, padding=1), nn.Linear(4, 3)
            self.register_buffer("scale", torch.arange(4.0), persistent=False)

        def forward(self, x):
            y = self.norm(self.embed(x)) * self.scale
            return torch.nn.functional.gelu(self.full(self.conv(y.transpose(1, 2)).mean(2)), approximate="tanh")

    sizes = {"x": {0: torch.export.Dim("batch", max=100)}}
    made = torch.export.export(Network().eval(), (torch.zeros(2, 5, dtype=torch.long),), dynamic_shapes=sizes)
    torch.export.save(made, folder / "network.pt2")
    return folder / "network.pt2"


def _make_converted(folder):
    from dynsim.torch import convert, load_source, save_converted

    module, source = load_source(_make_program(folder))
    module, report = convert(module, dim=2, copies=2, steps=1)
    save_converted(module, folder / "converted.h5", source=source, report=report)
    return folder / "converted.h5"


def _read_trajectory(path):
    from dynsim.trajectory import Trajectory

    with Trajectory(path) as found:
        repr(found)
        arrays = [found.q, found.R, found.E]
        [array[-1:] for array in arrays if array is not None]
        found.places(slice(0, 3), [0])
        [array[:] for array in arrays if array is not None]


def _read_checkpoint(path):
    from dynsim.trajectory import load_checkpoint

    load_checkpoint(path, run="a")


def _describe(path):
    from dynsim.models import describe

    describe(path)


def _read_recipe(path):
    from dynsim import experiments

    recipe = experiments.load(path)
    recipe.tasks()


def _read_idx(path):
    from dynsim.datasets import read_idx

    read_idx(path)


def _load_data(path):
    from dynsim.datasets import EMBEDDED, load

    folder = path.parent / "mnist"
    folder.mkdir(exist_ok=True)
    for file in EMBEDDED.glob("*.gz"):
        shutil.copy(file, folder / file.name)
    shutil.copy(path, folder / path.name)
    if path.suffix != ".gz":
        (folder / f"{path.name}.gz").unlink()
    load("mnist", path.parent)


def _make_picture(folder):
    from PIL import Image

    Image.fromarray(np.arange(120, dtype=np.uint8).reshape(12, 10)).save(folder / "picture.png")
    return folder / "picture.png"


def _make_arrays(folder):
    images, labels = np.arange(192, dtype=np.uint8).reshape(12, 4, 4), np.arange(12) % 2
    np.savez_compressed(folder / "arrays.npz", x_train=images, y_train=labels)
    return folder / "arrays.npz"


def _load_own_data(path):
    from dynsim.datasets import load

    load(path)


def _read_pictures(path):
    from dynsim.datasets import read_images

    list(read_images(path))


def _read_program(path):
    import torch

    from dynsim.torch import load_program, modularise

    module = modularise(load_program(path))
    with torch.no_grad():
        module(torch.zeros(2, 5, dtype=torch.long))


def _read_converted(path):
    from dynsim.torch import load_converted

    load_converted(path)


FORMS = {"describe": command("info", "FILE"), "as json": command("info", "FILE", "--json")}
MODEL = {**FORMS, "evaluate": command("evaluate", "FILE", "--data", "digits")}
KINDS = [
    Kind(
        "trajectory", ".h5", _make_trajectory, mutations.change_hdf5,
        {"Trajectory": _read_trajectory, **FORMS, "validate": command("validate", "FILE", "--json"),
         "cite": command("cite", "FILE"), "export": command("export", "FILE", "-o", "OUT.xyz")},
        {"plot": command("plot", "FILE", "--kind", "trajectories", "-o", "OUT.png"),
         "signals": command("plot", "FILE", "--kind", "signals", "-o", "OUT.png"),
         "view": command("view", "FILE", "-o", "OUT.html"),
         "resume": command("resume", "FILE")},
    ),
    Kind(
        "checkpoint", ".checkpoint", _make_checkpoint, mutations.change_hdf5,
        {"load_checkpoint": _read_checkpoint, "info": command("info", "FILE")}, {},
    ),
    Kind(
        "model", ".h5", _make_model, mutations.change_hdf5,
        {"describe model": _describe, **MODEL, "validate": command("validate", "FILE"),
         "cite": command("cite", "FILE")},
        {"weights": command("plot", "FILE", "--kind", "weights", "-o", "OUT.png"),
         "packed": command("export", "FILE", "--packed", "-o", "OUT.safetensors"),
         "plan": command("info", "FILE", "--plan"), "verify": command("verify", "FILE")},
    ),
    Kind("lenet", ".h5", _make_lenet, mutations.change_hdf5, FORMS, {"validate": command("validate", "FILE")}),
    Kind("packed", ".safetensors", _make_packed, mutations.change_safetensors, MODEL,
         {"verify": command("verify", "FILE")}, "safetensors"),
    Kind("materialized", ".safetensors", _make_materialized, mutations.change_safetensors, MODEL,
         {"verify": command("verify", "FILE")}, "safetensors"),
    Kind(
        "configuration", ".toml", _writing("config.toml", CONFIGURATION), mutations.change_toml,
        {"dry run": command("simulate", "FILE", "--dry-run", "--json")},
        {"simulate": command("simulate", "FILE", "-o", "OUT.h5")},
    ),
    Kind("recipe", ".toml", _writing("recipe.toml", RECIPE), mutations.change_toml, {"load": _read_recipe},
         {"dry run": command("experiment", "run", "FILE", "--dry-run")}),
    Kind("picture", ".png", _make_picture, mutations.change_bytes, {"read_images": _read_pictures}, {}),
    Kind("arrays", ".npz", _make_arrays, mutations.change_bytes, {"load": _load_own_data}, {}),
    Kind("table", ".csv", _writing("table.csv", "label,a,b,c,d\n" + 12 * "1,0,255,3,4\n"), mutations.change_bytes,
         {"load": _load_own_data, "read_images": _read_pictures}, {}),
    Kind("images", "-ubyte.gz", _make_idx, mutations.change_idx, {"read_idx": _read_idx, "load": _load_data}, {}),
    Kind("labels", "-ubyte", _make_plain_idx, mutations.change_idx, {"read_idx": _read_idx, "load": _load_data}, {}),
    Kind(
        "metrics", ".jsonl",
        _writing("metrics.jsonl", "".join(METRICS.replace("K", str(k)) for k in range(4))),
        mutations.change_jsonl, {"learning": command("plot", "FILE", "--kind", "learning", "-o", "OUT.svg")}, {},
    ),
    Kind("program", ".pt2", _make_program, mutations.change_zip, {"load": _read_program},
         {"convert": command("convert", "FILE", "-o", "OUT.h5", "--dim", "2", "--steps", "1")}, "torch"),
    Kind("converted", ".h5", _make_converted, mutations.change_hdf5,
         {"load": _read_converted, "info": command("info", "FILE")}, {}, "torch"),
]  # fmt: skip


def make(kind, folder):
    """The bytes of a valid file of a kind, and its name."""
    path = kind.make(Path(tempfile.mkdtemp(dir=folder)))
    return path.name, path.read_bytes()
