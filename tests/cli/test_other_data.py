"""Nothing is tuned to one data set: the same commands on digits, and on images of another size from IDX files."""

import json

import numpy as np
import pytest

from dynsim.datasets import FILES


def idx(array):
    """An array of bytes in the format of MNIST's files."""
    sizes = b"".join(n.to_bytes(4, "big") for n in array.shape)
    return bytes([0, 0, 8, array.ndim]) + sizes + array.tobytes()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Bright squares of 4 x 4 on noise, 12 x 12 pixels: where the square stands is the class."""
    place = tmp_path_factory.mktemp("data")
    (place / "fashion-mnist").mkdir()
    generator = np.random.default_rng(0)
    for start, count in ((0, 900), (2, 300)):
        labels = generator.integers(0, 10, count).astype(np.uint8)
        images = generator.integers(0, 100, (count, 12, 12)).astype(np.uint8)
        for image, label in zip(images, labels, strict=True):
            row, column = 3 * (label // 4), (0, 2, 5, 8)[label % 4]
            image[row : row + 4, column : column + 4] += 120
        for name, array in zip(FILES[start : start + 2], (images, labels), strict=True):
            (place / "fashion-mnist" / name).write_bytes(idx(array))
    return place


@pytest.mark.slow
@pytest.mark.parametrize("data", ["digits", "fashion-mnist"])
@pytest.mark.parametrize("model", ["mlp", "lenet5"])
def test_every_method_learns_other_data(run, folder, tmp_path, capsys, model, data):
    ordinary = tmp_path / "ordinary"
    # Each model has options of its own, and refuses those of others.
    sizes = {"mlp": ["--hidden", 24], "lenet5": []}[model]
    copies = {"mlp": [], "lenet5": ["--copies-conv", 3]}[model]
    common = [model, "--data", data, "--data-dir", folder, "--batch", 50, "--rate", 0.05, *sizes, "--json"]
    small = ["--copies-fc", 4, *copies, "--dim", 6]
    calls = {
        "ordinary": ["--weights", "--epochs", 4, "--rate", 0.1],
        "forces": [*small, "--epochs", 4],
        "fit": [*small, "--method", "fit", "--init", ordinary / "model.h5", "--fit-steps", 400, "--fit-images", 400,
                "--fit-rate", 0.1],
        "alternating": [*small, "--method", "alternating", "--epochs", 4, "--fit-steps", 60],
    }  # fmt: skip
    for name, options in calls.items():
        assert run("train", *common, *options, "-o", tmp_path / name) == 0
        report = json.loads(capsys.readouterr().out)
        # Chance is 10; that all learn is asked, not how well.
        assert report["test_accuracy"] > 70, name
    evaluation = ["--data", data, "--data-dir", folder, "--delta", 0.01, "--draws", 4, "--json"]
    assert run("evaluate", tmp_path / "forces/model.h5", *evaluation) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["draws"] == 4 and found["interval"][0] <= found["test_accuracy"] <= found["interval"][1]
    assert found["coverage"] == 0.6


@pytest.mark.parametrize("noise", ["gaussian", "round", "floor"])
def test_noise_of_every_kind_prints_an_interval(run, tmp_path, capsys, noise):
    options = ["--hidden", 16, "--epochs", 1, "--batch", 64, "--copies-fc", 2, "--dim", 3, "-o", tmp_path]
    assert run("train", "mlp", "--data", "digits", *options) == 0
    capsys.readouterr()
    perturbed = ["--delta", 0.05, "--noise", noise, "--relative", "--draws", 3]
    assert run("evaluate", tmp_path / "model.h5", "--data", "digits", *perturbed) == 0
    first = capsys.readouterr().out.splitlines()[0]
    # Between the lowest and the highest of three a further one falls in half of the cases; rounding draws nothing.
    several = "(3 draws; a further one falls between with 50 %)"
    assert several in first if noise == "gaussian" else first.endswith("% (1 draw)")


def test_fashion_mnist_that_is_not_there_says_how_to_get_it(run, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DYNSIM_DATA", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert run("train", "lenet5", "--data", "fashion-mnist", "-o", tmp_path / "out") == 1
    assert "dynsim data fetch fashion-mnist" in capsys.readouterr().err


@pytest.mark.parametrize("wrong", [["--epochs", "0"], ["--bits", "17"], ["--batch", "100000"], ["--rate", "-1"]])
def test_a_training_that_is_refused_touches_nothing(run, tmp_path, capsys, wrong):
    output = tmp_path / "out"
    output.mkdir()
    for name in ("model.h5", "training.checkpoint", "training.checkpoint.previous", "paths.png", "metrics.jsonl"):
        (output / name).write_text("an earlier training's")
    before = {path.name: path.read_bytes() for path in output.iterdir()}
    arguments = ["train", "mlp", "--data", "digits", "--hidden", "8", "--overwrite", "-o", str(output)]
    assert run(*arguments, "--weights", *wrong) != 0
    assert run(*arguments, *wrong) != 0
    assert {path.name: path.read_bytes() for path in output.iterdir()} == before
