"""What makes the command line comfortable: doctor, cite, completion, dry runs, and what is said on a terminal."""

import contextlib
import json
import os
import pty
import shutil
import subprocess
import sys
import termios
from pathlib import Path

import pytest

import dynsim
from dynsim.cli import _installation_checks
from dynsim.cli._installation_checks import requirements
from dynsim.cli._references import DATA, INTEGRATORS, MOTIONS, REFERENCES, bibtex, text, used
from dynsim.cli._root import command_names
from dynsim.datasets import NAMES
from dynsim.engine import METHODS

MAIN = "from dynsim.cli import main; main()"
# What compiles in seconds.
ORDINARY = ["train", "mlp", "--weights", "--data", "digits", "--hidden", "8", "--epochs", "1"]
TINY = ["train", "mlp", "--data", "digits", "--hidden", "8", "--copies-fc", "2", "--dim", "3", "--epochs", "2"]


def test_doctor_finds_this_installation_well(run, capsys):
    assert run("doctor", "--json") == 0
    report = json.loads(capsys.readouterr().out)
    found = {(finding["section"], finding["name"]): finding for finding in report["findings"]}
    assert report["well"] and found["compute", "kernels"]["status"] == "ok"
    for requirement in requirements()[""]:
        assert found["packages", requirement.name]["status"] == "ok"
    assert {name for section, name in found if section == "data"} == {"searched", *NAMES}
    for finding in report["findings"]:
        assert finding["remedy"] or finding["status"] == "ok"
    assert run("doctor") == 0 and "All that is needed is there." in capsys.readouterr().out


def test_doctor_ends_with_1_only_for_what_is_needed(run, monkeypatch, capsys):
    def installed(name):
        return {"scipy": None, "numpy": "1.0"}.get(name, real(name))

    real = _installation_checks.installed
    monkeypatch.setattr(_installation_checks, "installed", lambda name: None if name == "distributed" else real(name))
    assert run("doctor") == 0
    assert "pip install 'dynsim[sweep]'" in capsys.readouterr().out
    monkeypatch.setattr(_installation_checks, "installed", installed)
    assert run("doctor", "--json") == 1
    findings = {finding["name"]: finding for finding in json.loads(capsys.readouterr().out)["findings"]}
    assert findings["scipy"]["status"] == findings["numpy"]["status"] == "broken"
    assert "pip install 'scipy" in findings["scipy"]["remedy"] and "1.0; >=" in findings["numpy"]["found"]


def test_everything_that_can_be_used_can_be_cited(run, tmp_path, capsys):
    assert run("cite") == 0
    assert "Zhengqi Pei and Shuhui Wang" in capsys.readouterr().out
    assert run("simulate", "--preset", "cluster", "--until", 0.1, "-o", tmp_path / "run.h5") == 0
    capsys.readouterr()
    assert run("cite", tmp_path / "run.h5", "--json") == 0
    keys = [entry["key"] for entry in json.loads(capsys.readouterr().out)]
    assert keys == ["dynsim", "pei2023", "dormand1980", "shampine1986", "bellen2003", "debuyl2014"]
    assert run(*TINY, "-o", tmp_path / "out") == 0
    capsys.readouterr()
    assert run("cite", tmp_path / "out/model.h5", "--bibtex") == 0
    printed = capsys.readouterr().out
    assert all(f"{{{key}," in printed for key in ("dynsim", "pei2023", "kingma2015", "ioffe2015", "alpaydin1998"))
    assert printed.count("{") == printed.count("}")
    model = dynsim.models.compact(channels=2, weights=True, form="separable")
    model.results["distillation"] = {"share": 0.9, "temperature": 4.0}
    model.save(tmp_path / "separable.h5")
    assert run("cite", tmp_path / "separable.h5") == 0
    printed = capsys.readouterr().out
    assert "MobileNets" in printed and "Distilling the Knowledge" in printed
    assert run("cite", tmp_path / "out/training.h5") == 0
    # A method that the table does not know is cited by what its own file says.
    for key in {*REFERENCES, *METHODS}:
        assert len(text(key)) > 20 and bibtex(key).endswith("}")
    for table in (INTEGRATORS, MOTIONS, DATA):
        assert {key for keys in table.values() for key in keys} <= set(REFERENCES)
    l1 = {"kernel": {"profile": "linear", "metric": "l1"}}
    assert "indyk2022" in dict(used(l1)) and dynsim.__version__ in text("dynsim")


def completed(words, instruction="bash_complete"):
    """What the shell would be offered for the last of `words`."""
    environment = os.environ | {
        "_DYNSIM_COMPLETE": instruction, "COMP_WORDS": " ".join(["dynsim", *words]), "COMP_CWORD": str(len(words)),
    }  # fmt: skip
    done = subprocess.run([sys.executable, "-c", MAIN], env=environment, capture_output=True, text=True, check=False)
    return done.stdout


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_shells_get_a_script(shell):
    script = completed([], f"{shell}_source")
    assert f"_DYNSIM_COMPLETE={shell}_complete" in script


def test_commands_and_options_complete():
    assert {line.split(",")[1] for line in completed([""]).split()} == set(command_names())
    assert completed(["si"]).split() == ["plain,simulate"]
    assert completed(["data", "f"]).split() == ["plain,fetch"]
    assert "plain,--dry-run" in completed(["train", "--d"]).split()
    assert {"plain,forces", "plain,fit", "plain,alternating"} == set(completed(["train", "--method", ""]).split())


def test_a_dry_run_of_a_training_trains_nothing(run, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert run(*TINY, "--shift", 1, "--dry-run", "--json") == 0
    report = json.loads(capsys.readouterr().out)
    assert report["settings"]["epochs"] == 2 and report["settings"]["augment"] == {"shift": 1.0, "rotation": 0.0}
    # 1437 images, a tenth of them held out, in batches of 32: 40 an epoch.
    assert report["steps"] == 80 and report["seconds"] > 0 and report["memory_bytes"] > 1437 * 64 * 4
    assert report["parameters"]["memory"] == 3 * 2 * (64 + 8 + 10) + 2 * 2 + 8 + 10
    assert run(*TINY, "--method", "fit", "--dry-run") == 0
    assert "seconds" in capsys.readouterr().out and not list(tmp_path.iterdir())
    assert run(*TINY) == 2
    assert "-o: got none" in capsys.readouterr().err


def test_a_dry_run_of_an_experiment_says_what_is_left(run, tmp_path, capsys):
    (tmp_path / "small.toml").write_text(
        'data = "digits"\nmodel = "mlp"\nseeds = [0, 1]\nmethods = ["weights", "forces"]\n'
        "[options]\nwidths = [64, 8, 10]\ndim = 2\n[training.all]\nepochs = 1\n[[rows]]\noptions = { copies = 2 }\n"
    )
    arguments = ("experiment", "run", tmp_path / "small.toml", "--dry-run", "-o", tmp_path / "out")
    assert run(*arguments, "--json") == 0
    report = json.loads(capsys.readouterr().out)
    assert [row["name"] for row in report["trainings"]] == [
        "weights-seed0", "weights-seed1", "forces-row0-seed0", "forces-row0-seed1",
    ]  # fmt: skip
    assert report["seconds"] > 0
    assert report["seconds"] == pytest.approx(sum(row["seconds"] for row in report["trainings"]))
    assert not (tmp_path / "out").exists()
    assert run(*arguments[:3], "-o", tmp_path / "out") == 0
    assert run(*arguments, "--json") == 0
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["seconds"] == 0


def on_a_terminal(arguments, **environment):
    """What a command writes to stderr where that is a terminal."""
    leader, follower = pty.openpty()
    termios.tcsetwinsize(follower, (24, 100))
    process = subprocess.Popen(
        [sys.executable, "-c", MAIN, *arguments],
        stdout=subprocess.DEVNULL, stderr=follower, env=os.environ | environment,
    )  # fmt: skip
    os.close(follower)
    parts = []
    with contextlib.suppress(OSError):  # the other end was closed
        while part := os.read(leader, 65536):
            parts.append(part)
    os.close(leader)
    assert process.wait() == 0
    return b"".join(parts).decode()


def test_compiling_is_announced_once_and_kept(tmp_path):
    arguments = [*ORDINARY, "--overwrite", "-o", str(tmp_path / "out")]
    cache = {"NUMBA_CACHE_DIR": str(tmp_path / "cache")}
    assert on_a_terminal(arguments, **cache).count("Compiling kernels") == 1
    assert "Compiling" not in on_a_terminal(arguments, **cache)
    quiet = subprocess.run(
        [sys.executable, "-c", MAIN, *arguments], env=os.environ | {"NUMBA_CACHE_DIR": str(tmp_path / "other")},
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert "Compiling" not in quiet.stderr and "Compiling" not in quiet.stdout


def test_bars_show_rate_and_time_left_on_terminals_only(tmp_path):
    arguments = ["train", "mlp", "--data", "digits", "--hidden", "8", "--epochs", "2", "--overwrite"]
    arguments += ["-o", str(tmp_path / "out")]
    shown = on_a_terminal(arguments)
    assert "batch/s" in shown and "<" in shown and "epoch=2" in shown
    done = subprocess.run([sys.executable, "-c", MAIN, *arguments], capture_output=True, text=True, check=True)
    first, second = done.stderr.splitlines()
    assert first.startswith("epoch 1 of 2   loss ") and second.startswith("epoch 2 of 2   loss ")


def test_without_a_folder_for_the_cache_it_works_and_names_the_remedy(tmp_path):
    # Root may write anywhere, so folders are made impossible by files in their places.
    shutil.copytree(Path(dynsim.__file__).parent, tmp_path / "dynsim", ignore=shutil.ignore_patterns("__pycache__"))
    for room in ("kernels", "layers", "engine"):
        (tmp_path / "dynsim" / room / "__pycache__").touch()
    (tmp_path / "file").touch()
    home = {"HOME": str(tmp_path / "file"), "XDG_CACHE_HOME": str(tmp_path / "file/cache")}
    done = subprocess.run(
        [sys.executable, "-B", "-m", "dynsim", *ORDINARY, "-o", "out"],
        env={k: v for k, v in os.environ.items() if k != "NUMBA_CACHE_DIR"} | home | {"PYTHONPATH": str(tmp_path)},
        cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("NUMBA_CACHE_DIR") == 1 and done.stdout.count("NUMBA_CACHE_DIR") == 0
