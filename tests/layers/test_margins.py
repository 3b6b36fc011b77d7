"""Convolutions with a margin of zeros, and those of 1 x 1, against explicit loops."""

import numba
import numpy as np
import pytest

from dynsim.export import run_onnx, save_onnx
from dynsim.kernels import Kernel
from dynsim.layers import Conv, Flatten, LowRankConv, PlainConv, PlainFull
from dynsim.models import Model

L1 = Kernel("linear", "l1")


def convolved(x, weights, bias, margin):
    """The definition, a number at a time."""
    k = weights.shape[2]
    x = np.pad(x, ((0, 0), (0, 0), (margin, margin), (margin, margin)))
    y = np.empty((len(x), len(weights), x.shape[2] - k + 1, x.shape[3] - k + 1))
    for b, o, r, c in np.ndindex(y.shape):
        y[b, o, r, c] = bias[o] + (weights[o] * x[b, :, r : r + k, c : c + k]).sum()
    return y


def convolutions(k, margin, dtype=np.float64):
    """One of each kind, 3 channels to 5."""
    g = np.random.default_rng(k)
    options = {"bias": g.normal(size=5).astype(dtype), "margin": margin}
    half = [g.normal(size=s).astype(dtype) for s in ((k, 2, 3, 4), (k, 2, 5, 4), (k, k, 2))]
    full = [g.normal(size=(2, *part.shape)).astype(dtype) for part in half]
    left, right = g.normal(size=(5, 2)).astype(dtype), g.normal(size=(2, 3 * k * k)).astype(dtype)
    yield Conv(*half, L1, **options)
    yield Conv(*full, L1, sets="full", **options)
    yield PlainConv(g.normal(size=(5, 3, k, k)).astype(dtype), **options)
    yield LowRankConv(left, right, n_in=3, **options)


@pytest.mark.parametrize(("k", "margin"), [(k, margin) for k in (1, 2, 3, 5) for margin in range(k)])
def test_definition(k, margin):
    x = np.random.default_rng(0).normal(size=(2, 3, 5, 7))
    for layer in convolutions(k, margin):
        expected = convolved(x, layer.materialize(), layer.bias.value, margin)
        # sums of up to 75 products of size ten
        np.testing.assert_allclose(layer.forward(x), expected, rtol=0, atol=1e-12)
        assert layer.columns(x.shape) == expected[:, 0].size
        if layer.placed:
            np.testing.assert_allclose(layer.forward(x, inference="weight-free"), expected, rtol=0, atol=1e-11)
            prepared = layer.prepare("weight-free")
            np.testing.assert_allclose(prepared(x), expected, rtol=0, atol=1e-11)


@pytest.mark.parametrize(("k", "margin"), [(1, 0), (3, 0), (3, 1), (3, 2)])
def test_way_back(k, margin):
    """dL/dx and dL/dW are the derivatives of the definition, which is linear in both."""
    g = np.random.default_rng(1)
    x, layer = g.normal(size=(2, 3, 4, 5)), PlainConv(g.normal(size=(5, 3, k, k)), np.zeros(5), margin=margin)
    y = layer.forward(x, training=True)
    dy = g.normal(size=y.shape)
    dx = layer.backward(dy)
    for array, gradient, other in (
        (x, dx, lambda unit: convolved(unit, layer.weights.value, np.zeros(5), margin)),
        (layer.weights.value, layer.weights.gradient, lambda unit: convolved(x, unit, np.zeros(5), margin)),
    ):
        for index in list(np.ndindex(array.shape))[::7]:
            unit = np.zeros(array.shape)
            unit[index] = 1
            assert gradient[index] == pytest.approx((other(unit) * dy).sum(), rel=0, abs=1e-12)  # sums of 200 products
    np.testing.assert_allclose(layer.bias.gradient, dy.sum(axis=(0, 2, 3)), rtol=0, atol=1e-12)


@pytest.mark.skipif(numba.config.NUMBA_NUM_THREADS < 2, reason="needs two threads")
@pytest.mark.parametrize(("k", "margin"), [(1, 0), (3, 0), (3, 1)])
def test_same_bits_with_any_number_of_threads(k, margin):
    g = np.random.default_rng(2)
    x, weights = g.normal(size=(64, 5, 12, 12)).astype("f"), g.normal(size=(7, 5, k, k)).astype("f")
    results, threads = [], numba.get_num_threads()
    try:
        for number in (1, 2):
            numba.set_num_threads(number)
            layer = PlainConv(weights, margin=margin)
            y = layer.forward(x, training=True)
            results.append((y, layer.backward(y), layer.weights.gradient))
    finally:
        numba.set_num_threads(threads)
    for one, two in zip(*results, strict=True):
        assert np.array_equal(one, two)


def test_refusals():
    weights = np.ones((2, 3, 3, 3))
    for margin, words in ((3, "from 0 to 2 with a kernel of 3 x 3"), (-1, "at least 0"), (2.0, "whole number")):
        with pytest.raises((ValueError, TypeError), match=f"margin: got .*{words}"):
            PlainConv(weights, margin=margin)
    layer = PlainConv(weights, margin=1)
    assert layer.forward(np.ones((1, 3, 1, 2))).shape == (1, 2, 1, 2)
    for shape in ((1, 3, 0, 2), (1, 2, 4, 4), (3, 4, 4)):
        with pytest.raises(ValueError, match=r"x: got shape .*expected \(batch, 3, at least 1, at least 1\)"):
            layer.forward(np.ones(shape))


@pytest.mark.parametrize("margin", [0, 1])
def test_written_to_onnx(margin, tmp_path):
    pytest.importorskip("onnx", reason="needs onnx and onnxruntime: pip install 'dynsim[onnx]'")
    pytest.importorskip("onnxruntime", reason="needs onnx and onnxruntime: pip install 'dynsim[onnx]'")
    g = np.random.default_rng(3)
    first = PlainConv(g.normal(size=(2, 1, 3, 3)).astype("f"), margin=margin)
    size = 2 * (4 + 2 * margin) * (3 + 2 * margin)
    model = Model(
        [first, Flatten(), PlainFull(g.normal(size=(3, size)).astype("f"))], {"model": "mine"}, image=(1, 6, 5)
    )
    save_onnx(model, tmp_path / "m.onnx")
    images = g.random((4, 1, 6, 5), dtype=np.float32)
    # 100 products in float32
    np.testing.assert_allclose(run_onnx(tmp_path / "m.onnx", images), model.scores(images), rtol=1e-4, atol=1e-4)
