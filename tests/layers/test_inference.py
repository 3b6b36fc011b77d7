"""Layers that answer without weights say the same as with them."""

import json
import pickle
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from dynsim.kernels import Kernel
from dynsim.layers import Add, Conv, Full, Layer, Parameter, Rates, Skip, _inference, choose, costs
from dynsim.models import Model, lenet5, mlp, vit

L1 = Kernel("linear", "l1", scale=0.7)


@pytest.mark.parametrize("kernel", [L1, Kernel(softening=0.1)], ids=["l1", "inverse"])
@pytest.mark.parametrize("shape", [(1, 1, 1, 1), (2, 7, 5, 3), (3, 40, 60, 9)])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_full_layers(kernel, shape, dtype, monkeypatch):
    monkeypatch.setattr("dynsim.layers._linear_products.TILE", 100)  # many tiles
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
        layer.forward(np.zeros((1, 4, 2, 7)), inference="auto")


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


def layers_of_all_kinds():
    """(layer, signals) of everything that is built, with places, with weights and with neither."""
    g = np.random.default_rng(3)
    for model, image in (
        (lenet5(kernel=L1), (1, 28, 28)),
        (lenet5(weights=True), (1, 28, 28)),
        (lenet5(weights=True, rank=3), (1, 28, 28)),
        (vit(image=8, patch=4, width=8, depth=1, heads=2, kernel=L1), (1, 8, 8)),
    ):
        signals = g.random((3, *image)).astype(np.float32)
        signals = signals if model.preprocess is None else model.preprocess(signals)
        for layer in model.layers:
            yield layer, signals
            signals = layer.forward(signals)


def test_a_prepared_layer_answers_as_the_layer_did():
    for layer, signals in layers_of_all_kinds():
        if isinstance(layer, Skip | Add):  # of two layers that know each other: prepared with the model
            continue
        before = layer.forward(signals)
        prepared = layer.prepare("dense")
        assert prepared.inference == ("dense" if layer.weighted else None)
        others = [layer.prepare(way) for way in ("weight-free", "tiled")] if layer.placed else []
        for parameter in layer.parameters.values():
            parameter.value += 1
        for buffer in layer.buffers.values():
            buffer += 1
        np.testing.assert_array_equal(prepared(signals), before)
        for other in others:
            np.testing.assert_allclose(other(signals), before, rtol=0, atol=1e-4 * np.abs(before).max())


@pytest.mark.parametrize("batch", [1, 7])
def test_a_prepared_model_is_frozen(batch):
    images = np.random.default_rng(4).random((batch, 1, 8, 8)).astype(np.float32)
    for model in (mlp((64, 10), copies=2, dim=2), vit(image=8, patch=4, width=8, depth=2, heads=2)):
        before = model.forward(images)
        prepared = [model.prepare("dense"), model.prepare(batch=batch)]
        for parameter in model.parameters.values():
            parameter.value += 1
        assert not np.array_equal(model.forward(images), before)
        for one in prepared:  # the planner takes the weights where they are few and the kernel does not sort
            np.testing.assert_array_equal(one(images), before)
            np.testing.assert_array_equal(one.scores(images, batch=2).argmax(axis=1), one.predict(images))


def test_prepared_models_are_called_by_several_threads_and_sent_elsewhere():
    model = vit(image=8, patch=4, width=8, depth=2, heads=2, kernel=L1)
    images = np.random.default_rng(6).random((8, 2, 1, 8, 8)).astype(np.float32)
    prepared = pickle.loads(pickle.dumps(model.prepare("weight-free")))
    expected, before = [prepared(one) for one in images], sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        with ThreadPoolExecutor(4) as pool:
            found = list(pool.map(prepared, np.concatenate([images] * 20)))
    finally:
        sys.setswitchinterval(before)
    for number, one in enumerate(found):
        np.testing.assert_array_equal(one, expected[number % 8])
    skip = Skip()
    with pytest.raises(ValueError, match="prepare the model that has both"):
        Add(skip).prepare()(images[0])


class Own(Layer):
    """A layer of particles that is none of ours."""

    weighted = placed = True
    kernel = L1

    def __init__(self):
        self.memory = Parameter(np.ones(3), "norm")

    def sizes(self, columns):
        return {"m": 3, "n": 3, "d": 1, "copies": 1, "columns": columns}

    def columns(self, shape):
        return shape[0]

    def forward(self, x, training=False, *, inference="dense"):
        return x * self.memory.value * (2 if inference == "weight-free" else 1)


def test_layers_of_others_are_told_the_inference():
    model = Model([Own()], {"model": "own"})
    images = np.ones((2, 1, 1, 3))
    assert model.scores(images, inference="weight-free").sum() == 12 and model.scores(images).sum() == 6
    assert Own().prepare("tiled").inference == "tiled"


def test_no_images():
    model = mlp((64, 10), copies=2, dim=2)
    assert model.predict(np.zeros((0, 1, 8, 8))).shape == (0,)


def test_what_is_kept_is_not_paid_for():
    sizes = {"m": 3000, "n": 2000, "d": 3, "copies": 1, "columns": 1}
    rates = Rates(vector=1e9, pairs=1e8, single=1e7, sorts=1e4)
    assert choose("auto", L1, **sizes, rates=rates) == "dense"
    assert choose("auto", L1, **sizes, rates=rates, kept=True) == "weight-free"
    assert costs(L1, **sizes, rates=rates, kept=True)["weight-free"] == pytest.approx(5000 * 3 / 1e7)
    assert costs(L1, **sizes, rates=rates, kept=True)["dense"] == pytest.approx(6e6 / 1e9)


def test_preparing_refuses_before_it_works():
    layer = Full(np.zeros((1, 3, 1)), np.zeros((1, 2, 1)), [1.0], Kernel())
    with pytest.raises(ValueError, match="expected one of auto"):
        layer.prepare("fast")
    with pytest.raises(ValueError, match="weight-free with"):
        layer.prepare("weight-free")
    with pytest.raises(ValueError, match="columns"):
        layer.prepare(columns=-1)
    with pytest.raises(ValueError, match=r"expected \(batch, 3\)"):
        layer.prepare("tiled")(np.zeros((2, 4)))
