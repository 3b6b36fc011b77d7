"""Layers that answer without weights say the same as with them."""

import json

import numpy as np
import pytest

from dynsim.kernels import Kernel
from dynsim.layers import Conv, Full, Rates, _inference, choose, costs
from dynsim.models import lenet5, mlp

L1 = Kernel("linear", "l1", scale=0.7)


@pytest.mark.parametrize("kernel", [L1, Kernel(softening=0.1)], ids=["l1", "inverse"])
@pytest.mark.parametrize("shape", [(1, 1, 1, 1), (2, 7, 5, 3), (3, 40, 60, 9)])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_full_layers(kernel, shape, dtype, monkeypatch):
    monkeypatch.setattr("dynsim.layers._full.TILE", 100)  # many tiles
    H, m, n, d = shape
    g = np.random.default_rng(0)
    arrays = [g.normal(size=s).astype(dtype) for s in ((H, m, d), (H, n, d), (H,), (n,))]
    layer = Full(*arrays[:3], kernel, bias=arrays[3])
    for batch in (0, 1, 20):
        x = g.normal(size=(batch, m)).astype(dtype)
        dense = layer.forward(x)
        # m H d terms of size one, and d of cancellation
        tolerance = 50 * m * H * d * np.finfo(dtype).eps
        for inference in ("tiled", "auto", *(["weight-free"] if kernel is L1 else [])):
            y = layer.forward(x, inference=inference)
            assert y.dtype == dtype and y.shape == dense.shape
            np.testing.assert_allclose(y, dense, rtol=0, atol=tolerance)


@pytest.mark.parametrize("sets", ["half", "full"])
def test_convolutions(sets):
    g = np.random.default_rng(1)
    axes = () if sets == "half" else (2,)
    arrays = [g.normal(size=(*axes, *s)) for s in ((3, 2, 4, 3), (3, 2, 5, 3), (3, 3, 2))]
    layer = Conv(*arrays, L1, bias=g.normal(size=5), sets=sets)
    x = g.normal(size=(3, 4, 6, 7))
    for inference in ("weight-free", "tiled", "auto"):
        np.testing.assert_allclose(layer.forward(x, inference=inference), layer.forward(x), atol=1e-11)
    with pytest.raises(ValueError, match="at least 3"):
        layer.product(np.zeros((1, 4, 2, 7)))


def test_whole_models_answer_the_same():
    g = np.random.default_rng(2)
    images = g.random((30, 1, 28, 28)).astype(np.float32)
    model = lenet5(kernel=L1)
    np.testing.assert_allclose(
        model.scores(images, inference="weight-free"), model.scores(images), rtol=1e-3, atol=1e-3
    )
    small = mlp((784, 30, 10), copies=2, dim=3)
    assert np.array_equal(small.predict(images, "tiled"), small.predict(images))
    with pytest.raises(ValueError, match=r"inference: got weight-free with .*expected the linear kernel"):
        small.predict(images, "weight-free")
    with pytest.raises(ValueError, match="expected one of auto"):
        small.predict(images, "fast")


def test_the_planner_follows_the_rates():
    sizes = {"m": 2000, "n": 1500, "d": 3, "copies": 2, "columns": 10}
    slow = Rates(products=1e9, vector=1e8, pairs=1e8, passes=1e7, single=1e5, sorts=1e6)
    found = costs(L1, **sizes, rates=slow)
    assert found["dense"] == pytest.approx(3e6 * 6 / 1e8 + 3e7 / 1e9)
    assert found["weight-free"] == pytest.approx(3500 * 6 / 1e6 + 10 * 3500 * 6 / 1e7)
    assert costs(L1, **sizes | {"columns": 1}, rates=slow)["weight-free"] == pytest.approx(21000 / 1e6 + 21000 / 1e5)
    assert costs(L1, **sizes, offsets=25, rates=slow)["weight-free"] == pytest.approx(25 * found["weight-free"])
    assert choose("auto", L1, **sizes, rates=Rates(passes=1e12)) == "weight-free"
    assert choose("auto", L1, **sizes, rates=Rates(passes=1e3)) == "dense"
    assert choose("auto", Kernel(), m=2**15, n=2**15, d=3, copies=1, columns=1, rates=Rates()) == "tiled"


def test_rates_are_measured_once(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(_inference, "_RATES", None)
    rates = _inference.machine_rates()
    stored = json.loads((tmp_path / "dynsim/rates.json").read_text())
    assert stored["pairs"] == rates.pairs > 1e6
    monkeypatch.setattr(_inference, "_RATES", None)
    monkeypatch.setattr(_inference, "calibrate", lambda: pytest.fail("measured again"))
    assert _inference.machine_rates() == rates
    monkeypatch.setattr(_inference, "calibrate", lambda: Rates())
    for damaged in ("", "[]", '{"cores": 0}', "{}", json.dumps({"cores": stored["cores"], "pairs": 1.0})):
        (tmp_path / "dynsim/rates.json").write_text(damaged)
        monkeypatch.setattr(_inference, "_RATES", None)
        assert _inference.machine_rates() == Rates()
