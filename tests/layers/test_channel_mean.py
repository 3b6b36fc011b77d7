"""The mean over images: its values, what it refuses, its file."""

import numpy as np
import pytest

from dynsim.export import run_onnx, save_onnx
from dynsim.layers import ChannelMean, PlainConv, PlainFull
from dynsim.models import Model


def test_definition():
    x = np.random.default_rng(0).normal(size=(5, 3, 7, 6)).astype("f")
    y = ChannelMean().forward(x)
    assert y.dtype == x.dtype
    # one rounding of a mean below one
    np.testing.assert_allclose(y, x.astype(float).mean(axis=(2, 3)), rtol=0, atol=1e-7)


@pytest.mark.parametrize("shape", [(2, 3), (2, 3, 4), (2, 3, 0, 4)])
def test_refusals(shape):
    with pytest.raises(ValueError, match=r"x: got shape .*expected \(batch, channels, at least 1, at least 1\)"):
        ChannelMean().forward(np.ones(shape))


def test_written_to_onnx(tmp_path):
    pytest.importorskip("onnx", reason="needs onnx and onnxruntime: pip install 'dynsim[onnx]'")
    pytest.importorskip("onnxruntime", reason="needs onnx and onnxruntime: pip install 'dynsim[onnx]'")
    g = np.random.default_rng(1)
    first, last = (g.normal(size=shape).astype("f") for shape in ((4, 1, 3, 3), (3, 4)))
    model = Model([PlainConv(first, margin=1), ChannelMean(), PlainFull(last)], {"model": "mine"}, image=(1, 7, 7))
    save_onnx(model, tmp_path / "m.onnx")
    images = g.random((4, 1, 7, 7), dtype=np.float32)
    # 50 products in float32
    np.testing.assert_allclose(run_onnx(tmp_path / "m.onnx", images), model.scores(images), rtol=1e-4, atol=1e-5)
