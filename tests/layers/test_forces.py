"""Every layer's way back against central differences in float64."""

import numpy as np
import pytest

from dynsim.kernels import Kernel
from dynsim.layers import (
    Add,
    Attention,
    BatchNorm,
    ChannelMean,
    ClassToken,
    Conv,
    Depthwise,
    FirstToken,
    Flatten,
    Full,
    LayerNorm,
    LowRankConv,
    LowRankFull,
    MaxPool,
    Patches,
    PlainAttention,
    PlainConv,
    PlainDepthwise,
    PlainFull,
    Positions,
    ReLU,
    Skip,
    TokenMean,
    softmax_cross_entropy,
)


def layers():
    g = np.random.default_rng(0)
    for kernel in (Kernel(softening=0.1), Kernel("linear", "l1")):
        yield (
            Full(g.normal(size=(2, 6, 3)), g.normal(size=(2, 4, 3)), g.normal(size=2), kernel, bias=np.ones(4)),
            (5, 6),
        )
        full = [g.normal(size=shape) for shape in ((2, 3, 2, 2, 3), (2, 3, 2, 4, 3), (2, 3, 3, 2))]
        yield Conv(*full, kernel, bias=np.ones(4), sets="full"), (2, 2, 5, 6)
        yield (
            Conv(
                g.normal(size=(3, 2, 2, 3)),
                g.normal(size=(3, 2, 4, 3)),
                g.normal(size=(3, 3, 2)),
                kernel,
                bias=np.ones(4),
            ),
            (2, 2, 5, 6),
        )
        places = [g.normal(size=(2, n, 3)) for n in (6, 8, 4)]
        yield Attention(*places, g.normal(size=2), kernel, bias=g.normal(size=12), heads=2), (3, 5, 6)
    yield PlainAttention(g.normal(size=(12, 6)), g.normal(size=12), heads=2), (3, 5, 6)
    yield PlainAttention(g.normal(size=(14, 6)), heads=1, keys=4), (1, 2, 6)
    yield Full(g.normal(size=(2, 6, 3)), g.normal(size=(2, 4, 3)), g.normal(size=2), bias=np.ones(4)), (2, 3, 6)
    yield LayerNorm(6), (3, 5, 6)
    yield LayerNorm(4), (7, 4)
    yield Patches(2), (2, 3, 4, 6)
    yield Positions(g.normal(size=(5, 6))), (3, 5, 6)
    yield ClassToken(g.normal(size=6)), (3, 5, 6)
    yield FirstToken(), (3, 5, 6)
    yield TokenMean(), (3, 5, 6)
    half = [g.normal(size=shape) for shape in ((3, 2, 2, 3), (3, 2, 4, 3), (3, 3, 2))]
    yield Conv(*half, Kernel(softening=0.1), bias=np.ones(4), margin=1), (2, 2, 4, 5)
    yield Conv(*full, Kernel(softening=0.1), sets="full", margin=2), (2, 2, 4, 5)
    one = [g.normal(size=shape) for shape in ((1, 2, 2, 3), (1, 2, 4, 3), (1, 1, 2))]
    yield Conv(*one, Kernel(softening=0.1), bias=np.ones(4)), (2, 2, 4, 5)
    for kernel in (Kernel(softening=0.1), Kernel("linear", "l1")):
        depthwise = [g.normal(size=shape) for shape in ((1, 2, 3, 4), (1, 2, 9, 4), (1, 1, 2))]
        yield Depthwise(*depthwise, kernel, bias=np.ones(3), margin=1), (2, 3, 4, 5)
        yield Depthwise(*depthwise, kernel), (2, 3, 4, 5)
    yield PlainDepthwise(g.normal(size=(3, 2, 2)), np.ones(3), margin=1), (2, 3, 4, 5)
    yield LowRankConv(g.normal(size=(4, 3)), g.normal(size=(3, 18)), n_in=2, margin=1), (2, 2, 4, 5)
    yield LowRankFull(g.normal(size=(4, 2)), g.normal(size=(2, 6)), bias=np.ones(4)), (5, 6)
    yield LowRankConv(g.normal(size=(4, 3)), g.normal(size=(3, 18)), n_in=2, bias=np.ones(4)), (2, 2, 5, 6)
    yield PlainFull(g.normal(size=(4, 6)), np.ones(4)), (5, 6)
    yield PlainConv(g.normal(size=(4, 2, 3, 3)), np.ones(4)), (2, 2, 5, 6)
    yield BatchNorm(2), (4, 2, 3, 3)
    yield BatchNorm(3), (6, 3)
    yield BatchNorm(3, relu=True), (6, 3)
    yield BatchNorm(2, relu=True, pool=True), (3, 2, 4, 6)
    yield ReLU(), (4, 5)
    yield MaxPool(), (2, 3, 4, 6)
    yield ChannelMean(), (2, 3, 4, 5)
    yield Flatten(), (2, 3, 4, 5)


@pytest.mark.parametrize(("layer", "shape"), list(layers()), ids=lambda x: type(x).__name__)
def test_way_back(layer, shape):
    generator = np.random.default_rng(1)
    x = generator.normal(size=shape)
    y = layer.forward(x, training=True)
    dy = generator.normal(size=y.shape)
    dx = layer.backward(dy)
    arrays = [(x, dx)] + [(p.value, p.gradient) for p in layer.parameters.values()]
    for value, gradient in arrays:
        for index in list(np.ndindex(value.shape))[:: max(1, value.size // 12)]:
            kept, sides = value[index], []
            for moved in (kept + 1e-6, kept - 1e-6):
                value[index] = moved
                sides.append(float((layer.forward(x, training=True) * dy).sum()))
            value[index] = kept
            # central difference: h^2 f''' / 6 + eps |f| / h, |f| up to about 100
            assert gradient[index] == pytest.approx((sides[0] - sides[1]) / 2e-6, rel=1e-5, abs=1e-7 * 20)


def test_a_bypass_takes_both_ways_back():
    g = np.random.default_rng(7)
    skip, layer = Skip(), PlainFull(g.normal(size=(4, 4)))
    row = [skip, layer, Add(skip)]
    x, dy = g.normal(size=(3, 4)), g.normal(size=(3, 4))
    y, back = x, dy
    for part in row:
        y = part.forward(y, training=True)
    for part in reversed(row):
        back = part.backward(back)
    np.testing.assert_allclose(y, x + x @ layer.materialize().T, rtol=0, atol=1e-14)
    np.testing.assert_allclose(back, dy + dy @ layer.materialize(), rtol=0, atol=1e-14)


def test_shared_places_take_both_forces():
    g = np.random.default_rng(2)
    first = Full(g.normal(size=(1, 3, 2)), g.normal(size=(1, 4, 2)), [1.0])
    second = Full(first.places_out, g.normal(size=(1, 2, 2)), [1.0])
    second.forward(first.forward(np.ones((1, 3)), True), True)
    first.backward(second.backward(np.ones((1, 2))))
    alone = Full(first.places_out.value, second.places_out.value, [1.0])
    alone.forward(first.forward(np.ones((1, 3))), True)
    alone.backward(np.ones((1, 2)))
    difference = first.places_out.gradient - alone.places_in.gradient
    assert np.abs(difference).max() > 0 and second.places_in is first.places_out


def test_depthwise_and_pointwise_share_places():
    g = np.random.default_rng(8)
    first = Depthwise(g.normal(size=(1, 2, 3, 4)), g.normal(size=(1, 2, 9, 4)), g.normal(size=(1, 1, 2)), margin=1)
    second = Conv(first.places, g.normal(size=(1, 2, 5, 4)), g.normal(size=(1, 1, 2)))
    x, dy = g.normal(size=(2, 3, 4, 4)), g.normal(size=(2, 5, 4, 4))

    def loss():
        return float((second.forward(first.forward(x, True), True) * dy).sum())

    loss()
    first.backward(second.backward(dy))
    for index in np.ndindex(first.places.value.shape):
        kept, sides = first.places.value[index], []
        for moved in (kept + 1e-6, kept - 1e-6):
            first.places.value[index] = moved
            sides.append(loss())
        first.places.value[index] = kept
        # as test_way_back
        assert first.places.gradient[index] == pytest.approx((sides[0] - sides[1]) / 2e-6, rel=1e-5, abs=2e-6)


def test_full_sets_are_two_relations():
    g = np.random.default_rng(5)
    places_in, places_out, strengths = (g.normal(size=s) for s in ((2, 3, 2, 2, 4), (2, 3, 2, 5, 4), (2, 3, 3, 2)))
    weights = Conv(places_in, places_out, strengths, sets="full").materialize()
    for o, i, r, c in [(0, 1, 2, 0), (4, 0, 1, 2), (2, 1, 0, 0)]:
        expected = 0.0
        for h in range(2):
            expected += strengths[0, r, c, h] / np.linalg.norm(places_out[0, r, h, o] - places_in[0, c, h, i])
            expected += strengths[1, c, r, h] / np.linalg.norm(places_out[1, c, h, o] - places_in[1, r, h, i])
        assert weights[o, i, r, c] == pytest.approx(expected, rel=1e-13)
    with pytest.raises(ValueError, match="half, full"):
        Conv(places_in, places_out, strengths, sets="both")


def test_convolution_is_scipys():
    from scipy.signal import correlate

    g = np.random.default_rng(3)
    weights, x = g.normal(size=(2, 3, 3, 3)), g.normal(size=(1, 3, 7, 8))
    y = PlainConv(weights).forward(x)
    for o in range(2):
        np.testing.assert_allclose(y[0, o], correlate(x[0], weights[o], mode="valid")[0], atol=1e-12)


def test_loss_gradient():
    g = np.random.default_rng(4)
    scores, labels = g.normal(size=(3, 4)), np.array([0, 2, 3])
    _, gradient = softmax_cross_entropy(scores, labels)
    for index in np.ndindex(scores.shape):
        sides = []
        for step in (1e-6, -1e-6):
            moved = scores.copy()
            moved[index] += step
            sides.append(softmax_cross_entropy(moved, labels)[0])
        assert gradient[index] == pytest.approx((sides[0] - sides[1]) / 2e-6, abs=1e-8)


def test_wrong_shapes_are_named():
    with pytest.raises(ValueError, match=r"places_out: got shape .* expected \(1, n, 2\)"):
        Full(np.zeros((1, 3, 2)), np.zeros((1, 3, 4)), [1.0])
    with pytest.raises(ValueError, match="expected"):
        PlainFull(np.eye(3)).forward(np.zeros((2, 4)))


def test_norm_with_relu_and_pooling_is_the_three_layers():
    g = np.random.default_rng(6)
    x, dy = g.normal(size=(5, 3, 6, 8)).round(1), g.normal(size=(5, 3, 3, 4))  # rounded: ties in the squares
    fused, row = BatchNorm(3, relu=True, pool=True), [BatchNorm(3), ReLU(), MaxPool()]
    for training in (True, False):
        y, expected = fused.forward(x, training), x
        for layer in row:
            expected = layer.forward(expected, training)
        np.testing.assert_allclose(y, expected, rtol=0, atol=1e-14)
    back = dy
    for layer in reversed(row):
        back = layer.backward(back)
    np.testing.assert_allclose(fused.backward(dy), back, rtol=0, atol=1e-13)
    for name, parameter in fused.parameters.items():
        np.testing.assert_allclose(parameter.gradient, row[0].parameters[name].gradient, rtol=0, atol=1e-12)
