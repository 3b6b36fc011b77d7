import numpy as np
import pytest

import dynsim
from dynsim.kernels import Kernel
from dynsim.learning import MOTIONS, evaluate, train
from dynsim.models import build, count, lenet5, load_model, mlp


@pytest.fixture(scope="module")
def digits():
    return dynsim.datasets.load("digits")


@pytest.mark.parametrize("weights", [False, True])
def test_learns_real_handwriting(digits, weights, tmp_path):
    model = mlp(widths=(64, 32, 10), copies=4, dim=4, weights=weights)
    path = None if weights else tmp_path / "training.h5"
    result = train(model, digits, epochs=8, batch=64, trajectory=path)
    assert result.test_accuracy > 85  # chance is 10; what is asked is that it learns, not how well
    model.save(tmp_path / "model.h5")
    np.testing.assert_array_equal(
        load_model(tmp_path / "model.h5").scores(digits.test_images), model.scores(digits.test_images)
    )
    if path:
        with dynsim.trajectory.Trajectory(path) as trajectory:
            assert trajectory.frames == 9 and np.ptp(trajectory.places(), axis=0).max() > 0.1


@pytest.mark.parametrize("kernel", [None, Kernel("linear", metric="l1")])
def test_same_seed_same_bits(digits, kernel):
    scores, held = [], []
    for number in range(3):
        held.append(np.empty(1009 * number + 8, np.uint8))  # arrays lie elsewhere
        model = mlp(widths=(64, 16, 10), copies=2, dim=3, seed=5, kernel=kernel)
        train(model, digits, epochs=1, batch=64, seed=5)
        scores.append(model.scores(digits.test_images[:20]))
    assert np.array_equal(scores[0], scores[1]) and np.array_equal(scores[0], scores[2])


@pytest.mark.parametrize("motion", list(MOTIONS))
def test_every_motion_lowers_the_loss(digits, motion):
    model = mlp(widths=(64, 16, 10), copies=2, dim=3)
    result = train(model, digits, epochs=4, batch=64, motion=motion, rate=0.02)
    assert result.metrics[-1]["train_loss"] < result.metrics[0]["train_loss"]


@pytest.mark.parametrize(
    ("fc", "conv", "memory", "disk"),
    [(2, 3, 14502, 2038), (2, 5, 16482, 2258), (3, 6, 23001, 2985), (5, 8, 36039, 4439), (7, 7, 46107, 5563)],
)
def test_counts_are_the_papers(fc, conv, memory, disk):
    counted = count(lenet5(copies_fc=fc, copies_conv=conv, dim=9))
    assert (counted["memory"], counted["disk"]) == (memory, disk)


def test_noise_leaves_the_model_as_it_was(digits):
    model = mlp(widths=(64, 10), copies=2, dim=2)
    before = model.scores(digits.test_images)
    result = evaluate(model, digits.test_images, labels=digits.test_labels, delta=0.5, draws=3)
    assert len(result["accuracies"]) == 3 and result["deviation"] >= 0
    np.testing.assert_array_equal(before, model.scores(digits.test_images))


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda d: train(mlp((64, 10)), d, epochs=0), "epochs: got 0"),
        (lambda d: train(mlp((64, 10)), d, method="magic"), "method: got 'magic'"),
        (lambda d: mlp((64, 10), copies=-1), "copies: got -1"),
        (lambda d: build({"model": "mlp", "width": 3}), "unknown key 'width'"),
        (lambda d: evaluate(mlp((64, 10)), d.test_images, labels=d.test_labels, noise="pink"), "noise: got 'pink'"),
        (lambda d: lenet5().scores(np.full((1, 1, 8, 8), np.nan)), "finite"),
    ],
)
def test_wrong_input_is_named(digits, call, words):
    with pytest.raises(ValueError, match=words):
        call(digits)


def test_damaged_model_files(tmp_path):
    path = tmp_path / "model.h5"
    mlp((64, 10), copies=2, dim=2).save(path)
    data = path.read_bytes()
    for size in (0, 100, len(data) // 2, len(data) - 1):
        path.write_bytes(data[:size])
        with pytest.raises((dynsim.errors.FileError, dynsim.errors.DataError), match=r"model\.h5"):
            load_model(path)
