"""From one's own pictures to a trained network and to answers, by commands."""

import json

import numpy as np
import pytest
from PIL import Image

import dynsim


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A small network of the embedded digits."""
    model = dynsim.models.mlp((64, 16, 10), copies=2, dim=3, seed=0)
    dynsim.train(model, dynsim.datasets.load("digits"), epochs=6, batch=64, rate=0.05)
    path = tmp_path_factory.mktemp("model") / "model.h5"
    model.save(path)
    return path


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    """Test images as dark digits on white paper, larger and in colour; and their labels."""
    folder, data = tmp_path_factory.mktemp("pictures"), dynsim.datasets.load("digits")
    for number in range(20):
        ink = np.kron(255 - np.rint(255 * data.test_images[number, 0]).astype(np.uint8), np.ones((20, 20), np.uint8))
        Image.fromarray(ink).convert("RGB").save(folder / f"{number:02}.png")
    return folder, data.test_labels[:20]


def test_own_pictures_get_the_answers_of_the_images_they_show(run, trained, pictures, tmp_path, capsys):
    folder, _ = pictures
    model, data = dynsim.load_model(trained), dynsim.datasets.load("digits")
    expected = [str(k) for k in model.predict(data.test_images[:20])]
    assert run("predict", trained, folder, "--json", "--show", tmp_path / "seen.png") == 0
    out, err = capsys.readouterr()
    answers = json.loads(out)["predictions"]
    assert [answer["class"] for answer in answers] == expected  # averages of 20 x 20 equal pixels
    assert all(answer["inverted"] for answer in answers)
    assert "20 of 20 images inverted" in err and (tmp_path / "seen.png").read_bytes()[1:4] == b"PNG"
    assert run("predict", trained, folder / "00.png", "--invert", "no", "--json") == 0
    out, err = capsys.readouterr()
    assert not json.loads(out)["predictions"][0]["inverted"] and err == ""


def test_lines_and_probabilities(run, trained, tmp_path, capsys):
    data = dynsim.datasets.load("digits")
    np.save(tmp_path / "some.npy", data.test_images[:3])
    assert run("predict", trained, tmp_path / "some.npy", "--proba") == 0
    head, *lines = (line.split("\t") for line in capsys.readouterr().out.splitlines())
    assert head == ["image", "class", *"0123456789"] and len(lines) == 3
    scores = dynsim.load_model(trained).scores(data.test_images[:3]).astype(float)
    powers = np.exp(scores - scores.max(axis=1, keepdims=True))
    np.testing.assert_allclose(
        [list(map(float, line[2:])) for line in lines], powers / powers.sum(1)[:, None], atol=1e-4
    )


def test_from_a_folder_of_pictures_to_answers_with_names(run, tmp_path, capsys):
    """Two classes with names: trained on, evaluated, recognised; without a part for testing."""
    generator = np.random.default_rng(0)
    for name in ("round", "square"):
        (tmp_path / "shapes" / name).mkdir(parents=True)
    for number in range(60):
        for name in ("round", "square"):
            rows, columns = np.mgrid[:24, :24] - 11.5 - generator.integers(-3, 4, (2, 1, 1))
            inside = rows**2 + columns**2 < 60 if name == "round" else np.maximum(abs(rows), abs(columns)) < 7
            pixels = np.where(inside, 200, 30) + generator.integers(0, 30, (24, 24))
            Image.fromarray(pixels.astype(np.uint8)).save(tmp_path / "shapes" / name / f"{number}.png")
    options = ["--data", tmp_path / "shapes", "--image-size", 16, "--epochs", 12, "--batch", 16, "--rate", 0.05]
    assert run("train", "lenet5", *options, "-o", tmp_path / "out") == 0
    assert "every sixth image" in capsys.readouterr().err
    model = dynsim.load_model(tmp_path / "out/model.h5")
    assert model.class_names == ("round", "square") and model.image == (1, 16, 16) and model.results["background"] < 0.3
    assert run("evaluate", tmp_path / "out/model.h5", "--data", tmp_path / "shapes", "--json") == 0
    assert json.loads(capsys.readouterr().out)["test_accuracy"] > 90  # chance is 50
    some = [tmp_path / "shapes" / name / "5.png" for name in ("round", "square")]
    assert run("predict", tmp_path / "out/model.h5", *some) == 0
    assert [line.split("\t")[1] for line in capsys.readouterr().out.splitlines()] == ["round", "square"]


def test_what_is_refused(run, trained, pictures, tmp_path, capsys):
    (tmp_path / "a.png").write_text("no picture")
    for file, words in ((tmp_path / "a.png", "got no picture"), (tmp_path / "b.png", "No such file"),
                        (tmp_path, "got no picture")):  # fmt: skip
        assert run("predict", trained, file) == 1
        assert words in capsys.readouterr().err
    assert run("predict", trained, pictures[0], "--show", tmp_path / "seen.txt") == 1
    assert "ends in .png" in capsys.readouterr().err
    assert run("train", "mlp", "--data", "digits", "--image-size", "28by28", "-o", tmp_path / "o") == 2
    assert "pixels, as 28 or 28x20" in capsys.readouterr().err
