"""A training or an experiment that is stopped prints the command that goes on, and it goes on."""

import json
import shlex
import signal
import subprocess
import sys
import time

import pytest


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_stopped_training_goes_on_with_resume(tmp_path, number):
    command = [sys.executable, "-m", "dynsim", "train", "mlp", "--data", "digits", "--hidden", "400", "--dim", "8"]
    command += ["--epochs", "60", "--batch", "32", "--json", "-o", str(tmp_path)]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.PIPE)
    while process.poll() is None and not (tmp_path / "training.checkpoint").exists():
        time.sleep(0.01)
    process.send_signal(number)
    error = process.communicate(timeout=60)[1].decode()
    assert process.returncode == 130 and "Traceback" not in error
    go_on = shlex.split(error.partition("with: ")[2])
    assert go_on == ["dynsim", *command[3:], "--resume"]
    command[command.index("60")] = "61"  # another training than the one that was begun
    wrong = subprocess.run([*command, "--resume"], capture_output=True, text=True, check=False)
    assert wrong.returncode == 1 and "another model, data set or number of epochs" in wrong.stderr
    done = subprocess.run([*command[:3], *go_on[1:]], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout)["epochs"] == 60
    lines = (tmp_path / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(line)["epoch"] for line in lines] == list(range(1, 61))


def test_a_stopped_experiment_goes_on_with_what_it_prints(tmp_path):
    (tmp_path / "small.toml").write_text(
        'data = "digits"\nmodel = "mlp"\nseeds = [0, 1]\n[options]\nwidths = [64, 200, 10]\ndim = 4\n'
        "[training.all]\nepochs = 8\nbatch = 32\n[[rows]]\noptions = { copies = 4 }\n"
    )
    command = [sys.executable, "-m", "dynsim", "experiment", "run", str(tmp_path / "small.toml"), "-o"]
    command.append(str(tmp_path / "out"))
    process = subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.PIPE)
    while process.poll() is None and not list(tmp_path.glob("out/runs/*/training.checkpoint")):
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    error = process.communicate(timeout=60)[1].decode()
    assert process.returncode == 130 and "Traceback" not in error
    go_on = shlex.split(error.partition("with: ")[2])
    assert go_on == ["dynsim", *command[3:]]
    done = subprocess.run([*command[:3], *go_on[1:]], capture_output=True, text=True, check=True)
    assert "forces" in done.stdout and len(list(tmp_path.glob("out/runs/*/result.json"))) == 2
