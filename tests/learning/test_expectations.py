"""What cannot be trained is refused before the first epoch; what learnt nothing says so."""

import dataclasses
import json
import warnings
from types import SimpleNamespace

import numpy as np
import pytest

import dynsim
from dynsim.datasets import Dataset
from dynsim.learning import Augment, estimate, train
from dynsim.learning._accuracy import prediction_interval
from dynsim.learning._expectations import find_fault
from dynsim.models import lenet5, load_model, mlp

WIDTHS = (64, 12, 10)
OPTIONS = {"epochs": 2, "batch": 200, "seed": 3}


@pytest.fixture(scope="module")
def digits():
    return dynsim.datasets.load("digits")


def network(**options):
    return mlp(WIDTHS, copies=2, dim=3, seed=3, **options)


def never(*_, **__):
    pytest.fail("the work was begun")


class Data:
    """Something with the attributes of a data set, that was never checked."""

    def __init__(self, data, **changed):
        vars(self).update({field.name: getattr(data, field.name) for field in dataclasses.fields(data)} | changed)


def with_nan(images):
    images = images.copy()
    images[7, 0, 3, 3] = np.nan
    return images


UNUSABLE = {
    "smaller test images": (lambda d: {"test_images": d.test_images[:, :, :4, :4]}, r"test_images: .*\(1, 4, 4\)"),
    "coloured test images": (lambda d: {"test_images": d.test_images.repeat(3, axis=1)}, "test_images: .*3, 8"),
    "labels that are floats": (lambda d: {"train_labels": d.train_labels / 1.0}, "train_labels: got .*float64"),
    "labels that are texts": (lambda d: {"test_labels": d.test_labels.astype(str)}, "test_labels: got .*<U"),
    "one-hot labels": (lambda d: {"train_labels": np.eye(10, dtype=int)[d.train_labels]}, r"train_labels: .*7, 10\)"),
    "labels from 1": (lambda d: {"train_labels": d.train_labels + 1}, "the label 10; expected .* from 0 to 9"),
    "labels below 0": (lambda d: {"test_labels": d.test_labels - 1}, "the label -1"),
    "a class too few": (lambda d: {"classes": 9}, "the label 9"),
    "pixels that are nan": (lambda d: {"train_images": with_nan(d.train_images)}, "train_images: entry .* is nan"),
    "test pixels that are infinite": (lambda d: {"test_images": d.test_images / 0.0}, "test_images: entry .* finite"),
    "bytes": (lambda d: {"train_images": (255 * d.train_images).astype(np.uint8)}, "train_images: .*uint8.*divide"),
    "no test images": (lambda d: {"test_images": d.test_images[:0], "test_labels": d.test_labels[:0]}, "no images"),
    "one class": (lambda d: {"train_labels": d.train_labels * 0 + 4}, r"one class only \(4\)"),
}  # fmt: skip


@pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning", "ignore:divide by zero:RuntimeWarning")
@pytest.mark.parametrize("case", list(UNUSABLE))
def test_data_that_cannot_be_used_are_refused_before_the_first_epoch(digits, case):
    change, words = UNUSABLE[case]
    with pytest.raises((ValueError, TypeError), match=words):
        train(network(), Data(digits, **change(digits)), progress=never, **OPTIONS)
    if case not in ("no test images", "one class"):  # nor is there a Dataset of them
        with pytest.raises((ValueError, TypeError), match=words):
            dataclasses.replace(digits, **change(digits))
    with pytest.raises((ValueError, TypeError), match=words):
        estimate(network(), Data(digits, **change(digits)), **OPTIONS)


@pytest.mark.parametrize(
    ("model", "options", "words"),
    [
        (lambda: mlp((784, 12, 10), copies=2, dim=3), {}, r"data: got images of shape \(1, 8, 8\); expected those"),
        (lambda: mlp((64, 12, 3), copies=2, dim=3), {}, "data: got 10 classes; expected 3"),
        (
            lambda: network(weights=True),
            {"method": "fit"},
            "model: got one of ordinary weights; expected .* method fit",
        ),
        (lambda: network(weights=True), {"method": "alternating"}, "model: got one of ordinary weights"),
        (network, {"bits": 3, "method": "alternating"}, "bits: got 3 for method alternating"),
        (network, {"smoothing": 1.5}, "smoothing: got 1.5"),
        (network, {"method": "alternating", "reference": mlp((64, 13, 10), weights=True)}, r"weights \(13, 64\)"),
        (network, {"method": "fit", "reference": lenet5(weights=True)}, "reference: got .* layers"),
        (network, {"checkpoint": "no/folder/a"}, "no/folder is not a directory"),
        (network, {"best": "."}, "is a directory"),
        (network, {"metrics": "no/folder/a"}, "no/folder is not a directory"),
        (network, {"extend": 1}, "extend: got int 1"),
        (network, {"after_epoch": 1}, "after_epoch: got int 1"),
    ],
)
def test_what_does_not_fit_together_is_refused_before_the_first_epoch(digits, model, options, words):
    with pytest.raises((ValueError, TypeError, OSError), match=words):
        train(model(), digits, progress=never, **OPTIONS, **options)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"motion": 64}, "motion: got int 64"),
        ({"motion": "sideways"}, "motion: got 'sideways'"),
        ({"rates": {"plaecs": 1.0}}, "rates: got unknown key 'plaecs'"),
        ({"rates": {"places": -1.0}}, "rate of places: got -1"),
        ({"epochs": 0}, "epochs: got 0"),
        ({"batch": 1}, "batch: got 1"),
        ({"batch": 2.5}, "batch: got float 2.5"),
        ({"rate": 0.0}, "rate: got 0"),
        ({"smoothing": 1.5}, "smoothing: got 1.5"),
        ({"decay": -1e-4}, "decay: got -0.0001"),
        ({"noise": -0.1}, "noise: got -0.1"),
        ({"sphere": "yes"}, "sphere: got str 'yes'"),
        ({"bits": 2.5}, "bits: got float 2.5"),
        ({"augment": 3}, "augment: got int 3"),
        ({"seed": -1}, "seed: got -1"),
    ],
)
def test_options_are_refused_by_a_training_and_by_its_estimate(digits, options, words):
    for refuse in (lambda **options: train(network(), digits, progress=never, **options),
                   lambda **options: estimate(network(), digits, **options)):  # fmt: skip
        with pytest.raises((ValueError, TypeError), match=words):
            refuse(**{**OPTIONS, **options})
    with pytest.raises(ValueError, match="options: got unknown key 'rat'; did you mean 'rate'"):
        estimate(network(), digits, rat=0.1)


def test_images_of_another_number_of_channels_are_refused(digits):
    """LeNet-5 takes one channel; so do data sets of colours fail at once, not after the first epoch."""
    colours = {f"{part}_images": getattr(digits, f"{part}_images").repeat(3, axis=1) for part in ("train", "test")}
    with pytest.raises(ValueError, match=r"data: got images of shape \(3, 8, 8\); expected those that the model takes"):
        train(lenet5(2, 2, dim=3, weights=True), dataclasses.replace(digits, **colours), progress=never, **OPTIONS)


def test_classes_without_images_are_named(digits):
    rest = digits.train_labels % 5 != 3
    some = dataclasses.replace(digits, train_images=digits.train_images[rest], train_labels=digits.train_labels[rest])
    with pytest.warns(UserWarning, match="no training image has the label 3, 8;"):
        train(network(), some, **OPTIONS)


@pytest.mark.parametrize("weights", [False, True])
def test_a_rate_at_which_nothing_is_learnt_is_named(digits, weights):
    model = network(weights=weights)
    with pytest.warns(UserWarning, match=r"no more than chance explains \(.*lower the rate \(5000\)"):
        result = train(model, digits, rate=5000.0 if not weights else 5000, **OPTIONS)
    assert "lower the rate" in result.message


def test_labels_without_meaning_are_not_learnt(digits):
    generator = np.random.default_rng(0)
    shuffled = dataclasses.replace(digits, train_labels=generator.permutation(digits.train_labels))
    with pytest.warns(UserWarning, match=r"train for more epochs or at another rate \(0.02\)"):
        train(network(), shuffled, **OPTIONS)


def test_a_fit_that_came_to_nothing_says_so(digits):
    reference = network(weights=True)
    train(reference, digits, epochs=6, batch=64, seed=3)
    with pytest.warns(UserWarning, match="after the fit .*give it more steps, more copies or another rate"):
        train(network(), digits, method="fit", reference=reference, fit_steps=1, fit_rate=1e3, **OPTIONS)


def test_what_learns_has_nothing_to_say(digits):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        result = train(network(), digits, epochs=4, batch=64, seed=3)
    assert result.message == "" and result.validation_accuracy > 30


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("method", ["forces", "alternating"])
def test_a_loss_that_is_not_finite_ends_the_training_with_a_remedy(digits, method, tmp_path):
    paths = {"best": tmp_path / "model.h5", "metrics": tmp_path / "metrics.jsonl"}
    with pytest.raises(ValueError, match=r"lower the rate \(1e\+38\)"):
        train(network(), digits, method=method, rate=1e38, fit_steps=2, **OPTIONS, **paths)


def test_the_best_state_outlives_a_training_that_fails(digits, tmp_path):
    paths = {"best": tmp_path / "model.h5", "metrics": tmp_path / "metrics.jsonl"}
    model, scores = network(), []

    def spoil(entry):
        scores.append(load_model(paths["best"]).scores(digits.test_images))
        if entry["epoch"] == 2:
            raise RuntimeError("the lamp went out")

    with pytest.raises(RuntimeError, match="lamp"):
        train(model, digits, epochs=4, batch=64, after_epoch=spoil, **paths)
    lines = [json.loads(line) for line in paths["metrics"].read_text().splitlines()]
    assert [line["epoch"] for line in lines] == [1, 2] == [*range(1, 1 + len(scores))]
    best = int(np.argmax([line["validation_accuracy"] for line in lines]))
    for found in (model, load_model(paths["best"])):
        np.testing.assert_array_equal(found.scores(digits.test_images), scores[best])
    assert "test_accuracy" not in load_model(paths["best"]).results


# Going on.


@pytest.fixture(scope="module")
def stopped(digits, tmp_path_factory):
    """The checkpoint of a training that ended after the first of three epochs."""
    path = tmp_path_factory.mktemp("stopped") / "checkpoint"
    train(network(), digits, checkpoint=path, after_epoch=lambda entry: True, **{**OPTIONS, "epochs": 3})
    return path


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"rate": 0.05}, "got rate 0.05; expected 0.02 of the training that was stopped"),
        ({"batch": 100}, "batch 100; expected 200"),
        ({"motion": "inertial"}, 'motion "inertial"; expected "adam"'),
        ({"rates": {"bias": 1.0}}, "rates"),
        ({"smoothing": 0.1}, "smoothing 0.1; expected 0.0"),
        ({"decay": 0.1}, "decay 0.1"),
        ({"noise": 0.1}, "noise 0.1"),
        ({"sphere": True}, "sphere true; expected false"),
        ({"bits": 4}, "bits 4; expected null"),
        ({"seed": 4}, "seed 4; expected 3"),
        ({"augment": Augment(1.0)}, 'augment {"rotation": 0.0, "shift": 1.0}; expected null'),
        ({"method": "alternating"}, "alternating"),
        ({"epochs": 2}, "epochs 2; expected 3"),
        ({"epochs": 5}, "epochs 5; expected 3.*extend=True"),
        ({"kernel": dynsim.kernels.Kernel("linear", "l1")}, "another model"),
        ({"data": "other"}, "another data"),
    ],
)
def test_a_training_goes_on_with_its_own_options_only(digits, stopped, change, words):
    options, model, data = {**OPTIONS, "epochs": 3} | change, network(), digits
    if "kernel" in options:
        model = network(kernel=options.pop("kernel"))
    if options.pop("data", None):
        data = dataclasses.replace(digits, train_images=digits.train_images[:, :, ::-1].copy())
    before = stopped.read_bytes()
    with pytest.raises(ValueError, match=f"checkpoint: .*{words}"):
        train(model, data, checkpoint=stopped, resume=True, progress=never, **options)
    assert stopped.read_bytes() == before


def test_a_fit_goes_on_with_its_own_options_only(digits, tmp_path):
    path = tmp_path / "checkpoint"
    fitting = {"method": "fit", "fit_steps": 2, "fit_rate": 0.01, "checkpoint": path, **OPTIONS, "epochs": 1}
    train(network(), digits, **fitting)
    for change, words in (
        ({"fit_steps": 3}, "fit_steps 3; expected 2"),
        ({"fit_rate": 0.02}, "fit_rate 0.02; expected 0.01"),
        ({"fit_images": 5}, "fit_images 5; expected 0"),
    ):
        with pytest.raises(ValueError, match=f"checkpoint: got {words}"):
            train(network(), digits, resume=True, progress=never, **fitting | change)


def test_more_epochs_go_on_at_the_rates_of_the_longer_training(digits, tmp_path, monkeypatch):
    paths = {"checkpoint": tmp_path / "checkpoint", "metrics": tmp_path / "metrics.jsonl", "best": tmp_path / "m.h5"}
    train(network(), digits, **OPTIONS, **paths)
    seen, move = [], dynsim.learning.Adam.step
    monkeypatch.setattr(dynsim.learning.Adam, "step", lambda self, rate: (seen.append(rate), move(self, rate))[1])
    with pytest.warns(UserWarning, match="begun with 2 epochs and goes on to 4 .*from epoch 3 on: .* after"):
        result = train(network(), digits, resume=True, extend=True, **{**OPTIONS, "epochs": 4}, **paths)
    steps = len(seen) // 2
    assert seen == [dynsim.learning.one_cycle(2 * steps + k, 4 * steps, peak=0.02) for k in range(2 * steps)]
    assert [entry["epoch"] for entry in result.metrics] == [1, 2, 3, 4]
    assert len(paths["metrics"].read_text().splitlines()) == 4
    assert load_model(paths["best"]).results["epochs_before"] == [2]
    again = network()  # a training that was extended goes on, too, as one of four epochs
    train(again, digits, resume=True, **{**OPTIONS, "epochs": 4}, **paths)
    np.testing.assert_array_equal(
        again.scores(digits.test_images), load_model(paths["best"]).scores(digits.test_images)
    )


def test_a_model_that_was_trained_before_is_validated_on_images_that_it_never_saw(digits):
    model, counted = network(), []
    train(model, digits, **OPTIONS)

    class Watch:
        """Counts how often each image is trained on; images are told apart by their sums."""

        def __call__(self, images, generator):
            counted.extend(images.sum(axis=(1, 2, 3)).tolist())
            return images

    held = np.random.default_rng(3).permutation(len(digits.train_images))[: len(digits.train_images) // 10]
    train(model, digits, augment=Watch(), **{**OPTIONS, "seed": 8})
    kept_out = digits.train_images[held].sum(axis=(1, 2, 3)).tolist()
    others = np.setdiff1d(np.arange(len(digits.train_images)), held)
    own = set(kept_out) - set(digits.train_images[others].sum(axis=(1, 2, 3)).tolist())
    assert own and not own & set(counted) and model.results["held_seed"] == 3
    train(model, digits, augment=Watch(), **{**OPTIONS, "seed": 9})  # and so on
    assert not own & set(counted) and model.results["held_seed"] == 3


def test_a_further_draw_falls_into_the_interval_as_often_as_is_said():
    generator, rounds = np.random.default_rng(0), 20_000
    for n in (2, 5, 10, 19, 60):
        low, high, probability = [], [], None
        for draws in generator.normal(size=(rounds, n)):
            (a, b), probability = prediction_interval(draws)
            low.append(a), high.append(b)
        further = generator.normal(size=rounds)
        share = np.mean((low <= further) & (further <= high))
        # The share of 20,000 trials has a deviation of at most 0.0035; four of them.
        assert share == pytest.approx(probability, abs=0.015)
        assert probability >= (0.9 if n >= 19 else 0)
    assert prediction_interval([3.0]) == ([3.0, 3.0], 0.0)


def test_a_data_set_of_one_class_stays_possible_for_the_classifier(digits):
    """One score, nothing to choose: scikit-learn's checks fit such data."""
    images = digits.train_images[:20]
    labels = np.zeros(20, int)
    data = Dataset("one", images, train_labels=labels, test_images=images, test_labels=labels, classes=1)
    assert train(mlp((64, 4, 1), copies=2, dim=2), data, epochs=1, batch=4).test_accuracy == 100


def test_a_loss_that_runs_away_is_named_also_above_chance(digits):
    """Some images are right, but the loss is several times that of guessing."""
    trainer = SimpleNamespace(data=digits, held_out=np.arange(140), smoothing=0.0, epoch=2, best=24.0, rate=50.0,
                              distillation=None)  # fmt: skip
    trainer.metrics = [{"train_loss": 8.0, "validation_accuracy": 21.7}]
    message = find_fault(trainer)
    assert "the loss is 8, above the 2.30" in message and "lower the rate (50)" in message and "24.00 %" in message
    trainer.metrics = [{"train_loss": 2.5, "validation_accuracy": 21.7}]  # the average of an epoch that began higher
    assert find_fault(trainer) == ""


def test_few_held_out_images_are_named(digits):
    few = dataclasses.replace(digits, train_images=digits.train_images[:140], train_labels=digits.train_labels[:140])
    with pytest.warns(UserWarning, match=r"the held-out part has 14 images, of which one is 7\.1 %"):
        train(network(), few, **{**OPTIONS, "batch": 32})


def test_images_that_are_scaled_in_another_way_are_kept_with_the_model(digits, tmp_path):
    """Standardised images have a background outside of [0, 1]; the model is saved and read as any."""
    scaled = {f"{part}_images": getattr(digits, f"{part}_images") * 4 - 2 for part in ("train", "test")}
    model = network()
    train(model, dataclasses.replace(digits, **scaled), **OPTIONS)
    model.save(tmp_path / "model.h5")
    assert load_model(tmp_path / "model.h5").background is None
