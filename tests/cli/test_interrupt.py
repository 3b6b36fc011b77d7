"""A training that is stopped says how to go on, and goes on."""

import json
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
    assert process.returncode == 130 and "--resume" in error and "Traceback" not in error
    command[command.index("60")] = "61"  # another training than the one that was begun
    wrong = subprocess.run([*command, "--resume"], capture_output=True, text=True, check=False)
    assert wrong.returncode == 1 and "another model, data set or number of epochs" in wrong.stderr
    command[command.index("61")] = "60"
    done = subprocess.run([*command, "--resume"], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout)["epochs"] == 60
    lines = (tmp_path / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(line)["epoch"] for line in lines] == list(range(1, 61))
