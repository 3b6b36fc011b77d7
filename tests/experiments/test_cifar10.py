"""The conversion experiment, end to end on a few images of its format and weights at random."""

import gzip
import json
import re
import tomllib
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs PyTorch: pip install 'dynsim[torch]'")

from torch.nn import functional  # noqa: E402

from dynsim import experiments  # noqa: E402
from dynsim.errors import DataError, FileError  # noqa: E402
from dynsim.experiments._low_rank_networks import LowRank, low_rank  # noqa: E402
from dynsim.experiments.cifar10._cifar_data import Batches, find_batch, find_weights, read_batch  # noqa: E402
from dynsim.experiments.cifar10._cifar_networks import ResNet, load_resnet20, rounded  # noqa: E402
from dynsim.torch import _random_inputs, derived_weight  # noqa: E402

RECIPE = Path(__file__).parents[2] / "dynsim/experiments/recipes/cifar10.toml"


PLAIN = {"epochs": 2, "batch": 10, "rate": 0.001, "decay": 0.05, "smoothing": 0.1, "shift": 4}


@pytest.fixture(autouse=True)
def few_images(monkeypatch):
    """Layers are matched on few images, as nothing here depends on how well."""
    monkeypatch.setattr(_random_inputs, "MOST", 8)


def records(count, seed):
    g = np.random.default_rng(seed)
    return np.concatenate([g.integers(0, 10, (count, 1)), g.integers(0, 256, (count, 3072))], axis=1).astype(np.uint8)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A data folder with 40 + 20 records and a file of weights."""
    place = tmp_path_factory.mktemp("data")
    (place / "cifar10").mkdir()
    for name, count in (("data_batch_1.bin.gz", 40), ("test_batch.bin.gz", 20)):
        with gzip.open(place / "cifar10" / name, "wb") as file:
            file.write(records(count, count).tobytes())
    torch.manual_seed(0)
    state = {f"module.{name}": value for name, value in ResNet(3).state_dict().items()}
    torch.save({"state_dict": state}, place / "weights.th")
    return place


def recipe(**changes):
    given = tomllib.loads(RECIPE.read_text(encoding="utf-8"))
    given |= {"weights": "weights.th", "budgets": [0.5], "draws": 1, "deltas": [1e-2]}
    given |= {"relative": [0.1], "bits": [2, 16], "matched": 20, "seeds": [0, 1], **changes}
    given["convert"] = {"copies": 2, "steps": 2}
    if "finetune" not in changes:
        given["finetune"] = {"all": {**given["finetune"]["all"], "epochs": 1, "batch": 10, "held_out": 10}}
    return experiments.load(given)


def test_all_rows_run_and_are_not_repeated(folder, tmp_path):
    one = recipe(include=["layer1.0.conv1", "layer1.1.conv2"])
    results = experiments.run(one, tmp_path, data_dir=folder)
    rows = ("data-free-seed0", "matched-seed0", "fine-tuned-seed0", "fine-tuned-seed1")
    assert list(results) == [
        "original",
        *(f"{kind}-0.5-{row}" for kind in ("particles", "low-rank") for row in rows),
        "rounded-0.5-data-free-seed0",
    ]
    for name, result in results.items():
        assert 0 <= result["test_accuracy"] <= 100 and len(result["noise"]["0.01"]) == 1, name
        assert len(result["relative"]["0.1"]) == 1, name
        assert set(result["rounding"]) == (set() if name.startswith("rounded") else {"2", "16"}), name
        assert result["share"] <= (0.5 if "particles" in name or "low" in name else 1.0), name
    tuned = [results[f"particles-0.5-fine-tuned-seed{seed}"] for seed in (0, 1)]
    assert [len(result["metrics"]) for result in tuned] == [1, 1]
    assert tuned[0]["metrics"][0]["loss"] != tuned[1]["metrics"][0]["loss"]
    text = one.report(results, tmp_path)
    assert "not measured" not in text
    for training in ("fine-tuned", "matched"):  # in two tables, seeds together
        added = "; fine-tuned" if training == "fine-tuned" else ""
        assert text.count(f"| matched on 20 images{added} |") == 4
    some = {name: result for name, result in results.items() if name != "particles-0.5-fine-tuned-seed1"}
    assert "| matched on 20 images; fine-tuned, 1 of 2 seeds |" in one.report(some, tmp_path)
    low, high = sorted(result["test_accuracy"] for result in tuned)
    assert f"| {(low + high) / 2:.1f} ({low:.1f} to {high:.1f}) |" in text
    began = {path: path.stat().st_mtime_ns for path in tmp_path.glob("runs/*/result.json")}
    assert experiments.run(one, tmp_path, data_dir=folder) == results
    assert began == {path: path.stat().st_mtime_ns for path in tmp_path.glob("runs/*/result.json")}
    assert json.loads((tmp_path / "runs/original/result.json").read_text())["task"]["kind"] == "original"


def test_a_stopped_task_is_not_finished(folder, tmp_path):
    one = recipe(include=["layer1.0.conv1"], methods=["particles"])
    task = next(task for task in one.tasks() if task.training == "fine-tuned")
    assert task.run(tmp_path, folder, lambda done, total, **facts: True) is None
    assert task.result(tmp_path) is None


def test_a_network_without_norms_is_trained_once_and_goes_on_where_it_was_stopped(folder, tmp_path):
    given = tomllib.loads(RECIPE.with_name("cifar10-plain.toml").read_text(encoding="utf-8"))
    given |= {"budgets": [0.5], "methods": ["original", "particles"], "include": ["3"], "draws": 1, "matched": 20}
    given |= {"train": given["train"] | {"epochs": 2, "batch": 10}, "convert": {"copies": 2, "steps": 2}}
    given["finetune"] = {"all": given["finetune"]["all"] | {"epochs": 1, "batch": 10, "shown": 20}}
    one = experiments.load(given)
    task = one.tasks()[0]
    seen = []

    def stop(done, total, **facts):
        seen.append((done, total))
        return done == 6  # in the second epoch

    assert task.run(tmp_path, folder, stop) is None and task.result(tmp_path) is None
    results = experiments.run(one, tmp_path, data_dir=folder, training=lambda task: lambda *a, **k: seen.append(a))
    rows = ("data-free", "matched", "fine-tuned")
    assert list(results) == ["original", *(f"particles-0.5-{row}-seed0" for row in rows)]
    trained = [(done, 8) for done in (1, 2, 3, 4, 5, 6, 5, 6, 7, 8)]  # the other tasks read what is trained
    assert seen == [*trained, (1, 2), (2, 2)]  # of 40 images fine-tuning is shown 20
    many = given | {"finetune": {"all": given["finetune"]["all"] | {"shown": 50}}}
    with pytest.raises(ValueError, match=re.escape("finetune.shown: got 50; expected 10 (a batch) to 40")):
        experiments.load(many).tasks()[-1].run(tmp_path, folder)
    state = torch.load(tmp_path / "plain.pt", weights_only=True)["network"]
    elsewhere = tmp_path / "elsewhere"
    experiments.run(one, elsewhere, data_dir=folder)
    whole = torch.load(elsewhere / "plain.pt", weights_only=True)["network"]
    assert all(torch.equal(state[name], whole[name]) for name in whole)
    given["train"] |= {"rate": 0.5}
    with pytest.raises(FileError, match=r"plain\.pt is no state of this training \(it has other options or images\)"):
        experiments.run(experiments.load(given), tmp_path, data_dir=folder)
    given["train"] |= {"batch": 41}
    with pytest.raises(ValueError, match=r"train\.batch: got 41; expected at most the 40 training images"):
        experiments.load(given).tasks()[0].run(tmp_path, folder)
    (elsewhere / "plain.pt").write_bytes(b"nothing")
    with pytest.raises(FileError, match=r"plain\.pt is no state of this training"):
        task.run(elsewhere, folder)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"network": "vgg"}, "network: got 'vgg'"),
        ({"network": "plain"}, "weights: got 'weights.th'; expected a file for resnet20 alone"),
        ({"weights": ""}, "weights: got ''"),
        ({"weights": "", "network": "plain"}, "train: got no batch, decay"),
        ({"train": {"epochs": 1}}, "train: got a table; expected none for resnet20"),
        ({"weights": "", "network": "plain", "train": {"epoch": 1}}, "did you mean 'epochs'"),
        ({"weights": "", "network": "plain", "train": PLAIN | {"batch": 0}}, "train.batch: got 0"),
        ({"weights": "", "network": "plain", "train": PLAIN | {"rate": -1.0}}, "train.rate: got -1"),
        ({"views": 0}, "views: got 0"),
        ({"views": 2, "matched": 0}, "views: got 2; expected 1"),
        ({"matched": 0}, "matched: got 0; expected how many images"),
        ({"finetune": {"all": {"labels": 0.1, "mixed": 0.5}}}, "finetune.all: got labels of mixed images"),
    ],
)
def test_recipes_that_do_not_fit_are_refused(changes, said):
    with pytest.raises(ValueError, match=re.escape(said)):
        recipe(include=["*"], **changes)


def test_low_rank_is_the_truncated_svd_and_matching_is_nearer_on_the_images():
    torch.manual_seed(1)
    net, include = ResNet(1, (6, 8, 8)), ["layer*.conv*"]
    images = torch.randn(64, 3, 32, 32)
    for _ in range(30):  # so that its norms know the images
        net(images)
    net.eval()
    plain, share = low_rank(net, 0.5, include, synthetic=False)
    assert share <= 0.5
    part, old = plain.layer3[0].conv2, net.layer3[0].conv2.weight.detach().permute(2, 0, 3, 1).reshape(24, 24)
    made = part.weight.detach().permute(2, 0, 3, 1).reshape(24, 24)
    values = torch.linalg.svdvals(old)
    rank = derived_weight(part).left.shape[-1]
    assert isinstance(derived_weight(part), LowRank)
    torch.testing.assert_close((made - old).norm() ** 2, (values[rank:] ** 2).sum(), rtol=1e-4, atol=1e-6)
    matched, _ = low_rank(net, 0.5, include, [images])
    with torch.no_grad():
        errors = [functional.mse_loss(one(images), net(images)) for one in (plain, matched)]
    assert errors[1] < errors[0]


def test_rounded_weights_have_as_many_values_as_bits_allow():
    torch.manual_seed(2)
    weight = rounded(ResNet(1), ["layer1.*.conv1"], 3).layer1[0].conv1.weight
    assert max(len(torch.unique(channel)) for channel in weight) <= 7


def test_files_that_are_none_are_named(folder, tmp_path):
    with pytest.raises(DataError, match=r"weights\.th holds no weights of this network"):
        (tmp_path / "weights.th").write_bytes(b"nothing")
        load_resnet20(tmp_path / "weights.th")
    with pytest.raises(DataError, match=r"data_batch_2\.bin is not in .*cifar10; run `dynsim data fetch cifar10`"):
        find_batch(folder, "data_batch_2.bin")
    with pytest.raises(DataError, match=r"nothing\.th is not in .*elsewhere"):
        find_weights(tmp_path / "elsewhere", "nothing.th")


def test_images_are_normalised_as_the_network_was_trained_with(folder):
    images, labels = read_batch(folder, "test_batch.bin")
    given = records(20, 20)
    assert labels.tolist() == given[:, 0].tolist()
    mean, deviation = (np.reshape(some, (3, 1)) for some in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
    expected = (given[:, 1:].reshape(20, 3, 1024) / 255 - mean) / deviation
    # Numbers up to 3 after four roundings to float32, each of 6e-8 of numbers up to 1, divided by 0.22.
    np.testing.assert_allclose(images.reshape(20, 3, 1024), expected, rtol=0, atol=2e-6)


def test_recipes_whose_values_do_not_fit_are_refused():
    with pytest.raises(ValueError, match=r"finetune\.all"):
        experiments.load({**tomllib.loads(RECIPE.read_text()), "finetune": {"all": {"epochs": 1}}})


def test_batches_change_images_but_not_what_stands_beside_them(folder):
    images, labels = read_batch(folder, "data_batch_1.bin")
    batches = Batches(images, labels, 10, 2, 0)
    first = list(batches)
    assert len(first) == len(batches) == 4
    assert sorted(torch.cat([part[1] for part in first]).tolist()) == sorted(labels.tolist())
    batches.set_epoch(1)
    assert not torch.equal(first[0][0], next(iter(batches))[0])
    batches.set_epoch(0)
    assert torch.equal(first[0][0], next(iter(batches))[0])


def test_layers_are_matched_on_all_views_of_the_images(folder):
    one = recipe(include=["*"], views=3)
    first, *rest = next(task for task in one.tasks() if task.training == "matched")._batches(folder)
    assert first.shape == (20, 3, 32, 32) and [batch.shape for batch in rest] == [first.shape] * 2
    assert not any(torch.equal(batch.sort(0)[0], first.sort(0)[0]) for batch in rest)
    assert all(task._batches(folder) is None for task in one.tasks() if task.training == "data-free")


def test_mixed_batches_are_sums_of_two_images_with_weights_that_add_up_to_one(folder):
    images, labels = read_batch(folder, "data_batch_1.bin")
    images = np.broadcast_to(np.arange(40, dtype=np.float32)[:, None, None, None], images.shape)
    plain, mixed = (list(Batches(images, labels, 10, 0, 0, share)) for share in (0.0, 1.0))
    one, other = (batch[0][0][:, 0, 0, 0] for batch in (plain, mixed))
    assert torch.equal(plain[0][1], mixed[0][1]) and not torch.equal(one, other)
    low, high = torch.minimum(one, one.flip(0)), torch.maximum(one, one.flip(0))
    assert bool((low <= other).all()) and bool((other <= high).all())
    assert mixed[0][0].is_contiguous(memory_format=torch.channels_last)
