"""The commands on files of `dynsim convert`."""

import copy
import json

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs PyTorch: pip install 'dynsim[torch]'")
from torch import nn  # noqa: E402

from dynsim import datasets  # noqa: E402


class Rows(nn.Module):
    """Knows how many images it takes."""

    def __init__(self, inner):
        super().__init__()
        self.inner = inner

    def forward(self, x):
        return self.inner(x.view(x.shape[0], 8, 8).view(x.shape[0], -1))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A network of full layers for digits, once for batches of any size and once for single rows of pixels."""
    place = tmp_path_factory.mktemp("networks")
    torch.manual_seed(0)
    data = datasets.load("digits")
    x, y = torch.from_numpy(data.train_images).float(), torch.from_numpy(data.train_labels).long()
    net = nn.Sequential(nn.Flatten(), nn.Linear(64, 48), nn.ReLU(), nn.Linear(48, 10))
    optimizer = torch.optim.Adam(net.parameters(), 0.01)
    for _ in range(60):
        optimizer.zero_grad()
        nn.functional.cross_entropy(net(x), y).backward()
        optimizer.step()
    net.eval()
    any_size = ({0: torch.export.Dim("batch")},)
    torch.export.save(torch.export.export(net, (x[:2],), dynamic_shapes=any_size), place / "images.pt2")
    rows = net[1:]
    torch.export.save(torch.export.export(rows, (x[:1].flatten(1),)), place / "rows.pt2")
    torch.export.save(torch.export.export(Rows(rows), (x[:4].flatten(1),)), place / "four.pt2")
    double = copy.deepcopy(rows).double()
    torch.export.save(torch.export.export(double, (x[:2].flatten(1).double(),)), place / "double.pt2")
    two = torch.export.export(nn.Bilinear(16, 12, 16), (torch.zeros(2, 16), torch.zeros(2, 12)))
    torch.export.save(two, place / "two.pt2")
    return place


@pytest.fixture
def converted(folder, tmp_path, run):
    """A function that converts one of the networks, with options, and returns the file."""

    def make(name, *options):
        file = tmp_path / f"{name}.h5"
        assert run("convert", folder / f"{name}.pt2", "-o", file, "--steps", 6, "--budget", 0.6, *options) == 0
        return file

    return make


def told(run, capsys, *arguments):
    capsys.readouterr()
    assert run(*arguments, "--json") == 0
    return json.loads(capsys.readouterr().out)


@pytest.mark.parametrize("name", ["images", "rows"])
def test_a_converted_network_is_evaluated(name, converted, run, capsys):
    file = converted(name)
    ideal = told(run, capsys, "evaluate", file, "--data", "digits")
    assert ideal["test_accuracy"] > 80  # as the network was trained
    assert ideal["parameters"]["total"] < 0.75 * (64 * 48 + 48 * 10) and ideal["parameters"]["places"] > 0
    noisy = told(run, capsys, "evaluate", file, "--data", "digits", "--delta", 3, "--relative", "--draws", 2)
    assert noisy["test_accuracy"] < ideal["test_accuracy"] and noisy["draws"] == 2
    rounded = told(run, capsys, "evaluate", file, "--data", "digits", "--noise", "round", "--delta", 1e-6)
    assert rounded["test_accuracy"] == ideal["test_accuracy"]


def test_what_does_not_fit_is_refused_in_a_sentence(converted, run, capsys):
    assert run("evaluate", converted("images"), "--data", "mnist", "--data-dir", "nowhere") != 0
    file = converted("two")
    capsys.readouterr()
    for command in (["verify"], ["evaluate", "--data", "digits"], ["export", "-o", file.with_suffix(".onnx")]):
        assert run(command[0], file, *command[1:]) == 1
        assert "inputs of unknown shape; expected one tensor of images" in capsys.readouterr().err


@pytest.mark.parametrize("inference", ["tiled", "weight-free"])
def test_programs_are_evaluated_with_their_weights(inference, converted, run, capsys):
    assert run("evaluate", converted("images"), "--data", "digits", "--inference", inference) == 1
    assert f"'{inference}'; expected a network with Linear layers of particles" in capsys.readouterr().err


def test_linear_layers_are_evaluated_without_their_weights():
    from dynsim import evaluate
    from dynsim.kernels import Kernel
    from dynsim.torch import ImageNetwork, convert

    torch.manual_seed(0)
    net, _ = convert(nn.Sequential(nn.Linear(64, 48)), copies=4, dim=2, steps=2, kernel=Kernel("linear", "l1"))
    net.pretrained_cfg = {"input_size": (64,)}
    network, data = ImageNetwork(net), datasets.load("digits")
    dense = network.scores(data.test_images)
    for inference in ("tiled", "weight-free"):
        np.testing.assert_allclose(network.scores(data.test_images, inference), dense, rtol=1e-4, atol=1e-4)
    found = evaluate(network, data.test_images, labels=data.test_labels, inference="weight-free")
    assert found["accuracies"] == [100.0 * np.mean(dense.argmax(1) == data.test_labels)]


@pytest.mark.parametrize("options", [(), ("--currency", "bytes", "--budget", "0.3")])
def test_a_converted_network_is_verified(options, converted, run, capsys):
    found = told(run, capsys, "verify", converted("images", *options), "--data", "digits")
    assert found["same"] is True
    forms = {entry["form"]: entry for entry in found["forms"]}
    assert list(forms) == ["converted", "materialized", "onnx"]
    assert forms["converted"]["largest_difference"] == 0.0
    assert forms["converted"]["accuracy_before"] == forms["converted"]["accuracy_after"] > 80


@pytest.mark.parametrize("name", ["rows", "four", "double"])
def test_programs_of_a_number_of_images_and_of_other_types_are_verified(name, converted, run, capsys):
    file = converted(name)
    assert told(run, capsys, "verify", file)["same"] is True
    found = told(run, capsys, "verify", file, "--data", "digits")
    assert found["same"] is True and found["forms"][0]["accuracy_before"] > 80
    assert run("export", file, "-o", file.with_suffix(".onnx")) == 0


def test_what_is_in_the_file_is_told_without_pytorch(converted, run, capsys, monkeypatch):
    file = converted("images", "--currency", "bytes", "--budget", "0.3")
    monkeypatch.setitem(__import__("sys").modules, "torch", None)  # an import of it fails
    found = told(run, capsys, "info", file)
    assert found["kind"] == "converted network" and found["source"] == "a program of PyTorch"
    assert found["layers"] == 2 and found["in 8 bits"] >= 1 and found["options"]["currency"] == "bytes"
    assert found["options"]["seed"] == 0
    assert [layer["name"] for layer in found["layer_list"]] == ["1", "3"]
    assert run("info", file) == 0
    assert "8 bits" in capsys.readouterr().out
    keys = [entry["key"] for entry in told(run, capsys, "cite", file)]
    assert keys[:2] == ["dynsim", "pei2023"]
    assert run("info", file, "--plan") == 2


def test_exports_hold_the_same_network(folder, converted, run, tmp_path):
    file = converted("images")
    from safetensors.torch import load_file

    from dynsim.torch import load_converted

    network = load_converted(file)
    images = torch.from_numpy(datasets.load("digits").test_images[:20]).float()
    assert run("export", file, "--materialized", "-o", tmp_path / "net.safetensors") == 0
    plain = nn.Sequential(nn.Flatten(), nn.Linear(64, 48), nn.ReLU(), nn.Linear(48, 10))
    plain.load_state_dict(load_file(tmp_path / "net.safetensors"))
    with torch.no_grad():
        torch.testing.assert_close(plain(images), network(images))
    pytest.importorskip("onnxruntime", reason="needs onnxruntime")
    from dynsim.export import run_onnx

    assert run("export", file, "-o", tmp_path / "net.onnx") == 0
    with torch.no_grad():
        np.testing.assert_allclose(
            run_onnx(tmp_path / "net.onnx", images.numpy()), network(images).numpy(), rtol=1e-4, atol=1e-4
        )
    assert run("export", file, "--packed", "-o", tmp_path / "packed.safetensors") == 2


def test_a_converted_network_is_sound_or_not(converted, run, capsys):
    file = converted("images")
    assert run("validate", file) == 0
    data = bytearray(file.read_bytes())
    place = data.find(np.float32(np.array(_first_number(file))).tobytes())
    data[place] ^= 1
    file.write_bytes(data)
    capsys.readouterr()
    assert run("validate", file) == 4
    assert "damaged" in capsys.readouterr().err


def _first_number(file):
    import h5py

    with h5py.File(file) as opened:
        return opened["arrays/1.parametrizations.weight.0.places_in"][0, 0, 0, 0]


def test_folders_that_are_not_there_are_refused_first(folder, run, capsys, tmp_path):
    assert run("convert", folder / "images.pt2", "-o", tmp_path / "nowhere" / "net.h5") == 1
    assert "is not a directory; make it before writing" in capsys.readouterr().err
