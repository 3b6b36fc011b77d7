"""A layer of one's own: trained, counted, saved and written to ONNX by what its class says."""

import numpy as np
import pytest

from dynsim.layers import Flatten, Layer, Parameter, PlainFull
from dynsim.models import Model, count, operations


class Gain(Layer):
    """A factor for every signal, and a counter beside it."""

    def __init__(self, n):
        self.gain = Parameter(np.linspace(0.5, 1.5, n), "norm")
        self.calls = np.zeros(1)

    @property
    def buffers(self):
        return {"calls": self.calls}

    def forward(self, x, training=False):
        self.memory = x
        return x * self.gain.value

    def backward(self, dy):
        self.gain.add((dy * self.memory).sum(axis=0))
        return dy * self.gain.value

    def to_onnx(self, graph, x):
        return graph.add("Mul", x, graph.constant(self.gain.value))


@pytest.fixture
def model():
    weights = np.random.default_rng(0).normal(size=(3, 4))
    return Model([Flatten(), Gain(4), PlainFull(weights, np.ones(3))], {"model": "mine"}, image=(1, 2, 2))


def test_parameters_and_buffers_are_found(model):
    assert list(model.arrays) == ["1.gain", "2.weights", "2.bias", "1.calls"]
    assert count(model)["stored_floats"] == 4 + 12 + 3 + 1 and operations(model)["dense"] == 12


def test_it_is_written_to_onnx(model, tmp_path):
    pytest.importorskip("onnx", reason="needs onnx and onnxruntime: pip install 'dynsim[onnx]'")
    pytest.importorskip("onnxruntime", reason="needs onnx and onnxruntime: pip install 'dynsim[onnx]'")
    from dynsim.export import run_onnx, save_onnx

    save_onnx(model, tmp_path / "m.onnx")
    images = np.random.default_rng(1).random((5, 1, 2, 2), dtype=np.float32)
    np.testing.assert_allclose(run_onnx(tmp_path / "m.onnx", images), model.scores(images), rtol=1e-5)


def test_what_a_layer_lacks_is_named(model, tmp_path):
    with pytest.raises(TypeError, match=r"layers: got object .* expected a Layer"):
        Model([object()], {})
    with pytest.raises(TypeError, match="Gain has no weights"):
        Gain(2).materialize()
    with pytest.raises(TypeError, match=r"Layer cannot be written as ONNX; give it a method to_onnx"):
        Layer().to_onnx(None, "x")
