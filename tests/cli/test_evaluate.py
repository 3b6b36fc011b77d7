"""What `dynsim evaluate` says of an answer without weights."""

import json

import numpy as np

from dynsim.kernels import Kernel
from dynsim.models import mlp


def test_predictions_without_weights_are_compared_with_those_with_weights(run, tmp_path, capsys, monkeypatch):
    model = mlp((64, 12, 10), copies=2, dim=3, kernel=Kernel("linear", "l1"))
    model.save(tmp_path / "model.h5")
    arguments = "evaluate", tmp_path / "model.h5", "--data", "digits", "--json", "--inference"
    assert run(*arguments, "weight-free") == 0
    found = json.loads(capsys.readouterr().out)
    assert found["predictions_as_dense"] == found["images"] > 100
    assert run(*arguments, "dense") == 0
    assert "images" not in json.loads(capsys.readouterr().out)
    # and it can tell: another answer is another number
    predict = type(model).predict
    monkeypatch.setattr(
        type(model),
        "predict",
        lambda self, images, way="dense": (
            predict(self, images) + (way != "dense") * np.eye(1, len(images), dtype=int)[0]
        ),
    )
    assert run(*arguments, "weight-free") == 0
    found = json.loads(capsys.readouterr().out)
    assert found["predictions_as_dense"] == found["images"] - 1
