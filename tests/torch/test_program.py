"""Exported programs come in, converted models go out and come back, and what is no such file is said so."""

import json

import pytest

torch = pytest.importorskip("torch", reason="needs PyTorch: pip install 'dynsim[torch]'")

from torch import nn  # noqa: E402

from dynsim.cli import main  # noqa: E402
from dynsim.errors import DataError, FileError  # noqa: E402
from dynsim.torch import derived_weight, list_layers, load_converted, load_program, modularise  # noqa: E402


@pytest.fixture(scope="module")
def program(tmp_path_factory):
    torch.manual_seed(0)
    module = nn.Sequential(
        nn.Conv2d(3, 16, 3, padding="same", bias=False), nn.BatchNorm2d(16), nn.ReLU(),
        nn.Conv2d(16, 16, 3, 2, 1, groups=2), nn.Flatten(), nn.Linear(256, 12),
    ).eval()  # fmt: skip
    x = torch.randn(2, 3, 8, 8)
    path = tmp_path_factory.mktemp("program") / "network.pt2"
    torch.export.save(torch.export.export(module, (x,)), path)
    return module, x, path


def test_a_program_is_made_of_layers_again(program):
    module, x, path = program
    layers = modularise(load_program(path))
    assert [entry.kind for entry in list_layers(layers) if not entry.reason] == ["conv", "conv", "linear"]
    torch.testing.assert_close(layers(x), module(x), rtol=0, atol=1e-5)


def test_convert_writes_a_model_that_comes_back(program, tmp_path, capsys):
    module, x, path = program
    output = tmp_path / "model.h5"
    arguments = ["convert", str(path), "-o", str(output), "--dim", "2", "--steps", "4", "--json"]
    with pytest.raises(SystemExit) as stop:
        main(arguments)
    out = capsys.readouterr()
    assert stop.value.code == 0, out.err
    found = json.loads(out.out)
    made = load_converted(output)
    names = {name for name, part in made.named_modules() if derived_weight(part) is not None}
    assert names == {layer["name"] for layer in found["layers"] if layer["converted"]} and len(names) == 3
    with torch.no_grad():
        answers, original = made(x), module(x)
    assert answers.shape == original.shape and not torch.allclose(answers, original)
    assert torch.equal(load_converted(output)(x), answers)
    assert found["bytes"] == output.stat().st_size and not output.with_name("model.h5.fits").exists()
    with pytest.raises(SystemExit):
        main([*arguments[:-1], "--overwrite"])
    assert "3 of" in capsys.readouterr().out


def test_damage_is_named(program, tmp_path):
    _, _, path = program
    cut = tmp_path / "cut.pt2"
    cut.write_bytes(path.read_bytes()[:2000])
    with pytest.raises(FileError, match=r"cut\.pt2 is damaged"):
        load_program(cut)
    with pytest.raises(DataError, match="not a zip archive"):
        cut.write_bytes(b"text")
        load_program(cut)
    with pytest.raises(FileNotFoundError):
        load_program(tmp_path / "none.pt2")
    with pytest.raises(DataError, match="not an HDF5 file"):
        load_converted(cut)


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["network.onnx", "-o", "m.h5"], 1, "expected a .pt2 file"),
        (["none.pt2", "-o", "m.h5"], 1, "does not exist"),
        (["none.pt2", "-o", "m.bin"], 2, "ends in .h5"),
    ],
)
def test_the_command_says_what_is_wrong(arguments, code, words, capsys):
    with pytest.raises(SystemExit) as stop:
        main(["convert", *arguments])
    assert stop.value.code == code and words in capsys.readouterr().err
