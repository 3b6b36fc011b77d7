"""The table of noise that `evaluate --delta` prints: absolute and relative, of what is stored and of weights."""

import json

import pytest


@pytest.fixture
def model(tmp_path, run):
    assert run("train", "mlp", "--data", "digits", "--hidden", 16, "--epochs", 2, "-o", tmp_path / "made") == 0
    return tmp_path / "made/model.h5"


def test_both_forms_are_measured_under_both_kinds_of_noise(model, run, capsys):
    capsys.readouterr()
    assert run("evaluate", model, "--data", "digits", "--delta", 0.05, "--draws", 3, "--json") == 0
    found = json.loads(capsys.readouterr().out)
    noises = found["noises"]
    assert set(noises) == {"as stored", "as weights"}
    assert noises["as stored"]["absolute"]["mean"] == found["test_accuracy"]  # the same draws
    for ways in noises.values():
        assert set(ways) == {"absolute", "relative"}
        assert 0 <= ways["relative"]["mean"] <= 100
    assert run("evaluate", model, "--data", "digits", "--delta", 0.05, "--draws", 3) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split("  ")[0] for line in lines[-3:]] == ["noise 0.05", "as stored", "as weights"]


def test_no_noise_has_no_table(model, run, capsys):
    capsys.readouterr()
    assert run("evaluate", model, "--data", "digits", "--json") == 0
    assert "noises" not in json.loads(capsys.readouterr().out)
