"""Targets of a fit that are measured on a few images."""

from types import SimpleNamespace

import numpy as np
import pytest

import dynsim
from dynsim.layers import BatchNorm, PlainConv, PlainDepthwise, PlainFull, ReLU
from dynsim.learning import estimate, fit, train
from dynsim.learning._fit import _Error
from dynsim.learning._measured_targets import correct_averages, importance, least_sure, signals_of, target
from dynsim.models import compact, mlp, vit


def centred(rows):
    return rows - rows.mean(axis=0)


def test_the_target_is_a_ridge_regression_on_what_the_layer_sees():
    g = np.random.default_rng(0)
    weights, seen = g.normal(size=(3, 5)), g.normal(size=(40, 5)) + 2.0
    trained = seen + 0.3 * g.normal(size=(40, 5))
    found, metric = target(weights, seen, trained=trained, ridge=0.2)
    x, wanted = centred(seen) / np.sqrt(40), centred(trained) @ weights.T / np.sqrt(40)
    pull = 0.2 * np.trace(x.T @ x) / 5
    # The same as ordinary least squares with rows for the ridge below those of the signals.
    left = np.vstack([x, np.sqrt(pull) * np.eye(5)])
    right = np.vstack([wanted, np.sqrt(pull) * weights.T])
    expected = np.linalg.lstsq(left, right, rcond=None)[0].T
    np.testing.assert_allclose(found, expected, atol=1e-12)
    np.testing.assert_allclose(metric, left.T @ left, atol=1e-12)
    # Where the layer sees what the trained one saw, the target is the weights.
    np.testing.assert_allclose(target(weights, trained, trained=trained)[0], weights, atol=1e-12)


def test_a_convolution_sees_patches():
    g = np.random.default_rng(1)
    weights, images = g.normal(size=(3, 2, 2, 2)), g.normal(size=(130, 2, 5, 6))
    _, metric = target(weights, images, trained=images, ridge=0.0)
    outputs = PlainConv(weights).forward(images)
    variances = outputs.var(axis=(0, 2, 3))
    flat = weights.reshape(3, -1)
    np.testing.assert_allclose(np.diag(flat @ metric @ flat.T), variances, rtol=1e-10)
    assert PlainFull(flat).materialize().shape == (3, len(metric))


@pytest.mark.parametrize("margin", [0, 1, 2])
def test_patches_reach_into_the_margin(margin):
    g = np.random.default_rng(3)
    weights, images = g.normal(size=(3, 2, 3, 3)), g.normal(size=(130, 2, 5, 6))
    _, metric = target(weights, images, trained=images, margin=margin, ridge=0.0)
    variances = PlainConv(weights, margin=margin).forward(images).var(axis=(0, 2, 3))
    flat = weights.reshape(3, -1)
    np.testing.assert_allclose(np.diag(flat @ metric @ flat.T), variances, rtol=1e-10)


def test_a_depthwise_convolution_sees_its_own_channel():
    g = np.random.default_rng(4)
    weights, images = g.normal(size=(3, 3, 3)), g.normal(size=(130, 3, 5, 6))
    seen = images + 0.3 * g.normal(size=images.shape)
    found, metric = target(weights, seen, trained=images, margin=1, ridge=0.1)
    assert found.shape == (3, 9) and metric.shape == (3, 9, 9)
    for o in range(3):  # as a convolution of one channel
        channel = weights[o][None, None], seen[:, o, None]
        wanted, expected = target(*channel, trained=images[:, o, None], margin=1, ridge=0.1)
        np.testing.assert_allclose(found[o], wanted[0], rtol=1e-12)
        np.testing.assert_allclose(metric[o], expected, rtol=1e-12)
    pulled = metric[0] - 0.1 * np.trace(metric[0]) / 1.1 / 9 * np.eye(9)  # without the ridge
    variance = PlainDepthwise(weights, margin=1).forward(seen).var(axis=(0, 2, 3))[0]
    assert weights[0].ravel() @ pulled @ weights[0].ravel() == pytest.approx(variance, rel=1e-9)


def test_errors_of_a_depthwise_convolution_stay_in_their_channels():
    g = np.random.default_rng(5)
    first, last = PlainDepthwise(g.normal(size=(4, 3, 3))), PlainConv(g.normal(size=(2, 4, 1, 1)))
    found = importance(SimpleNamespace(layers=[first, last]))
    # Of an error in a channel of the input, the same and independent in every pixel.
    expected = np.square(last.materialize()).sum(axis=(0, 2, 3))
    np.testing.assert_allclose(found[0], expected, rtol=1e-12)
    before = importance(SimpleNamespace(layers=[PlainDepthwise(g.normal(size=(4, 1, 1))), first, last]))
    np.testing.assert_allclose(before[0], expected * np.square(first.materialize()).sum(axis=(1, 2)), rtol=1e-12)


def test_places_of_a_separable_network_are_fitted_with_images():
    """The scores come nearer than by a fit to the weights alone."""
    data, shape = dynsim.datasets.load("digits"), {"channels": 6, "image": (1, 8, 8), "form": "separable", "depth": 3}
    reference = compact(weights=True, seed=1, **shape)
    train(reference, data, epochs=4, batch=32, rate=0.3, seed=1)
    wanted, errors = reference.scores(data.test_images), []
    for images in (None, data.train_images[:200]):
        model = compact(copies=8, dim=2, seed=2, **shape)
        fit(model, reference, steps=200, images=images)
        errors.append(np.mean((model.scores(data.test_images) - wanted) ** 2) / np.var(wanted))
    assert errors[1] < errors[0]


def test_the_gradient_of_an_error_with_a_metric_for_each_output():
    metric = np.stack([np.diag([1.0, 2.0, 3.0]) + 0.5] * 2)
    layer = PlainFull(np.arange(6.0).reshape(2, 3))
    error = _Error(layer, np.ones((2, 3)), metric, np.array([[1.0], [2.0]]))
    error.add_gradient()
    slopes = np.empty((2, 3))
    for place in np.ndindex(2, 3):
        ends = []
        for step in (-1e-3, 1e-3):
            moved = np.arange(6.0).reshape(2, 3)
            moved[place] += step
            ends.append(_Error(PlainFull(moved), error.weights, metric, error.rows).add_gradient())
        slopes[place] = (ends[1] - ends[0]) / 2e-3
    np.testing.assert_allclose(layer.parameters["weights"].gradient, slopes, rtol=1e-6)


@pytest.mark.parametrize("deviation", [0.0, 1e-4, 1e-3])
def test_a_channel_that_is_nearly_constant_has_a_metric_and_a_target(deviation):
    """Its variance is not lost beside its mean: the metric is that of float64, and positive."""
    g = np.random.default_rng(7)
    weights = g.normal(size=(2, 3, 3)).astype(np.float32)
    images = (3.0 + deviation * g.normal(size=(150, 2, 8, 8))).astype(np.float32)
    found, metric = target(weights, images, trained=images, margin=0)
    expected = target(weights.astype(np.float64), images.astype(np.float64), trained=images.astype(np.float64))
    assert all(np.linalg.eigvalsh(one)[0] > 0 for one in metric)
    # Images of mean 3 in float32 are off by 1e-7, of their deviations at least a thousandth.
    np.testing.assert_allclose(metric, expected[1], rtol=1e-2, atol=1e-3 * np.abs(expected[1]).max())
    np.testing.assert_allclose(found, weights.reshape(2, 9), atol=1e-4)


def test_images_are_refused_where_signals_pass_layers_by():
    shape = {"image": 8, "patch": 4, "width": 8, "depth": 1, "heads": 2, "hidden": 8}
    model, reference = vit(**shape), vit(weights=True, **shape)
    data = dynsim.datasets.load("digits")
    with pytest.raises(ValueError, match="images: got some for a network with bypasses; expected none"):
        fit(model, reference, steps=2, images=data.train_images[:20])
    for function in (train, estimate):
        with pytest.raises(ValueError, match="fit_images: got some for a network with bypasses"):
            function(model, data, method="fit", reference=reference, fit_images=20)


@pytest.mark.parametrize("fused", [True, False])
def test_importance_is_what_small_errors_do_to_the_scores(fused):
    g = np.random.default_rng(2)
    norm = BatchNorm(4, relu=fused)
    norm.scale.value[:], norm.mean[:], norm.variance[:] = g.uniform(0.5, 2, 4), g.normal(size=4), g.uniform(0.5, 2, 4)
    first, last = PlainFull(g.normal(size=(4, 6))), PlainFull(g.normal(size=(3, 4)))
    model = SimpleNamespace(layers=[first, norm, *([] if fused else [ReLU()]), last])
    found = importance(model)
    assert list(found) == [len(model.layers) - 1, 0] and (found[len(model.layers) - 1] == 1).all()
    signals = norm.mean + g.normal(size=(20_000, 4))
    for o in range(4):
        answers = []
        for y in (signals, signals + 1e-6 * (np.arange(4) == o)):
            for layer in model.layers[1:]:
                y = layer.forward(y)
            answers.append(y)
        change = np.square((answers[1] - answers[0]) / 1e-6).sum(axis=1).mean()
        # A half of 20,000 signals, drawn: 0.5 / sqrt(20,000) is 0.7 % of it, five times that is allowed.
        assert change == pytest.approx(found[0][o], rel=0.035)


def test_the_least_sure_images_are_those_with_the_closest_scores():
    scores = np.array([[3.0, 0.0, 1.0], [5.0, 4.9, -9.0], [0.0, 0.0, 0.0], [1.0, 2.0, 1.5]])
    model = SimpleNamespace(scores=lambda images: scores[images])
    images = np.arange(4)
    assert least_sure(model, images, 2).tolist() == [1, 2]
    assert least_sure(model, images, 3).tolist() == [1, 2, 3]
    assert least_sure(model, images, 9).tolist() == [0, 1, 2, 3]


@pytest.fixture(scope="module")
def trained():
    data, model = dynsim.datasets.load("digits"), mlp((64, 24, 10), weights=True, seed=1)
    train(model, data, epochs=10, batch=64, seed=1)
    return model, data


def test_a_few_images_bring_the_scores_nearer(trained):
    reference, data = trained
    few, wanted, errors = data.train_images[:400], reference.scores(data.test_images), []
    for images in (None, few):
        model = mlp((64, 24, 10), copies=1, dim=4, seed=1)
        fit(model, reference, steps=300, rate=0.05, images=images)
        errors.append(np.mean((model.scores(data.test_images) - wanted) ** 2) / np.var(wanted))
    assert errors[1] < 0.5 * errors[0]


def test_corrected_averages_make_the_means_those_of_the_trained_network(trained):
    reference, data = trained
    images = data.train_images[:200]
    model = mlp((64, 24, 10), copies=2, dim=3, seed=1)
    trained = signals_of(reference, images)
    seen = correct_averages(model, reference, images, trained=trained)
    assert len(seen) == len(model.layers) + 1
    hidden = model.layers[1].forward(seen[1])
    # Sums of 200 numbers of size one in float32.
    np.testing.assert_allclose(hidden.mean(axis=0), reference.layers[1].forward(seen[1]).mean(axis=0), atol=1e-4)
    original = reference.layers[2]
    ratio = hidden.var(axis=0) / trained[2].var(axis=0)
    away = (original.mean - trained[2].mean(axis=0)) * np.sqrt(ratio)
    np.testing.assert_allclose(model.layers[2].mean, hidden.mean(axis=0) + away, atol=1e-4)
    np.testing.assert_allclose(model.layers[2].variance, original.variance * ratio, rtol=1e-3)
    # The same network is not changed, however few the images are.
    twin = mlp((64, 24, 10), weights=True, seed=1)
    for name, array in reference.arrays.items():
        twin.arrays[name][...] = array
    correct_averages(twin, reference, images[:5], trained=signals_of(reference, images[:5]))
    for name, array in reference.arrays.items():
        np.testing.assert_allclose(twin.arrays[name], array, atol=1e-6, err_msg=name)
    np.testing.assert_allclose(seen[-1].mean(axis=0), reference.scores(images).mean(axis=0), atol=1e-4)
