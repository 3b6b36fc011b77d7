import json
import subprocess
import sys

import pytest

from dynsim.trajectory import TrajectoryWriter


def test_help_loads_nothing_heavy():
    code = (
        "import sys, contextlib, io, dynsim\nfrom dynsim.cli import main\n"
        "with contextlib.redirect_stdout(io.StringIO()), contextlib.suppress(SystemExit): main(['--help'])\n"
        "print(sorted({'numba', 'matplotlib', 'scipy', 'h5py', 'numpy'} & set(sys.modules)))"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"


def test_train_then_evaluate_then_info(run, tmp_path, capsys):
    options = ["--hidden", 16, "--epochs", 2, "--batch", 64, "--copies-fc", 2, "--dim", 3]
    assert run("train", "mlp", "--data", "digits", *options, "--json", "-o", tmp_path / "out") == 0
    report = json.loads(capsys.readouterr().out)
    assert report["epochs"] == 2
    assert set(report["parameters"]) == {"memory", "disk", "numbers", "stored_floats", "bytes"}
    for name in ("model.h5", "training.h5", "metrics.jsonl", "paths.png", "learning.png"):
        assert (tmp_path / "out" / name).stat().st_size > 0
    assert run("evaluate", tmp_path / "out/model.h5", "--data", "digits", "--json") == 0
    assert json.loads(capsys.readouterr().out)["test_accuracy"] == pytest.approx(report["test_accuracy"])
    assert run("info", tmp_path / "out/training.h5", "--json") == 0
    assert json.loads(capsys.readouterr().out)["frames"] == 3


def test_a_training_is_not_replaced_unasked(run, tmp_path, capsys):
    options = ["train", "mlp", "--data", "digits", "--hidden", 8, "--epochs", 1, "--copies-fc", 2, "--dim", 3]
    out = tmp_path / "out"
    assert run(*options, "-o", out) == 0
    before = {path.name: path.read_bytes() for path in out.iterdir()}
    assert run(*options, "--seed", 1, "-o", out) == 1
    assert "--overwrite" in (message := capsys.readouterr().err) and "exists" in message
    assert {path.name: path.read_bytes() for path in out.iterdir()} == before
    # One that another training has open is not replaced even if that is asked for.
    with TrajectoryWriter(out / "training.h5", neurons=1, dimension=1, overwrite=True):
        assert run(*options, "--seed", 1, "--overwrite", "-o", out) == 1
        assert "open" in capsys.readouterr().err and (out / "training.checkpoint").exists()
    assert run(*options, "--seed", 1, "--overwrite", "-o", out) == 0
    assert (out / "model.h5").read_bytes() != before["model.h5"]


def test_simulate_a_preset(run, tmp_path, capsys):
    assert run("simulate", "--preset", "pair", "--until", 0.5, "-o", tmp_path / "run.h5", "--json") == 0
    assert json.loads(capsys.readouterr().out)["status"] == 0
    assert run("simulate", "--preset", "echo", "-o", tmp_path / "echo.h5") == 3
    assert "echo gain" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("train", "mlp", "--data", "mnist", "--data-dir", "nowhere", "-o", "{}/o"), 1, "dynsim data fetch mnist"),
        (("train", "mlp", "--data", "digits", "--copies-fc", "-2", "-o", "{}/o"), 1, "--copies-fc: got -2"),
        (("train", "mlp", "--data", "digits", "-o", "{}/file/o"), 1, "file"),
        (("train", "mlp", "--data", "digits", "--hidden", "a", "-o", "{}/o"), 2, "--hidden"),
        (("train", "vit", "--data", "digits", "--no-norm", "-o", "{}/o"), 2, "--no-norm: got it for vit"),
        (("evaluate", "{}/file", "--data", "digits"), 1, "not an HDF5 file"),
        (("simulate", "--preset", "nothing", "-o", "{}/o.h5"), 1, "pulse"),
        (("nothing",), 2, "nothing"),
    ],
)
def test_wrong_input_is_one_sentence(run, tmp_path, monkeypatch, capsys, arguments, code, words):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DYNSIM_DATA", raising=False)
    (tmp_path / "file").write_text("x")
    assert run(*(argument.replace("{}", str(tmp_path)) for argument in arguments)) == code
    message = capsys.readouterr().err
    assert words in message and "Traceback" not in message
