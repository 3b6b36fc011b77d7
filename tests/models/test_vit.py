"""The small vision transformer: counts, ways back through the whole of it, files, learning."""

import itertools

import numpy as np
import pytest

import dynsim
from dynsim.layers import Attention, Full, LayerNorm, softmax_cross_entropy
from dynsim.models import build, count, materialize, vit

SMALL = {"image": 8, "patch": 2, "width": 8, "depth": 2, "heads": 2, "hidden": 12, "copies": 2, "dim": 3}


@pytest.fixture(scope="module")
def digits():
    return dynsim.datasets.load("digits")


@pytest.mark.parametrize(("pool", "tokens"), [("mean", 16), ("class", 17)])
def test_counts_are_the_papers(pool, tokens):
    counted = count(vit(**SMALL, pool=pool))
    H, d, width, hidden, depth = 2, 3, 8, 12, 2
    # the first signals; queries, keys, values, signals after attention, hidden ones and the next signals; the classes
    neurons = width + depth * (3 * width + width + hidden + width) + 10
    lambdas = H * (4 * depth + 1)
    biases = depth * (3 * width + width + hidden + width) + 10
    norms, positions = 2 * width * (2 * depth + 1), tokens * width + (width if pool == "class" else 0)
    ordinary = biases + norms + positions + width * 4 + width
    assert counted["memory"] == d * H * neurons + lambdas + ordinary == counted["stored_floats"]
    assert counted["disk"] == H * neurons + lambdas + ordinary


def test_neighbours_share_their_neurons():
    layers = [layer for layer in vit(**SMALL).layers if isinstance(layer, Attention | Full)]
    for first, second in itertools.pairwise(layers[1:]):
        end = first.places_value if isinstance(first, Attention) else getattr(first, "places_out", None)
        assert end is None or second.places_in is end


@pytest.mark.parametrize("weights", [False, True])
@pytest.mark.parametrize("pool", ["mean", "class"])
def test_the_way_back_through_all_of_it(weights, pool):
    model = vit(**SMALL, weights=weights, pool=pool)
    for layer in model.layers:  # float64, to compare with central differences
        for parameter in layer.parameters.values():
            parameter.value = parameter.value.astype(np.float64)
            parameter.gradient = np.zeros_like(parameter.value)
    generator = np.random.default_rng(0)
    images, labels = generator.random((3, 1, 8, 8)), np.array([1, 4, 9])

    def loss():
        return softmax_cross_entropy(model.forward(images, training=True), labels)

    model.backward(loss()[1])
    for name, parameter in model.parameters.items():
        index = tuple(generator.integers(0, n) for n in parameter.value.shape)
        kept, sides = parameter.value[index], []
        for step in (1e-5, -1e-5):
            parameter.value[index] = kept + step
            sides.append(loss()[0])
        parameter.value[index] = kept
        # central difference: h^2 f''' / 6, and the loss's rounding of 1e-16 over 2 h
        assert parameter.gradient[index] == pytest.approx((sides[0] - sides[1]) / 2e-5, rel=1e-5, abs=1e-9), name


@pytest.mark.parametrize("options", [{}, {"pool": "class"}, {"weights": True}, {"weights": True, "rank": 2}])
def test_a_file_gives_the_same_model(options, digits, tmp_path):
    model = vit(**SMALL, **options, seed=3)
    model.save(tmp_path / "model.h5")
    again = dynsim.load_model(tmp_path / "model.h5")
    np.testing.assert_array_equal(again.scores(digits.test_images), model.scores(digits.test_images))
    assert build(again.config).config == model.config
    ordinary = materialize(model)
    assert not any(layer.placed for layer in ordinary.layers)
    scores = model.scores(digits.test_images)
    # another order of the sums only where a product of low rank is multiplied out
    np.testing.assert_allclose(ordinary.scores(digits.test_images), scores, rtol=0, atol=1e-5 * np.abs(scores).max())


@pytest.mark.parametrize("weights", [False, True])
def test_learns_real_handwriting(digits, weights):
    model = vit(**{**SMALL, "width": 16, "hidden": 24, "depth": 1, "copies": 4, "dim": 4}, weights=weights)
    result = dynsim.train(model, digits, epochs=10, batch=64, rate=0.03 if weights else 0.1)
    assert result.test_accuracy > 60  # chance is 10; what is asked is that it learns, not how well
    noisy = dynsim.evaluate(model, digits.test_images, labels=digits.test_labels, delta=1e-4, draws=2)
    assert noisy["mean"] > result.test_accuracy - 5


def test_fits_to_an_ordinary_one():
    from dynsim.learning import fit

    reference = vit(**SMALL, weights=True)
    model = vit(**SMALL)
    report = fit(model, reference, steps=200)
    # zeros would have an error of one; a start at random has two
    assert len(report) == 4 * 2 + 1 and np.mean([entry["error"] for entry in report]) < 0.9
    norms = [(a, b) for a, b in zip(model.layers, reference.layers, strict=True) if isinstance(a, LayerNorm)]
    assert norms and all((a.scale.value == b.scale.value).all() for a, b in norms)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"patch": 3}, "patch: got 3; expected a divisor"),
        ({"heads": 3}, "heads: got 3; expected a divisor"),
        ({"pool": "max"}, "pool: got 'max'"),
        ({"depth": 0}, "depth: got 0"),
    ],
)
def test_wrong_input_is_named(options, words):
    with pytest.raises(ValueError, match=words):
        vit(**{**SMALL, **options})


def test_enormous_configurations_are_refused():
    from dynsim.models import check_size

    for change in ({"depth": 10**9}, {"width": 10**6}, {"image": 10**7}, {"patch": 0}):
        with pytest.raises((ValueError, ZeroDivisionError)):
            check_size({**vit(**SMALL).config, **change})
