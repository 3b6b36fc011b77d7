"""Noise on stored numbers, in a training and around it."""

import numpy as np
import pytest

import dynsim
from dynsim.learning import evaluate, train
from dynsim.learning._perturbation import perturbed
from dynsim.learning._trainer import Trainer
from dynsim.models import mlp

WIDTHS = (64, 24, 10)
OPTIONS = {"epochs": 4, "batch": 64, "seed": 1}


@pytest.fixture(scope="module")
def digits():
    return dynsim.datasets.load("digits")


def model_of_places():
    return mlp(WIDTHS, copies=2, dim=3, seed=1)


@pytest.mark.parametrize("noise", ["uniform", "gaussian", "round", "floor"])
@pytest.mark.parametrize("relative", [False, True])
def test_numbers_are_off_by_as_much_as_said_and_come_back_even_after_an_error(noise, relative):
    model = model_of_places()
    before = {name: array.copy() for name, array in model.arrays.items()}
    with pytest.raises(KeyboardInterrupt):
        with perturbed(model.parameters.values(), 0.1, np.random.default_rng(2), noise=noise, relative=relative):
            for name, parameter in model.parameters.items():
                moves = parameter.value.astype(np.float64) - before[name]
                if parameter.kind not in ("places", "strengths", "weights"):
                    assert not moves.any()
                    continue
                size = 0.1 * (np.sqrt(np.mean(before[name].astype(np.float64) ** 2)) if relative else 1.0)
                room = 1e-5 * (1 + abs(before[name]).max())  # float32
                largest = {"uniform": size, "gaussian": 6 * size, "round": size / 2, "floor": size}[noise]
                assert 0.1 * size < abs(moves).max() <= largest + room, name
                if noise == "floor":
                    assert moves.max() <= room
            raise KeyboardInterrupt
    assert all(np.array_equal(array, before[name]) for name, array in model.arrays.items())


@pytest.mark.parametrize("noise", ["uniform", "gaussian", "round", "floor"])
def test_what_is_pruned_is_not_perturbed(noise):
    """It is not stored; relative sizes are those of what is left."""
    model = mlp((8, 10), weights=True, seed=1)
    weights = model.layers[1].weights
    left = np.random.default_rng(0).random(weights.value.shape) < 0.3
    weights.prune(left)
    before = weights.value.copy()
    with perturbed([weights], 0.1, np.random.default_rng(2), noise=noise, relative=True):
        moves = np.abs(weights.value - before)
        assert not moves[~left].any() and moves[left].any()
        # Uniform noise reaches its size nearly, rounding half of it, and 30 per cent of 80 weights are many.
        size = 0.1 * np.sqrt(np.mean(before[left] ** 2))
        share = {"uniform": 1.0, "gaussian": 6.0, "round": 0.5, "floor": 1.0}[noise]
        assert size / 4 < moves.max() <= size * share * (1 + 1e-5) + 1e-6
    assert np.array_equal(weights.value, before)


def test_a_copy_of_a_pruned_network_stands_the_same_noise(digits):
    model = mlp((64, 10), weights=True, seed=1)
    weights = model.layers[1].weights
    weights.prune(np.random.default_rng(0).random(weights.value.shape) < 0.3)
    copy = dynsim.models.materialize(model)
    assert dynsim.models.numbers(copy) == dynsim.models.numbers(model) < weights.value.size
    found = [evaluate(one, digits.test_images, labels=digits.test_labels, delta=0.3, draws=3) for one in (model, copy)]
    assert found[0]["accuracies"] == found[1]["accuracies"]


def test_the_force_of_a_batch_is_that_at_the_perturbed_numbers(digits):
    options = {"rate": 0.02, "motion": "adam", "rates": None}
    trainers = [Trainer(model_of_places(), digits, **OPTIONS, **options, noise=noise) for noise in (0.2, 0.0)]
    images, labels = digits.train_images[:64].astype(np.float32), digits.train_labels[:64]
    before = {name: array.copy() for name, array in trainers[0].model.arrays.items()}
    losses = [trainers[0]._step(images, labels)]
    parameters = trainers[1].model.parameters
    with perturbed(parameters.values(), 0.2, trainers[1].generator, relative=True):
        losses.append(trainers[1]._step(images, labels))
    assert losses[0] == losses[1]
    for name, parameter in trainers[0].model.parameters.items():
        np.testing.assert_array_equal(parameter.gradient, parameters[name].gradient)
        np.testing.assert_array_equal(parameter.value, before[name])


def test_what_is_trained_under_noise_stands_more_of_it(digits):
    found = {}
    for noise in (0.0, 0.3):
        model = model_of_places()
        train(model, digits, noise=noise, **OPTIONS | {"epochs": 12})
        given = {"labels": digits.test_labels, "delta": 0.3, "draws": 20, "relative": True}
        found[noise] = evaluate(model, digits.test_images, **given)["mean"]
    assert found[0.3] > found[0.0] + 2


def test_a_training_under_noise_goes_on_with_the_same_bits(digits, tmp_path):
    whole, parts = model_of_places(), model_of_places()
    train(whole, digits, noise=0.1, **OPTIONS)
    path = tmp_path / "training.checkpoint"
    train(parts, digits, noise=0.1, checkpoint=path, after_epoch=lambda entry: entry["epoch"] == 2, **OPTIONS)
    again = model_of_places()
    train(again, digits, noise=0.1, checkpoint=path, resume=True, **OPTIONS)
    assert all(np.array_equal(array, whole.arrays[name]) for name, array in again.arrays.items())
