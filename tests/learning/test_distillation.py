"""Learning from the answers of a trained network."""

import numpy as np
import pytest

import dynsim
from dynsim.layers import softmax_cross_entropy
from dynsim.learning import Distillation, train
from dynsim.models import lenet5, mlp

OPTIONS = {"epochs": 4, "batch": 64, "rate": 0.05, "seed": 3}


@pytest.fixture(scope="module")
def digits():
    return dynsim.datasets.load("digits")


@pytest.fixture(scope="module")
def large(digits):
    model = mlp((64, 64, 10), weights=True, seed=1)
    train(model, digits, epochs=10, batch=64, rate=0.2, seed=1)
    return model


def log_softmax(scores):
    return scores - np.log(np.sum(np.exp(scores), axis=1, keepdims=True))


@pytest.mark.parametrize(("share", "temperature"), [(0.9, 4.0), (1.0, 1.0), (0.3, 0.5), (0.0, 2.0)])
def test_the_loss_is_the_formula_and_the_gradient_its_derivative(digits, large, share, temperature):
    generator = np.random.default_rng(0)
    images, labels = digits.train_images[:7], digits.train_labels[:7]
    scores = generator.normal(size=(7, 10))
    taught = large.forward(images).astype(float)

    def expected(scores):
        own, other = (log_softmax(z / temperature) for z in (scores, taught))
        entropy = -np.mean(0.9 * log_softmax(scores)[range(7), labels] + 0.1 * log_softmax(scores).mean(axis=1))
        divergence = np.mean(np.sum(np.exp(other) * (other - own), axis=1))
        return (1 - share) * entropy + share * temperature**2 * divergence

    loss, gradient = Distillation(large, share, temperature).loss(images, scores, labels, smoothing=0.1)
    # The answers of the trained network are in float32, in another order of batches.
    assert loss == pytest.approx(expected(scores), rel=1e-5)
    step = 1e-5
    for index in np.ndindex(scores.shape):
        moved = np.zeros_like(scores)
        moved[index] = step
        numeric = (expected(scores + moved) - expected(scores - moved)) / (2 * step)
        assert gradient[index] == pytest.approx(numeric, rel=1e-4, abs=1e-6)
    assert gradient.dtype == scores.dtype
    if share == 0:
        assert loss == softmax_cross_entropy(scores, labels, smoothing=0.1)[0]


def test_a_network_with_the_same_answers_has_nothing_to_learn(digits, large):
    images, labels = digits.train_images[:20], digits.train_labels[:20]
    loss, gradient = Distillation(large, share=1.0).loss(images, large.forward(images), labels)
    assert abs(loss) < 1e-5 and np.abs(gradient).max() < 1e-6  # float32


def test_a_small_network_answers_more_like_the_large_one(digits, large):
    def divergence(**options):
        model = mlp((64, 16, 10), copies=4, dim=3, seed=2)
        result = train(model, digits, **{**OPTIONS, "epochs": 15}, **options)
        own, other = (log_softmax(some.scores(digits.test_images) / 4) for some in (model, large))
        return result, np.mean(np.sum(np.exp(other) * (other - own), axis=1))

    (plain, far), (taught, near) = divergence(), divergence(distillation=Distillation(large, share=1.0))
    assert near < far
    assert taught.validation_accuracy > 60 and not taught.message and plain.epochs == taught.epochs


def test_the_trained_network_is_as_it_was_given(digits, large):
    distillation = Distillation(large)
    before = distillation.scores(digits.test_images[:5])
    parameter = next(iter(large.parameters.values()))
    parameter.value *= 2
    try:
        np.testing.assert_array_equal(distillation.scores(digits.test_images[:5]), before)
    finally:
        parameter.value /= 2


def test_it_goes_on_bit_for_bit_with_the_same_network_only(digits, large, tmp_path):
    def network():
        return mlp((64, 8, 10), copies=2, dim=3)

    given = {"distillation": Distillation(large), "checkpoint": tmp_path / "a.checkpoint"}
    whole = network()
    train(whole, digits, distillation=given["distillation"], **OPTIONS)
    train(network(), digits, after_epoch=lambda entry: entry["epoch"] == 2, **given, **OPTIONS)
    again = network()
    assert train(again, digits, resume=True, **given, **OPTIONS).epochs == 4
    for name, value in whole.arrays.items():
        np.testing.assert_array_equal(again.arrays[name], value)
    train(network(), digits, after_epoch=lambda entry: True, **given, **OPTIONS)
    other = mlp((64, 64, 10), weights=True)
    for changed in (None, Distillation(large, 0.5), Distillation(large, 0.9, 2.0), Distillation(other)):
        with pytest.raises(ValueError, match="checkpoint: got distillation "):
            train(network(), digits, resume=True, **{**given, "distillation": changed}, **OPTIONS)


def test_what_does_not_fit_is_refused_before_the_first_epoch(digits, large):
    network = mlp((64, 8, 10), copies=2, dim=3)
    with pytest.raises(ValueError, match=r"distillation: got one for method fit; expected None"):
        train(network, digits, method="fit", distillation=Distillation(large))
    with pytest.raises(ValueError, match=r"distillation: got a network of 3 classes; expected one of 10"):
        train(network, digits, distillation=Distillation(mlp((64, 3), weights=True)))
    with pytest.raises(ValueError, match=r"distillation: got a network that does not; expected one that takes images"):
        train(network, digits, distillation=Distillation(mlp((9, 10), weights=True)))
    with pytest.raises(TypeError, match="distillation: "):
        train(network, digits, distillation=large)
    with pytest.raises(ValueError, match=r"share: got 1\.5; expected a share from 0 to 1"):
        Distillation(large, 1.5)
    with pytest.raises(ValueError, match=r"temperature: got 0; expected .*0\.01"):
        Distillation(large, temperature=0)


def test_networks_that_see_images_in_another_way_can_be_learnt_from(digits):
    teacher = lenet5(weights=True)  # enlarges them to 32 x 32
    student = mlp((64, 8, 10), copies=2, dim=3)
    with pytest.warns(UserWarning, match="chance|image"):
        result = train(student, digits, epochs=1, batch=128, rate=0.001, distillation=Distillation(teacher))
    assert result.epochs == 1
