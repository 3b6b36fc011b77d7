"""Converted modules as ONNX: onnxruntime says what they say."""

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs PyTorch: pip install 'dynsim[torch]'")
needs_onnx = "needs onnx, onnxruntime and onnxscript: pip install 'dynsim[onnx]'"
pytest.importorskip("onnxscript", reason=needs_onnx)
onnxruntime = pytest.importorskip("onnxruntime", reason=needs_onnx)
nn = torch.nn


class Tokens(nn.Module):
    """A transformer's block between convolutions and scores."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, 16, 4, stride=4)
        self.block = nn.TransformerEncoderLayer(16, 2, 24, batch_first=True, dropout=0.0)
        self.head = nn.Linear(16, 5)

    def forward(self, x):
        return self.head(self.block(self.stem(x).flatten(2).transpose(1, 2)).mean(1))


def networks():
    yield nn.Sequential(
        nn.Conv2d(3, 12, 3, padding=1), nn.BatchNorm2d(12), nn.ReLU(), nn.Conv2d(12, 12, 3, stride=2, groups=2),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(12, 5),
    )  # fmt: skip
    yield Tokens()


@pytest.mark.parametrize("number", [0, 1])
def test_onnxruntime_says_the_same(number, tmp_path):
    from dynsim.torch import convert, save_onnx

    torch.manual_seed(number)
    module, report = convert(list(networks())[number].eval(), copies=1, dim=2, steps=2)
    assert sum(layer.converted for layer in report.layers) >= 2
    x, path = torch.rand(3, 3, 16, 16), tmp_path / "m.onnx"
    assert save_onnx(module, path, example=x) == path.stat().st_size
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    for batch in (3, 1):
        with torch.no_grad():
            expected = module.eval()(x[:batch]).numpy()
        found = session.run(None, {"images": x[:batch].numpy()})[0]
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5 * max(1.0, np.abs(expected).max()))
