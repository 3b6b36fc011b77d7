"""`dynsim info`."""

import json
import sys

import numpy as np
import pytest
from click.testing import CliRunner

from dynsim.cli.info import command
from dynsim.errors import DataError, FileError


def invoke(*arguments):
    return CliRunner().invoke(command, [str(a) for a in arguments])


def test_json(write_run):
    path = write_run(frames=7, seed=3, provenance={"outcome": {"echo_gain": 0.5, "message": "done"}})
    result = invoke(path, "--json")
    assert result.exit_code == 0
    found = json.loads(result.stdout)
    assert (found["neurons"], found["dimension"], found["frames"], found["time"]) == (3, 2, 7, 3.0)
    assert (found["copies"], found["signals"], found["groups"], found["seed"]) == (1, 1, 1, 3)
    assert found["echo_gain"] == 0.5 and found["observables"] == {"energy": 6.0}
    assert result.stderr == ""


def test_table(write_run):
    result = invoke(write_run(frames=7, seed=0, parameters={"method": "rk4", "kernel": {"scale": 1.0}}))
    lines = dict(line.split(None, 1) for line in result.stdout.splitlines())
    assert lines["neurons"] == "3" and lines["time"] == "3" and lines["seed"] == "0"
    assert lines["observables"] == "energy 6" and "numpy" in lines["versions"]
    assert lines["parameters"] == 'method rk4, kernel {"scale": 1.0}'


def test_no_frames_and_numbers_that_json_lacks(write_run):
    def not_json(name):
        raise AssertionError(f"{name} is not JSON")

    given = {"x": np.nan, "max_step": np.inf, "delays": [-np.inf, 1.0]}
    printed = invoke(write_run(frames=0, parameters=given), "--json").stdout
    found = json.loads(printed, parse_constant=not_json)
    assert found["frames"] == 0 and found["time"] is None
    assert found["parameters"] == {"x": None, "max_step": None, "delays": [None, 1.0]}


def test_models_describe_themselves(tmp_path):
    from dynsim.models import count, mlp

    model = mlp((6, 4, 3), copies=2, dim=2)
    model.save(tmp_path / "model.h5")
    counts = count(model)
    assert json.loads(invoke(tmp_path / "model.h5", "--json").stdout)["parameters"] == counts
    assert f"memory {counts['memory']}, disk {counts['disk']}" in invoke(tmp_path / "model.h5").stdout


def test_errors_are_left_to_the_root(tmp_path, write_run):
    (tmp_path / "a.txt").write_text("no HDF5 here")
    assert isinstance(invoke(tmp_path / "a.txt").exception, DataError)
    assert isinstance(invoke(tmp_path / "nowhere.h5").exception, FileNotFoundError)
    path = write_run()
    path.write_bytes(path.read_bytes()[:5000])
    assert isinstance(invoke(path).exception, FileError)


@pytest.mark.parametrize("module", ["info", "animate", "plot"])
def test_help_is_light(module):
    import subprocess

    code = (
        f"import sys; from dynsim.cli.{module} import command; command(['--help'], standalone_mode=False); "
        "assert not {'h5py', 'numba', 'matplotlib'} & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "Examples" in done.stdout
