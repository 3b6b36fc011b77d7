"""The other ways of learning, and going on where a training stopped."""

import h5py
import numpy as np
import pytest

import dynsim
from dynsim.errors import FileError
from dynsim.kernels import Kernel
from dynsim.layers import softmax_cross_entropy
from dynsim.learning import Augment, _training, fit, fit_weights, train
from dynsim.models import mlp

WIDTHS = (64, 24, 10)


@pytest.fixture(scope="module")
def digits():
    return dynsim.datasets.load("digits")


@pytest.fixture(scope="module")
def trained(digits):
    model = mlp(WIDTHS, weights=True, seed=1)
    train(model, digits, epochs=10, batch=64, seed=1)
    return model


def test_fit_makes_places_stand_for_the_weights(trained, digits):
    model = mlp(WIDTHS, copies=8, dim=8, seed=1)
    report = fit(model, trained, steps=600)
    assert [entry["shape"] for entry in report] == [(24, 64), (10, 24)]
    for entry, number in zip(report, (1, 3), strict=True):
        weights = trained.layers[number].weights.value
        error = np.sum((model.layers[number].materialize() - weights) ** 2) / np.sum(weights**2)
        assert entry["layer"] == number and entry["error"] == pytest.approx(error, rel=1e-4)
        # More numbers than weights: an SVD of full rank is exact, and the places come near.
        assert entry["svd_error"] == pytest.approx(0, abs=1e-12) and entry["error"] < 0.05
    assert np.array_equal(model.layers[1].bias.value, trained.layers[1].bias.value)
    assert np.array_equal(model.layers[2].mean, trained.layers[2].mean)
    agree = np.mean(model.predict(digits.test_images) == trained.predict(digits.test_images))
    assert agree > 0.9


def test_the_error_that_a_fit_tells_is_that_of_its_report(trained):
    model, told, missing = mlp(WIDTHS, copies=2, dim=3, seed=1), [], []

    def progress(done, total, *, error):
        told.append(error)
        return done == 2

    # What is told at a step is the error before its move: that of a fit that was stopped after the step before.
    report = fit(model, trained, steps=9, progress=progress)
    again = mlp(WIDTHS, copies=2, dim=3, seed=1)
    fit(again, trained, steps=9, progress=lambda done, *_, **__: done == 1)
    for layer, weights in ((again.layers[n], trained.layers[n].weights.value) for n in (1, 3)):
        missing.append(np.sum((layer.materialize() - weights) ** 2) / np.sum(weights**2))
    assert told[1] == pytest.approx(sum(missing), rel=1e-5)
    assert sum(entry["error"] for entry in report) < told[1] < told[0]


def test_a_few_images_correct_the_norms(trained, digits):
    images, averages = digits.train_images[:300], []
    for given in (None, images):
        model = mlp(WIDTHS, copies=2, dim=3, seed=1)
        fit(model, trained, steps=100, images=given)
        averages.append(model.layers[2].mean)
    assert np.array_equal(averages[0], trained.layers[2].mean)
    new, old = (net.layers[1].forward(images.reshape(300, 64)) for net in (model, trained))
    expected = new.mean(0) + (trained.layers[2].mean - old.mean(0)) * new.std(0) / old.std(0)
    np.testing.assert_allclose(averages[1], expected, atol=1e-4)


def test_fit_refuses_other_networks(trained):
    for networks, name in (((3, trained), "model"), ((trained, [trained]), "reference")):
        with pytest.raises(TypeError, match=f"{name}: got .*expected a Model"):
            fit(*networks)
    with pytest.raises(ValueError, match="expected a model in DyN form"):
        fit(trained, trained)
    with pytest.raises(ValueError, match=r"got weights \(24, 64\)"):
        fit(mlp((64, 25, 10), copies=2, dim=2), trained)
    with pytest.raises(ValueError, match="layers; expected"):
        fit(mlp((64, 10), copies=2, dim=2), trained)


@pytest.mark.parametrize(("method", "steps"), [("fit", 1000), ("alternating", 200)])
def test_methods_learn(digits, method, steps):
    model = mlp(WIDTHS, copies=8, dim=8, seed=2)
    result = train(model, digits, method=method, epochs=20, batch=64, seed=2, fit_steps=steps)
    assert result.test_accuracy > 85 and len(result.layers) == (2 if method == "fit" else 0)
    if method == "alternating":
        places = model.layers[1].places_in.value
        assert np.array_equal(places, places.astype(np.float16))


@pytest.mark.parametrize(
    ("method", "kernel"),
    [("forces", None), ("fit", None), ("alternating", None), ("forces", Kernel("linear", metric="l1"))],
)
def test_a_training_that_was_stopped_goes_on_bit_for_bit(digits, method, kernel, tmp_path):
    class Stop(Exception):
        pass

    def until(limit):
        def progress(done, total, epoch, **_):
            if epoch > limit:
                raise Stop

        return progress

    options = {"epochs": 5, "batch": 64, "seed": 3, "fit_steps": 20, "augment": Augment(1.0, 10.0), "smoothing": 0.1}
    whole = mlp(WIDTHS, copies=2, dim=3, seed=3, kernel=kernel)
    result = train(whole, digits, method=method, **options)
    paths = {"checkpoint": tmp_path / "training.checkpoint", "trajectory": tmp_path / "training.h5"}
    with pytest.raises(Stop):
        model = mlp(WIDTHS, copies=2, dim=3, seed=3, kernel=kernel)
        train(model, digits, method=method, progress=until(2), **paths, **options)
    with pytest.raises(Stop):
        model = mlp(WIDTHS, copies=2, dim=3, seed=3, kernel=kernel)
        train(model, digits, method=method, progress=until(4), resume=True, **paths, **options)
    model = mlp(WIDTHS, copies=2, dim=3, seed=3, kernel=kernel)
    again = train(model, digits, method=method, resume=True, **paths, **options)
    for name, array in whole.arrays.items():
        assert np.array_equal(array, model.arrays[name]), name
    assert again.test_accuracy == result.test_accuracy
    with dynsim.trajectory.Trajectory(paths["trajectory"]) as trajectory:
        assert trajectory.step.tolist() == list(range(6))
    with pytest.raises(ValueError, match="another model"):
        train(mlp((64, 9, 10), copies=2, dim=3), digits, method=method, resume=True, **paths, **options)


def stopped_after_two(digits, folder):
    """The options of a training of four epochs into a folder, which was stopped after two."""
    options = {"epochs": 4, "batch": 400, "trajectory": folder / "t.h5", "checkpoint": folder / "c"}
    train(mlp(WIDTHS, copies=1, dim=2), digits, after_epoch=lambda entry: entry["epoch"] == 2, **options)
    return options


def test_places_that_a_kill_left_half_written_are_mended(digits, tmp_path):
    options = stopped_after_two(digits, tmp_path)
    path = options["trajectory"]
    with h5py.File(path) as file:
        data = file["particles/native/position/value"]
        start, frame = data.id.get_chunk_info(0).byte_offset, data[0].nbytes
    raw = bytearray(path.read_bytes())
    raw[start + 3 * frame : start + 3 * frame + frame // 2] = b"\7" * (frame // 2)  # of the next epoch
    path.write_bytes(raw)
    train(mlp(WIDTHS, copies=1, dim=2), digits, resume=True, **options)
    with dynsim.trajectory.Trajectory(path) as trajectory:
        assert trajectory.step.tolist() == [0, 1, 2, 3, 4]


def test_a_training_does_not_go_on_behind_places_that_are_missing(digits, tmp_path):
    options = stopped_after_two(digits, tmp_path)
    dynsim.trajectory.TrajectoryWriter.append(options["trajectory"], after_step=1).close()
    with pytest.raises(FileError, match=r"got places up to epoch 1; expected those up to epoch 2, as the checkpoint"):
        train(mlp(WIDTHS, copies=1, dim=2), digits, resume=True, **options)


def failing(images, generator):
    raise ArithmeticError("in the first batch")


def test_a_training_that_fails_at_once_leaves_what_it_began_from(digits, tmp_path):
    best, checkpoint = tmp_path / "m.h5", tmp_path / "c"
    options = {"epochs": 2, "batch": 400, "best": best, "checkpoint": checkpoint}
    train(mlp(WIDTHS, copies=1, dim=2), digits, **options)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert set(before) == {"m.h5", "c", "c.previous"}
    with pytest.raises(ArithmeticError):
        train(dynsim.load_model(best), digits, augment=failing, **options)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before
    aside = []
    train(dynsim.load_model(best), digits, progress=lambda *_, **__: aside.append(checkpoint.exists()), **options)
    assert not aside[0] and aside[-1]  # the earlier one is not gone on from if this one is killed
    assert {path.name for path in tmp_path.iterdir()} == set(before)


@pytest.mark.parametrize("steps", [None, 3])
def test_every_epoch_of_alternating_fits_as_many_steps_as_it_is_told(digits, steps, monkeypatch):
    told, fitted = [], _training.fit
    monkeypatch.setattr(_training, "fit", lambda *a, **options: (told.append(options["steps"]), fitted(*a, steps=1))[1])
    model = mlp(WIDTHS, copies=2, dim=3)
    train(model, digits, method="alternating", fit_steps=steps, epochs=2, batch=400, seed=1)
    assert told == [steps or _training.FIT_STEPS["alternating"]] * 2


def test_augmented_images():
    images = np.zeros((2, 1, 9, 9), np.float32)
    images[:, 0, 2, 3] = 1.0
    generator = np.random.default_rng(0)
    np.testing.assert_array_equal(Augment()(images, generator), images)
    np.testing.assert_allclose(Augment(0.0, 0.0)(images, generator).sum(), 2.0)

    class Quarter:
        """Turns every image by 90 degrees."""

        def uniform(self, low, high, size):
            return np.full(size, high)

    turned = Augment(rotation=90.0)(images, Quarter())
    np.testing.assert_allclose(turned, np.rot90(images, k=-1, axes=(2, 3)), atol=1e-6)
    moved = Augment(shift=1.0)(images, Quarter())
    np.testing.assert_allclose(moved[:, :, 1, 2], 1.0)


def test_smoothing_is_a_mixture_of_labels():
    g = np.random.default_rng(4)
    scores, labels = g.normal(size=(3, 4)), np.array([0, 2, 3])
    loss, gradient = softmax_cross_entropy(scores, labels, smoothing=0.2)
    logs = scores - np.log(np.exp(scores).sum(axis=1, keepdims=True))
    mixture = 0.8 * np.eye(4)[labels] + 0.05
    assert loss == pytest.approx(-np.mean(np.sum(mixture * logs, axis=1)), rel=1e-13)
    np.testing.assert_allclose(gradient, (np.exp(logs) - mixture) / 3, atol=1e-15)


def test_decay_shrinks_ordinary_weights_only(digits):
    norms = []
    for decay in (0.0, 5.0):
        model = mlp(WIDTHS, weights=True, seed=1)
        train(model, digits, epochs=4, batch=64, decay=decay, seed=1)
        norms.append(np.linalg.norm(model.layers[1].weights.value))
    assert norms[1] < 0.8 * norms[0]
    places = []
    for decay in (0.0, 5.0):
        model = mlp(WIDTHS, copies=2, dim=3, seed=1)
        train(model, digits, epochs=1, batch=64, decay=decay, seed=1)
        places.append(model.layers[1].places_in.value)
    assert np.array_equal(*places)


class Told:
    """A progress that keeps what it is called with and stops after some calls."""

    def __init__(self, last=None):
        self.last, self.calls = last, []

    def __call__(self, done, total, **facts):
        self.calls.append((done, total, *facts))
        return len(self.calls) == self.last


def test_one_progress_for_all(trained, digits):
    model, options = mlp(WIDTHS, copies=2, dim=3), {"epochs": 2, "batch": 400, "seed": 1}
    told = Told()
    train(model, digits, method="fit", fit_steps=5, progress=told, **options)
    batches = [call for call in told.calls if call[2:] == ("epoch", "epochs", "loss")]
    assert len(batches) == 2 * 3 and [call[:2] for call in told.calls] == [(k + 1, 11) for k in range(11)]
    assert {call[2:] for call in told.calls[6:]} == {("error",)}
    assert train(model, digits, progress=Told(last=1), **options).epochs == 1
    told = Told(last=2)
    fit(model, trained, steps=9, progress=told)
    assert told.calls == [(1, 9, "error"), (2, 9, "error")]
    told = Told(last=3)
    fit_weights(np.ones((1, 1, 3, 4)) + np.eye(3, 4), dim=1, steps=2, restarts=4, progress=told)
    assert len(told.calls) == 3 and told.calls[-1] == (3, 8, "error")
    images, labels, told = np.repeat(digits.test_images, 4, axis=0), np.repeat(digits.test_labels, 4), Told(last=4)
    found = dynsim.evaluate(model, images, labels=labels, delta=0.1, draws=5, progress=told)
    parts = -(-len(images) // 500)
    assert len(found["accuracies"]) == -(-4 // parts) and told.calls[0] == (500, 5 * len(images), "draw")
