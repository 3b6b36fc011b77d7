"""dynsim simulate: files, settings, the dry run, and what is refused."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest

from dynsim.trajectory import Trajectory

CONFIG = """
seed = 3
dimension = 2
delay = 0.5

[kernel]
profile = "gaussian"
length = 2.0

[operators]
A = 0.5
B = [[1.0, 0.0]]
F = -1.0

[[groups]]
name = "input"
places = [[0.0, 0.0], [1.0, 0.0]]
clamped = { kind = "sine", frequency = 1.0 }

[[groups]]
name = "output"
neurons = 3
places = { kind = "uniform", low = [1.0, 0.0], high = 2.0 }
drive = 0.25

[strengths]
"input->output" = 1.5

[run]
until = 2.0
frames = 21
"""


@pytest.fixture
def config(tmp_path):
    path = tmp_path / "run.toml"
    path.write_text(CONFIG)
    return path


def test_a_file_becomes_a_trajectory(run, config, tmp_path, capsys):
    assert run("simulate", config, "-o", tmp_path / "run.h5", "--json") == 0
    report = json.loads(capsys.readouterr().out)
    assert {key: report[key] for key in ("neurons", "dimension", "frames", "time", "seed")} == {
        "neurons": 5, "dimension": 2, "frames": 21, "time": 2.0, "seed": 3,
    }  # fmt: skip
    with Trajectory(tmp_path / "run.h5") as trajectory:
        assert np.array_equal(trajectory.q[0, :2], [[0, 0], [1, 0]])
        assert trajectory.parameters["config"]["kernel"]["softening"] == 0.0
        times, E = trajectory.time[:], trajectory.E[:]
    np.testing.assert_allclose(E[:, 0, 0], np.sin(2 * np.pi * times), atol=1e-12)


def test_settings_change_one_value(run, config, tmp_path, capsys):
    settings = ["--set", "groups.output.neurons=7", "--set", "kernel.profile=linear", "--until", 0.5, "--seed", 4]
    assert run("simulate", config, *settings, "--dry-run", "--json") == 0
    report = json.loads(capsys.readouterr().out)
    changed = report["config"]
    assert report["neurons"] == 9 and changed["seed"] == 4
    assert changed["kernel"]["profile"] == "linear" and changed["run"]["until"] == 0.5


def test_the_longest_and_the_first_step(run, config, tmp_path, capsys):
    path = tmp_path / "run.h5"
    assert run("simulate", config, "-o", path, "--max-step", 0.05, "--first-step", 0.01) == 0
    with Trajectory(path) as trajectory:
        stored = trajectory.parameters["config"]["run"]
        assert (stored["max_step"], stored["first_step"]) == (0.05, 0.01)
        assert trajectory.provenance["outcome"]["naccepted"] >= 40
    capsys.readouterr()
    assert run("simulate", config, "-o", path, "--overwrite", "--max-step", 0.0) == 1
    assert "--max-step: got 0.0; expected a finite number above 0" in capsys.readouterr().err


def test_the_dry_run_says_what_a_run_costs_and_runs_nothing(run, config, tmp_path, capsys):
    assert run("simulate", config, "--dry-run", "-o", tmp_path / "run.h5", "--json") == 0
    costs = json.loads(capsys.readouterr().out)
    assert not (tmp_path / "run.h5").exists()
    assert costs["frames"] == 21 and costs["file_bytes"] == 8 * 21 * (5 * 2 + 5 * 3 + 2 * 5)
    # No arrow leads to a layer that itself is heard: nothing comes back.
    assert costs["echo_gain"] == pytest.approx(0.0, abs=1e-12) and costs["seconds"] > 0
    assert run("simulate", config, "--dry-run") == 0
    assert "memory_bytes" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("[kernel]", "[kernal]", "'kernal'; did you mean 'kernel'"),
        ("length", "lenght", "did you mean 'length'"),
        ("A = 0.5", "G = 0.5", "operators: got unknown key 'G'"),
        ("neurons = 3", "nuerons = 3", "did you mean 'neurons'"),
        ("neurons = 3", "neurons = -3", "neurons of output: got -3"),
        ("neurons = 3", "neurons = 1000000000000000", "the memory of this machine"),
        ("until = 2.0", "untill = 2.0", "did you mean 'until'"),
        ("until = 2.0", "until = -2.0", "expected start < until"),
        ("until = 2.0", "until = nan", "run until: got nan"),
        ("until = 2.0", 'until = 2.0\nmethod = "rk5"', "expected one of"),
        ("frames = 21", "frames = 21\nevery = 2", "expected one of them"),
        ("0.0, 0.0", "nan, 0.0", "places of input: entry (0, 0) is nan"),
        ("frequency", "frequence", "did you mean 'frequency'"),
        ('"sine"', '"sinus"', "kind: got 'sinus'"),
        ("input->output", "input->outptu", "did you mean 'input->output'"),
        ("low = [1.0, 0.0]", "low = 3.0", "expected low <= high"),
        ("seed = 3", "seed = -1", "seed: got -1"),
        ("seed = 3", "seed = ", "not TOML"),
    ],
)
def test_wrong_files_are_one_sentence(run, tmp_path, capsys, old, new, words):
    assert old in CONFIG
    (tmp_path / "wrong.toml").write_text(CONFIG.replace(old, new, 1))
    assert run("simulate", tmp_path / "wrong.toml", "-o", tmp_path / "run.h5") == 1
    message = capsys.readouterr().err
    assert words in message and "Traceback" not in message and "Internal" not in message


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["--preset", "pulse", "--set", "delay"], 2, "expected KEY=VALUE"),
        (["--preset", "pulse", "--set", "groups.layer7.neurons=1"], 2, "layer7"),
        (["--preset", "pulse", "--set", "delay.x.y=1"], 2, "a table"),
        (["--preset", "pulse", "--set", "groups.²=5"], 2, "--set: got '²' in"),
        (["--preset", "pulse", "--set", "groups." + 5000 * "9" + "=5"], 2, "expected one of 0, 1"),
        (["--preset", "pulse", "--set", "run.until=5\nkernel.length=3"], 2, "--set run.until: got several lines"),
        (["--preset", "pulse", "--set", "groups=" + 3000 * "["], 1, "--set groups: got lists or tables nested"),
        (["--preset", "pulse", "--set", "kernel=" + 3000 * "{a="], 1, "--set kernel: got lists or tables nested"),
        (["--preset", "pulse", "--set", "kernel" + 3000 * ".a" + "=1"], 1, "configuration: got lists or tables nested"),
        (["--preset", "pulse", "--set", "seed=" + 5000 * "9"], 1, "--set seed: got a whole number of thousands of"),
        (["--preset", "pulse"], 2, "-o: got none"),
        ([], 2, "CONFIG.toml, --preset NAME: got none"),
        (["nowhere.toml", "-o", "run.h5"], 1, "nowhere.toml does not exist"),
        (["--preset", "pulse", "-o", "no/such/run.h5"], 1, "no/such"),
    ],
)
def test_wrong_arguments_are_one_sentence(run, tmp_path, monkeypatch, capsys, arguments, code, words):
    monkeypatch.chdir(tmp_path)
    assert run("simulate", *arguments) == code
    message = capsys.readouterr().err
    assert words in message and "Traceback" not in message and "Internal" not in message


MEET = """
dimension = 1
[operators]
A = 0.1
D = 1.0
[[groups]]
neurons = 2
places = [[0.0], [0.0]]
drive = 1.0
[run]
until = 1.0
"""


def test_a_run_that_fails_at_its_start_says_what_python_says(run, tmp_path, capsys):
    path = tmp_path / "meet.toml"
    path.write_text(MEET)
    for more in (["--dry-run"], ["--dry-run", "--json"], ["-o", tmp_path / "meet.h5"]):
        assert run("simulate", path, *more) == 3
        assert "Two neurons meet where phi is infinite: give the kernel a softening." in capsys.readouterr().err
    assert run("simulate", path, "--set", "kernel.softening=0.5", "--dry-run") == 0


FAR = "profile = 'gaussian', length = 1e150"  # phi is the scale everywhere
FAILS = {
    "a singular field": f"operators = {{A = 2.0, F = -1.0}}\nkernel = {{{FAR}, scale = 0.5}}\n",
    "no solution": f"operators = {{A = 5.0, activation = 'softplus', F = -1.0}}\nkernel = {{{FAR}, scale = 2.0}}\n",
}


@pytest.mark.parametrize("case", FAILS)
def test_fields_without_a_solution_at_the_start_are_named(run, tmp_path, capsys, case):
    path = tmp_path / "fails.toml"
    groups = "groups = [{neurons = 2, places = [[0.0], [1.0]], drive = 1.0}]\nrun = {until = 1.0}\n"
    path.write_text(f"dimension = 1\n{groups}{FAILS[case]}")
    said = []
    for more in (["--dry-run"], ["--dry-run", "--json"], ["-o", tmp_path / "run.h5"]):
        assert run("simulate", path, *more) == 1
        said.append(capsys.readouterr().err)
    assert "Failed at t = 0" in said[0] and "weaken A, C or lambda, or give a delay" in said[0]
    assert said[0] == said[1] == said[2] and "Internal" not in said[0]


@pytest.mark.parametrize("frames", [1_000_000_000, 2_000_000_000])
def test_estimates_take_no_memory_for_frames(frames):
    """In a process that gets one GiB more than it has."""
    code = (
        "import resource\nfrom dynsim.cli import main\nimport dynsim.engine, dynsim.trajectory\n"
        "now = int(open('/proc/self/statm').read().split()[0]) * resource.getpagesize()\n"
        "resource.setrlimit(resource.RLIMIT_AS, (now + 2**30, resource.RLIM_INFINITY))\n"
        f"main(['simulate', '--preset', 'pair', '--set', 'run.frames={frames}', '--dry-run', '--json'])"
    )
    if not os.path.exists("/proc/self/statm"):
        pytest.skip("needs a system that says how much memory is taken")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["frames"] == frames


def test_what_a_fixed_echo_gain_does_is_said(run, tmp_path, capsys):
    euler = ["--set", "run.method=euler", "--set", "run.dt=0.1", "--set", "run.every=100"]
    assert run("simulate", "--preset", "stable", "--set", "operators.A=0.1", *euler, "--dry-run", "--json") == 0
    printed = capsys.readouterr()
    assert json.loads(printed.out)["echo_gain"] == pytest.approx(0.8)
    assert "operators.A does not change the gain; --set echo_gain=... does" in printed.err
    assert run("simulate", "--preset", "echo", *euler, "-o", tmp_path / "echo.h5") == 3
    assert "echo_gain = 3 sets the strengths: lower that" in capsys.readouterr().err
    assert run("simulate", "--preset", "echo", "--set", "echo_gain=0.9", *euler, "-o", tmp_path / "fine.h5") == 0
