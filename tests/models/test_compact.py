"""Small convolutional networks: their counts by hand, their start, forces on shared neurons, files, refusals."""

import itertools

import numpy as np
import pytest

import dynsim
from dynsim.kernels import Kernel
from dynsim.models import build, compact, count, materialize, numbers

FORMS = [
    {"form": form, "sets": sets, "populations": populations}
    for form, sets, populations in itertools.product(("whole", "separable"), ("half", "full", "one"), (0, 1, 2, 3, 9))
    if form == "whole" or sets == "one"
]
ORDINARY = [
    {"weights": True, **more} for more in ({}, {"rank": 2}, {"form": "separable"}, {"form": "separable", "rank": 2})
]
SMALL = {"channels": 4, "copies": 2, "dim": 2, "depth": 4}


def places_by_hand(channels, copies, dim, depth, form, sets, populations):
    """Coordinates of the neurons, counted from the picture of a row of relations."""
    rows = 1 if form == "separable" else {"one": 1, "half": 3, "full": 2 * 3}[sets]
    ends = min(populations, depth) if populations else 2 * (depth - 1)
    offsets = (depth - 1) * 9 if form == "separable" else 0  # the offsets of depthwise kernels are neurons as well
    return copies * dim * (ends * rows * channels + offsets)


@pytest.mark.parametrize("options", FORMS, ids=str)
def test_numbers_are_those_counted_by_hand(options):
    model = compact(**SMALL, **options)
    channels, copies, depth = SMALL["channels"], SMALL["copies"], SMALL["depth"]
    if options["form"] == "separable":
        strengths = (depth - 1) * 2 * copies
    else:
        strengths = (depth - 1) * copies * 9 * (2 if options["sets"] == "full" else 1)
    ordinary = 9 * channels + 2 * channels * depth + 10 * channels + 10  # first convolution, norms, full layer
    assert numbers(model) == places_by_hand(**SMALL, **options) + strengths + ordinary
    assert count(model)["numbers"] == numbers(model)


def test_numbers_of_ordinary_networks():
    rest = 9 * 8 + 2 * 8 * 5 + 90
    assert numbers(compact(8, weights=True)) == rest + 4 * 9 * 64
    assert numbers(compact(8, weights=True, form="separable")) == rest + 4 * (72 + 64)
    assert numbers(compact(8, weights=True, rank=3)) == rest + 4 * 3 * (8 + 72)


@pytest.mark.parametrize("options", FORMS, ids=str)
def test_forces_on_neurons_are_the_gradient(options):
    # In float64, with central differences of step 1e-6: errors of the differences are about 1e-9.
    model = compact(**SMALL, **options, kernel=Kernel("gaussian"))
    for parameter in model.parameters.values():
        parameter.value = parameter.value.astype(float)
        parameter.gradient = np.zeros_like(parameter.value)
    generator = np.random.default_rng(0)
    images, weights = generator.normal(size=(3, 1, 28, 28)), generator.normal(size=(3, 10))
    model.forward(images, training=True)
    model.backward(weights)
    for parameter in model.parameters.values():
        if parameter.kind == "places":
            index = tuple(generator.integers(parameter.value.shape))
            found, value, ends = parameter.gradient[index], parameter.value[index], []
            for step in (1e-6, -1e-6):
                parameter.value[index] = value + step
                ends.append((model.forward(images, training=True) * weights).sum())
            parameter.value[index] = value
            assert found == pytest.approx((ends[0] - ends[1]) / 2e-6, rel=1e-4, abs=1e-6)


@pytest.mark.parametrize("options", FORMS, ids=str)
def test_weights_at_the_start_have_the_scale_of_he(options):
    model = compact(16, 4, dim=3, **options)
    for layer in model.layers:
        if layer.weighted and layer.placed:
            weights = layer.materialize()
            fan = 9 if weights.ndim == 3 else weights[0].size
            assert np.mean(weights.astype(float) ** 2) == pytest.approx(2 / fan, rel=1e-3)


def test_populations_in_turn():
    model = compact(6, 3, dim=2, populations=2)
    convolutions = [layer for layer in model.layers if layer.placed]
    for layer, following in itertools.pairwise(convolutions):
        assert following.places_in is layer.places_out
        assert following.places_out is layer.places_in
    assert len({layer.strengths.value.tobytes() for layer in convolutions}) == 4


@pytest.mark.parametrize("options", [*FORMS, *ORDINARY], ids=str)
def test_files_and_weights(options, tmp_path):
    model = compact(**SMALL, **options, seed=3)
    images = np.random.default_rng(0).random((2, 1, 28, 28), np.float32)
    model.forward(images, training=True)  # running averages of its own
    model.save(tmp_path / "model.h5")
    again = dynsim.load_model(tmp_path / "model.h5")
    np.testing.assert_array_equal(again.scores(images), model.scores(images))
    np.testing.assert_allclose(materialize(model).scores(images), model.scores(images), rtol=0, atol=1e-5)
    assert build(model.config).config == model.config


@pytest.mark.parametrize("image", [(1, 8, 8), (1, 28, 28), (3, 32, 32), (2, 40, 40)])
def test_images_of_several_sizes(image):
    model = compact(4, 2, image=image, classes=7)
    assert model.scores(np.zeros((2, *image), np.float32)).shape == (2, 7)
    channels, size, _ = image
    for other in ((channels, size + 2, size + 2), (channels, size, size + 1), (channels + 1, size, size)):
        with pytest.raises(ValueError, match=rf"images: got shape \(2, .*; expected \(n, {channels}, {size}, {size}\)"):
            model.scores(np.zeros((2, *other), np.float32))


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"depth": 1}, "depth"),
        ({"pools": [6]}, "pools"),
        ({"pools": [1, 1]}, "pools: got .1, 1.; expected different numbers"),
        ({"pools": [1, 2], "margins": []}, "odd"),
        ({"depth": 8}, "too small"),
        ({"image": [1, 28, 32]}, "image"),
        ({"populations": -1}, "populations"),
        ({"sets": "two"}, "sets"),
        ({"form": "dense"}, "form"),
    ],
)
def test_refusals(options, said):
    with pytest.raises(ValueError, match=said):
        compact(**{**SMALL, **options})
