"""What `dynsim info` says of a model beside its configuration."""

import json

from dynsim.kernels import Kernel
from dynsim.models import mlp, operations


def test_info_prints_them_with_plan_and_latency(run, tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    model = mlp((16, 8, 4), copies=2, dim=3, kernel=Kernel("linear", "l1"))
    model.save(tmp_path / "model.h5")
    assert run("info", tmp_path / "model.h5", "--plan", "--latency", "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert found["operations"] == operations(model)
    assert found["plan"]["rates"]["file"].endswith("rates.json") and len(found["plan"]["layers"]) == 4
    for row in found["plan"]["layers"]:
        assert row["choice"] == min(row["seconds"], key=row["seconds"].get)
    assert set(found["latency"]) == {"dense", "tiled", "weight-free"}
    assert all(ms > 0 for times in found["latency"].values() for ms in times.values())
    assert run("info", tmp_path / "model.h5", "--plan") == 0
    text = capsys.readouterr().out
    assert f"weight_free {found['operations']['weight_free']}" in text
    assert "layer 1 (16 -> 8), batch 64: " in text
