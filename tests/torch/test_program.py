"""Exported programs come in, converted models go out and come back, and what is no such file is said so."""

import json

import pytest

torch = pytest.importorskip("torch", reason="needs PyTorch: pip install 'dynsim[torch]'")

from torch import nn  # noqa: E402

from dynsim.cli import main  # noqa: E402
from dynsim.errors import DataError, FileError  # noqa: E402
from dynsim.torch import (  # noqa: E402
    convert,
    derived_weight,
    finetune,
    list_layers,
    load_converted,
    load_program,
    load_source,
    materialize,
    modularise,
    save_converted,
)
from dynsim.torch._parametrisation import derived_weights  # noqa: E402


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


class Several(nn.Module):
    """Attention, parameters under other names and of the network itself, children beside a weight, tied tensors."""

    def __init__(self):
        super().__init__()
        self.table, self.attention = nn.Embedding(30, 16), nn.MultiheadAttention(16, 2, batch_first=True)
        self.projection = nn.Parameter(torch.randn(16, 16) / 4)
        self.part = nn.Linear(16, 16)
        self.part.child = nn.Linear(16, 16)
        self.head = nn.Linear(16, 30)
        self.head.weight = self.table.weight

    def forward(self, tokens):
        x = self.table(tokens)
        x = x + self.attention(x, x, x, need_weights=False)[0]
        x = x @ self.projection
        return self.head(self.part.child(torch.relu(self.part(x))))


def write(module, folder, *inputs):
    path = folder / "network.pt2"
    torch.export.save(torch.export.export(module.eval(), inputs), path)
    return path


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_every_weight_of_a_program_is_found(dtype, tmp_path):
    torch.manual_seed(0)
    module, tokens = Several().to(dtype).eval(), torch.arange(10).reshape(2, 5)
    loaded, source = load_source(write(module, tmp_path, tokens))
    torch.testing.assert_close(loaded(tokens), module(tokens), rtol=0, atol=0)
    made, report = convert(loaded, copies=2, dim=2, steps=4)
    names = {layer.name: layer.kind for layer in report.layers if layer.converted}
    assert names.keys() & {"table", "head"} and len(names) == 6  # the tied ones are one
    names = {name: kind for name, kind in names.items() if name not in ("table", "head")}
    assert names == {
        "attention.in_proj_weight": "linear", "attention.out_proj": "linear",
        "projection_layer": "linear", "part": "linear", "part.child": "linear",
    }  # fmt: skip
    assert report.parameters == sum(p.numel() for p in made.parameters())
    save_converted(made, tmp_path / "model.h5", source=source, report=report)
    again = load_converted(tmp_path / "model.h5")
    torch.testing.assert_close(again(tokens), made(tokens), rtol=0, atol=0)
    assert again.eval() is again and again.train() is again
    ordinary = materialize(again)
    parameters = dict(ordinary.named_parameters())
    with torch.no_grad():
        for place, _, name, made_of in derived_weights(again):
            full = f"{place}.{name}" if place else name
            assert torch.equal(parameters[full], made_of()), full
        # The same numbers lie in memory in another order, for which a processor may have another product.
        torch.testing.assert_close(ordinary(tokens), again(tokens))


class Recurrent(nn.Module):
    """Weights of recurrent layers and cells, bilinear and einsum; initial states, summands and experts are none."""

    def __init__(self):
        super().__init__()
        self.lstm, self.gru = nn.LSTM(16, 16, batch_first=True), nn.GRU(16, 16, batch_first=True)
        self.rnn, self.cell = nn.RNN(16, 16, batch_first=True), nn.GRUCell(16, 16)
        self.pair = nn.Bilinear(16, 16, 16)
        self.mixed, self.state = nn.Parameter(torch.randn(16, 16)), nn.Parameter(torch.randn(1, 3, 16))
        self.summand, self.experts = nn.Parameter(torch.randn(24, 16)), nn.Parameter(torch.randn(2, 24, 24))

    def forward(self, x):
        y = self.rnn(self.gru(self.lstm(x, (self.state, self.state))[0])[0], self.state)[0]
        z = torch.einsum("bti,oi->bto", self.pair(y, x), self.mixed)
        z = z + self.cell(z[:, 0], self.state[0])[:, None]
        z = torch.addmm(self.summand, z.reshape(24, 16), x[0, :1].T @ x[0, :1])
        return torch.bmm(z.reshape(2, -1, 24), self.experts)


@pytest.mark.filterwarnings("ignore:The tensor attributes:UserWarning")  # of torch.export, for recurrent layers
def test_weights_of_a_program_that_other_operations_use(tmp_path):
    torch.manual_seed(0)
    module, x = Recurrent(), torch.randn(3, 8, 16)
    loaded, source = load_source(write(module, tmp_path, x))
    made, report = convert(loaded, copies=2, dim=2, steps=3)
    kinds = {layer.name: layer.kind for layer in report.layers if layer.converted}
    recurrent = [f"{part}.weight_{way}_l0" for part in ("lstm", "gru", "rnn") for way in ("ih", "hh")]
    expected = dict.fromkeys([*recurrent, "cell.weight_ih", "cell.weight_hh"], "recurrent") | {"pair": "bilinear"}
    assert kinds == expected | {"mixed_layer": "linear"}, str(report)
    assert report.parameters == sum(p.numel() for p in made.parameters())
    save_converted(made, tmp_path / "model.h5", source=source, report=report)
    again = load_converted(tmp_path / "model.h5")
    torch.testing.assert_close(again(x), made(x), rtol=0, atol=0)
    made(x).sum().backward()
    assert all(p.grad is not None for p in made.parameters())


def test_nothing_of_the_original_remains_in_the_file(tmp_path):
    torch.manual_seed(0)
    module, x = nn.Sequential(nn.Linear(300, 300), nn.ReLU(), nn.Linear(300, 300)), torch.randn(2, 300)
    loaded, source = load_source(write(module, tmp_path, x))
    made, report = convert(loaded, copies=2, dim=8, steps=2)
    save_converted(made, tmp_path / "model.h5", source=source, report=report)
    numbers = 4 * report.parameters
    assert numbers < (tmp_path / "model.h5").stat().st_size < numbers + 40_000 < 4 * report.parameters_before


def test_a_loaded_program_is_fine_tuned(tmp_path):
    torch.manual_seed(0)
    module, x = nn.Sequential(nn.Linear(20, 16), nn.ReLU(), nn.Linear(16, 5)), torch.randn(32, 20)
    loaded, source = load_source(write(module, tmp_path, x))
    made, report = convert(loaded, copies=2, dim=2, steps=2)
    save_converted(made, tmp_path / "model.h5", source=source, report=report)
    again = load_converted(tmp_path / "model.h5").eval()
    batches = [(x, module(x).argmax(1))]
    metrics = finetune(again, module, loader=batches, epochs=8, rate=0.01)
    assert metrics[-1]["loss"] < metrics[0]["loss"] and not again.training and not module.training
