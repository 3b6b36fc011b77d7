"""dynsim validate and dynsim export."""

import json
import re

import h5py
import numpy as np
import pytest

from dynsim._files import seal
from dynsim.cli import main
from dynsim.errors import DataError
from dynsim.trajectory import Trajectory, TrajectoryWriter, resume, to_extxyz, validate


def call(*arguments):
    with pytest.raises(SystemExit) as stop:
        main([str(argument) for argument in arguments])
    return stop.value.code


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "run.h5"
    assert call("simulate", "--preset", "pulse", "--until", 0.5, "--checkpoint", 0, "-o", path) == 0
    return path


def test_a_sound_file(path, capsys):
    assert validate(path) == [] and call("validate", path) == 0
    assert capsys.readouterr().out.endswith("sound\n")


def test_what_a_kill_leaves_behind_and_other_damage_is_found(path, tmp_path, capsys):
    with h5py.File(path, "r+") as file:
        file["particles/native/position/value"].resize(20, axis=0)
        del file["parameters/outcome"]
    findings = validate(path)
    assert any("behind the last whole one" in f for f in findings) and any("dynsim resume" in f for f in findings)
    (tmp_path / "run.h5.checkpoint").write_bytes(b"nothing")
    (tmp_path / "run.h5.checkpoint.previous").unlink(missing_ok=True)
    assert any(f.startswith("checkpoint") for f in validate(path))
    assert call("validate", path, "--json") == 4 and '"sound": false' in capsys.readouterr().out


def test_a_configuration_of_other_sizes_is_not_built(path, monkeypatch):
    with h5py.File(path, "r+") as file:
        stored = file["parameters/configuration"]
        parameters = json.loads(stored.asstr()[()])
        parameters["config"]["groups"][0]["neurons"] = 10**7
        del file["parameters/configuration"]
        file["parameters/configuration"] = json.dumps(parameters)
        seal(file["parameters/configuration"])
    for module in ("_system.System", "_configuration.draw_places"):
        monkeypatch.setattr(f"dynsim.engine.{module}", lambda *_: pytest.fail("it is built"))
    words = r"neurons of the configuration: got 10,000,0\d\d; expected 48, as its file has"
    assert any(re.search(words, finding) for finding in validate(path))
    with pytest.raises(DataError, match=words):
        resume(path)
    with Trajectory(path) as trajectory, pytest.raises(ValueError, match=words):
        trajectory.plot("energy")


def test_numbers_that_are_not_finite_are_found(tmp_path):
    path = tmp_path / "run.h5"
    with TrajectoryWriter(path, neurons=2, dimension=3) as writer:
        for step in range(300):
            q = np.zeros((2, 3))
            q[1, 2] = np.inf if step in (170, 299) else 0.0
            writer.write(step, float(step), q)
    assert validate(path) == ["places: frame 170 is the first of 2 with numbers that are not finite"]


@pytest.mark.parametrize("dimension", [1, 2, 3, 5])
def test_extended_xyz_holds_every_number(tmp_path, dimension):
    path, out = tmp_path / "run.h5", tmp_path / "run.xyz"
    generator = np.random.default_rng(dimension)
    with TrajectoryWriter(path, neurons=2, dimension=dimension, copies=2, signals=1, groups=[0, 7]) as writer:
        for step in range(3):
            shape = (2, 2, dimension)
            writer.write(step, 0.1 * step, generator.normal(size=shape), [[1.0], [2.0]], [[3.0], [step]])
    assert to_extxyz(path, out) == 3
    lines = out.read_text().splitlines()
    assert len(lines) == 3 * (2 + 4) and lines[0] == "4" and 'pbc="F F F"' in lines[1]
    with Trajectory(path) as trajectory:
        for frame in range(3):
            for particle in range(4):
                words = lines[frame * 6 + 2 + particle].split()
                q = trajectory.q[frame][particle]
                assert [float(w) for w in words[1 : 1 + min(3, dimension)]] == q[:3].tolist()
                assert int(words[4]) == (0, 7)[particle % 2]
                if dimension > 3:
                    assert [float(w) for w in words[5 : 5 + dimension]] == q.tolist()
                assert [float(w) for w in words[-2:]] == [(3.0, frame)[particle % 2], (1.0, 2.0)[particle % 2]]
    with pytest.raises(FileExistsError):
        to_extxyz(path, out)


def test_the_command(path, tmp_path, capsys):
    assert call("export", path, "-o", tmp_path / "out.xyz") == 0
    assert "26 frames" in capsys.readouterr().out
    assert call("export", path, "-o", tmp_path / "out.pdf") == 2


def test_ase_reads_what_was_written(path, tmp_path):
    ase_io = pytest.importorskip("ase.io", reason="needs ASE, which is no dependency")
    to_extxyz(path, tmp_path / "run.xyz")
    frames = ase_io.read(tmp_path / "run.xyz", index=":")
    with Trajectory(path) as trajectory:
        assert np.array_equal(frames[-1].positions, trajectory.q[-1])
