"""The ImageNet table: counts of the real architectures, and the same code from end to end on a few small images."""

import copy
import json
from pathlib import Path

import numpy as np
import pytest

from dynsim.errors import DataError
from dynsim.experiments import load, run

RECIPE = Path(__file__).parents[2] / "dynsim/experiments/recipes/imagenet.toml"
torch = pytest.importorskip("torch", reason="needs PyTorch: pip install 'dynsim[torch]'")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Three classes of images of 64 x 64, told apart by their colour, with noise."""
    from PIL import Image

    place, generator = tmp_path_factory.mktemp("images"), np.random.default_rng(0)
    for number, name in enumerate(("blue", "green", "red")):
        (place / "toy" / name).mkdir(parents=True)
        for k in range(8):
            pixels = generator.integers(0, 120, (64, 64, 3))
            pixels[..., 2 - number] += 120
            Image.fromarray(pixels.astype(np.uint8)).save(place / "toy" / name / f"{k}.png")
    return place


def test_the_published_counts_are_met_before_anything_is_fitted(timm):
    from dynsim.experiments.imagenet import floats_of_particles

    recipe = load(RECIPE)
    for row in recipe.rows:
        with torch.device("meta"):
            module = timm.create_model(row["backbone"])
        floats = floats_of_particles(module, copies=row["copies"], dim=row["dim"])
        assert (
            floats <= 1e6 * row["published"]["parameters"] < floats_of_particles(module, copies=2, dim=row["dim"] + 1)
        )


def test_standardised_convolutions_become_ordinary_ones(timm):
    from dynsim.torch import plain_convolutions

    torch.manual_seed(0)
    layers = timm.layers
    module = torch.nn.Sequential(
        layers.StdConv2dSame(3, 8, 3, stride=2), layers.StdConv2d(8, 6, 3, padding=1, bias=True),
        layers.Conv2dSame(6, 4, 2, stride=2), layers.StdConv2dSame(4, 4, 1),
    ).double()  # fmt: skip
    for size in ((7, 9), (8, 8)):
        x = torch.rand(2, 3, *size, dtype=torch.float64)
        torch.testing.assert_close(plain_convolutions(module)(x), module(x), rtol=0, atol=1e-12)
    kinds = {type(part) for part in plain_convolutions(module).modules() if isinstance(part, torch.nn.Conv2d)}
    assert kinds == {torch.nn.Conv2d}


def test_counts_of_a_layer_are_those_of_the_converted_module():
    from dynsim.experiments.imagenet import floats_of_particles, macs_of_conversion

    # _of_particles
    from dynsim.torch import convert

    module = torch.nn.Sequential(torch.nn.Conv2d(8, 16, 3, padding=1), torch.nn.Flatten(), torch.nn.Linear(256, 2))
    converted, report = convert(module, copies=1, dim=2, steps=1)
    assert floats_of_particles(module, copies=1, dim=2) == sum(p.numel() for p in converted.parameters())
    assert [layer.converted for layer in report.layers] == [True, False]
    macs = macs_of_conversion(module, torch.zeros(1, 8, 4, 4), layers={"0": (1, 2)})
    weights = 16 * 8 * 9
    assert macs == {"weights": weights * 16 + 512, "making": 2 * weights, "weight_free": 9 * 2 * (16 + 8) * 16 + 512}


@pytest.mark.slow
def test_from_end_to_end_on_small_images(timm, folder, tmp_path):
    torch.manual_seed(0)
    options = {"num_classes": 3, "img_size": 64}
    torch.save(timm.create_model("test_vit", **options).state_dict(), tmp_path / "vit.pt")
    given = {
        "kind": "imagenet",
        "steps": 1,
        "deltas": [0.01],
        "folders": {"toy": "toy", "absent": "nowhere"},
        "finetune": {"folder": "toy", "epochs": 1, "batch": 8, "rate": 0.01},
        "rows": [
            {"backbone": "test_vit", "weights": str(tmp_path / "vit.pt"), "copies": 1, "dim": 4, "options": options},
            {"backbone": "test_resnet", "copies": 1, "dim": 3, "options": {"num_classes": 3}},
        ],
    }
    recipe = load(given)
    results = run(recipe, tmp_path, data_dir=folder)
    first, second = (results[task.name] for task in recipe.tasks())
    for result in (first, second):
        assert result["parameters"] < result["parameters_before"] and result["seconds"] > 0
        assert all(layer["converted"] or layer["reason"] for layer in result["layers"])
        assert sum(layer["floats"] for layer in result["layers"]) == result["parameters"]
    assert set(first["accuracy"]["toy"]["particles"]) == {"0.0", "0.01"} and first["accuracy"]["absent"] is None
    assert [entry["epoch"] for entry in first["finetune"]] == [1] and second["finetune"] == []
    assert second["accuracy"] == {"toy": None, "absent": None}  # its weights are random
    text = recipe.report(results, tmp_path)
    assert text.count("not measured") == 2 + 4 and "test_resnet" in text
    assert all(layer["name"] in (tmp_path / "layers.md").read_text() for layer in first["layers"])
    _is_exported(timm.create_model("test_vit", **options), recipe.tasks()[0], tmp_path)
    stored = (tmp_path / "runs" / recipe.tasks()[0].name / "result.json").stat().st_mtime_ns
    assert run(recipe, tmp_path, data_dir=folder) == results
    assert stored == (tmp_path / "runs" / recipe.tasks()[0].name / "result.json").stat().st_mtime_ns
    assert json.loads((tmp_path / "report.json").read_text())["rows"][0]["parameters"] == first["parameters"]


def _is_exported(module, task, folder):
    """What was fine-tuned is loaded into a converted module and exported; onnxruntime says the same."""
    pytest.importorskip("onnxscript", reason="needs onnx, onnxruntime and onnxscript: pip install 'dynsim[onnx]'")
    onnxruntime = pytest.importorskip("onnxruntime", reason="needs onnxruntime: pip install 'dynsim[onnx]'")
    from dynsim.torch import convert, plain_convolutions, save_onnx

    converted, _ = convert(plain_convolutions(module), copies=task.copies, dim=task.dim, steps=1)
    converted.load_state_dict(torch.load(folder / "runs" / task.name / "places.pt", weights_only=True))
    x = torch.rand(8, 3, 64, 64)
    save_onnx(converted, folder / "m.onnx", example=x)
    session = onnxruntime.InferenceSession(str(folder / "m.onnx"), providers=["CPUExecutionProvider"])
    narrow = converted.eval()(x).detach().numpy()
    wide = copy.deepcopy(converted).double()(x.double()).detach().numpy()
    found = session.run(None, {"images": x.numpy()})[0]
    # Both round each sum to float32, in orders of their own; how much that does to this network, float64 tells.
    np.testing.assert_allclose(found, wide, rtol=0, atol=10 * np.abs(narrow - wide).max())
    assert np.abs(narrow - wide).max() < 1e-3 * np.abs(wide).max()


def test_accuracy_is_counted_and_noise_goes_away(timm, folder):
    from dynsim.experiments.imagenet import accuracy, image_folder

    module = timm.create_model("test_resnet", num_classes=3)
    batches = list(image_folder(folder / "toy", module, batch=7))
    assert sum(len(labels) for _, labels in batches) == 24
    right = sum(int((module.eval()(images).argmax(1) == labels).sum()) for images, labels in batches)
    before = {name: value.clone() for name, value in module.state_dict().items()}
    assert accuracy(module, batches) == pytest.approx(100 * right / 24)
    accuracy(module, batches, delta=0.5)
    assert all(torch.equal(before[name], value) for name, value in module.state_dict().items())


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda b, p: b("resnet_nothing"), "a model that timm lists"),
        (lambda b, p: b("test_vit", p / "none.pt"), "expected random, timm, or the path of a file"),
        (lambda b, p: b("test_vit", p / "text.pt"), "holds no weights of this network"),
        (lambda b, p: b("test_vit", p / "text.safetensors"), "holds no weights of this network"),
    ],
)
def test_wrong_backbones_are_named(timm, tmp_path, call, words):
    from dynsim.experiments.imagenet import backbone

    (tmp_path / "text.pt").write_text("x")
    (tmp_path / "text.safetensors").write_text("x")
    with pytest.raises(DataError, match=words):
        call(backbone, tmp_path)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"kind": "imagnet"}, "did you mean 'imagenet'"),
        ({"stesp": 1}, "did you mean 'steps'"),
        ({"rows": []}, "got no rows"),
        ({"rows": [{"backbone": "a", "copies": 1}]}, "got no dim"),
        ({"rows": [{"backbone": "a", "copies": 0, "dim": 1}]}, "copies: got 0"),
    ],
)
def test_wrong_recipes_are_one_sentence(change, words):
    with pytest.raises(ValueError, match=words):
        load({"kind": "imagenet", "rows": [{"backbone": "a", "copies": 1, "dim": 1}], **change})
