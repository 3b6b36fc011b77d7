"""Depthwise convolutions against explicit loops, their counts and their files."""

import numba
import numpy as np
import pytest

from dynsim.export import run_onnx, save_onnx
from dynsim.kernels import Kernel
from dynsim.layers import Conv, Depthwise, Flatten, Parameter, PlainDepthwise, PlainFull
from dynsim.models import Model, count, operations, plan

L1 = Kernel("linear", "l1")


def depthwise(k, margin, dtype=np.float64, kernel=L1, channels=3):
    g = np.random.default_rng(k)
    arrays = [g.normal(size=s).astype(dtype) for s in ((1, 2, channels, 4), (1, 2, k * k, 4), (1, 1, 2))]
    return Depthwise(*arrays, kernel, bias=g.normal(size=channels).astype(dtype), margin=margin)


@pytest.mark.parametrize(("k", "margin"), [(1, 0), (2, 1), (3, 0), (3, 1), (3, 2), (7, 3)])
def test_definition(k, margin):
    layer, x = depthwise(k, margin, kernel=Kernel()), np.random.default_rng(0).normal(size=(2, 3, 7, 8))
    places, offsets, strengths = layer.places.value[0], layer.offsets.value[0], layer.strengths.value[0, 0]
    weights, padded = layer.materialize(), np.pad(x, ((0, 0), (0, 0), (margin, margin), (margin, margin)))
    for o, r, c in np.ndindex(weights.shape):
        distances = np.linalg.norm(places[:, o] - offsets[:, r * k + c], axis=1)
        assert weights[o, r, c] == pytest.approx(np.sum(strengths / distances), rel=1e-13)
    expected = np.empty((2, 3, 8 + 2 * margin - k, 9 + 2 * margin - k))
    for b, o, r, c in np.ndindex(expected.shape):
        expected[b, o, r, c] = layer.bias.value[o] + (weights[o] * padded[b, o, r : r + k, c : c + k]).sum()
    plain = PlainDepthwise(weights, layer.bias.value, margin=margin)
    # sums of up to 49 products of size one
    np.testing.assert_allclose(layer.forward(x), expected, rtol=0, atol=1e-12)
    assert np.array_equal(plain.forward(x), layer.forward(x))


def test_weights_are_always_made():
    layer, x = depthwise(3, 1), np.random.default_rng(1).normal(size=(2, 3, 4, 5))
    y = layer.forward(x)
    for inference in ("auto", "dense", "tiled", "weight-free"):
        prepared = layer.prepare(inference, columns=40)
        assert np.array_equal(layer.forward(x, inference=inference), y) and np.array_equal(prepared(x), y)
        assert prepared.inference == "dense"
    with pytest.raises(ValueError, match="inference: got weight-free with"):
        depthwise(3, 1, kernel=Kernel()).forward(x, inference="weight-free")


def test_operations():
    layer = depthwise(3, 1)
    assert layer.columns((2, 3, 4, 5)) == 40
    dense = 9 * 3 * 20  # k k for each channel and place, not for each pair of channels
    made = dense + 2 * 9 * 3 * (2 * 4 + 1)
    alone = Model([layer], {"model": "mine"}, image=(3, 4, 5))
    assert operations(alone) == {"dense": dense, "materialized": made, "weight_free": made}
    shared = Conv(layer.places, np.ones((1, 2, 5, 4)), np.ones((1, 1, 2)), L1)
    model = Model([layer, shared, Flatten()], {"model": "mine"}, image=(3, 4, 5))
    assert operations(model)["dense"] == dense + 15 * 20
    # places of channels (once), offsets and outputs; the bias beside them; lambdas of convolutions are not counted
    assert count(model)["memory"] == 2 * (3 + 9 + 5) * 4 + 3 and count(model)["disk"] == 2 * (3 + 9 + 5) + 3
    assert [row["layer"] for row in plan(model, batches=(1,))] == [1]
    x = np.random.default_rng(2).random((2, 3, 4, 5))
    np.testing.assert_allclose(model.prepare("weight-free")(x), model.forward(x), rtol=0, atol=1e-12)


def test_way_back_in_float32():
    """A row of numbers that fill several vectors: dL/dW and dL/dx are sums that float64 knows."""
    g, k = np.random.default_rng(3), 3
    x, weights = g.normal(size=(40, 3, 6, 7)).astype("f"), g.normal(size=(3, k, k)).astype("f")
    layer = PlainDepthwise(weights, margin=1)
    dy = g.normal(size=layer.forward(x, training=True).shape).astype("f")
    dx = layer.backward(dy)
    padded, back = np.pad(x.astype(float), ((0, 0), (0, 0), (1, 1), (1, 1))), np.zeros((40, 3, 8, 9))
    for a, c in np.ndindex(k, k):
        expected = (dy.astype(float) * padded[:, :, a : a + 6, c : c + 7]).sum(axis=(0, 2, 3))
        # 1680 products of size one, added in float32 within a row of 280
        np.testing.assert_allclose(layer.weights.gradient[:, a, c], expected, rtol=0, atol=1e-3)
        back[:, :, a : a + 6, c : c + 7] += dy * weights[:, a, c, None, None]
    np.testing.assert_allclose(dx, back[:, :, 1:-1, 1:-1], rtol=0, atol=1e-5)


@pytest.mark.skipif(numba.config.NUMBA_NUM_THREADS < 2, reason="needs two threads")
def test_same_bits_with_any_number_of_threads():
    x, results, threads = np.random.default_rng(4).normal(size=(64, 3, 12, 12)).astype("f"), [], numba.get_num_threads()
    try:
        for number in (1, 2):
            numba.set_num_threads(number)
            layer = depthwise(3, 1, "f")
            y = layer.forward(x, training=True)
            results.append((y, layer.backward(y), *(p.gradient for p in layer.parameters.values())))
    finally:
        numba.set_num_threads(threads)
    for one, two in zip(*results, strict=True):
        assert np.array_equal(one, two)


def test_refusals():
    places, offsets, strengths = np.ones((1, 2, 3, 4)), np.zeros((1, 2, 9, 4)), np.ones((1, 1, 2))
    with pytest.raises(ValueError, match=r"offsets: got shape \(1, 2, 8, 4\); expected \(1, 2, k k, 4\)"):
        Depthwise(places, offsets[:, :, :8], strengths)
    with pytest.raises(ValueError, match="strengths: got"):
        Depthwise(places, offsets, np.ones((1, 2, 1)))
    with pytest.raises(ValueError, match="places: got"):
        Depthwise(np.ones((2, 2, 3, 4)), offsets, strengths)
    with pytest.raises(ValueError, match="margin: got 3; expected a whole number from 0 to 2"):
        Depthwise(places, offsets, strengths, margin=3)
    with pytest.raises(ValueError, match="weights: got a kernel of 2 x 3"):
        PlainDepthwise(np.ones((1, 2, 3)))
    with pytest.raises(ValueError, match=r"x: got shape .*expected \(batch, 3, at least 3, at least 3\)"):
        Depthwise(places, offsets, strengths).forward(np.ones((1, 2, 3, 3)))


@pytest.mark.parametrize("margin", [0, 1])
def test_written_to_onnx(margin, tmp_path):
    pytest.importorskip("onnx", reason="needs onnx and onnxruntime: pip install 'dynsim[onnx]'")
    pytest.importorskip("onnxruntime", reason="needs onnx and onnxruntime: pip install 'dynsim[onnx]'")
    g = np.random.default_rng(5)
    size = 3 * (4 + 2 * margin) * (3 + 2 * margin)
    layers = [depthwise(3, margin, "f"), Flatten(), PlainFull(g.normal(size=(2, size)).astype("f"))]
    model = Model(layers, {"model": "mine"}, image=(3, 6, 5))
    save_onnx(model, tmp_path / "m.onnx")
    images = g.random((4, 3, 6, 5), dtype=np.float32)
    # 100 products in float32
    np.testing.assert_allclose(run_onnx(tmp_path / "m.onnx", images), model.scores(images), rtol=1e-4, atol=1e-3)


def test_shared_places_are_one_parameter():
    places = Parameter(np.random.default_rng(6).normal(size=(1, 2, 3, 4)), "places")
    layer = Depthwise(places, np.zeros((1, 2, 9, 4)), np.ones((1, 1, 2)))
    assert layer.places is places and list(layer.parameters) == ["places", "offsets", "strengths"]
