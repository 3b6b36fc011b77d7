"""A training or an experiment that is stopped prints the command that goes on, and it goes on."""

import json
import shlex
import signal
import subprocess
import sys

import pytest

SECOND_EPOCH = ("training.checkpoint.previous", 1)  # the first epoch's checkpoint makes room for the second one's


def dynsim(*arguments, **options):
    command = [sys.executable, "-m", "dynsim", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, **options)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_stopped_training_goes_on_with_resume(start, tmp_path, number):
    arguments = ["train", "mlp", "--data", "digits", "--hidden", "20", "--epochs", "4", "--json", "-o", str(tmp_path)]
    process = start(*arguments, halt=SECOND_EPOCH)
    process.wait_for((tmp_path / "training.checkpoint").exists)
    error = process.stop(number)[1]
    assert process.returncode == 130 and "Traceback" not in error
    go_on = shlex.split(error.partition("with: ")[2])
    assert go_on == ["dynsim", *arguments, "--resume"]
    other = ["3" if word == "4" else word for word in arguments]  # another training than the one that was begun
    wrong = dynsim(*other, "--resume")
    assert wrong.returncode == 1 and "number of epochs" in wrong.stderr
    done = dynsim(*go_on[1:])
    assert done.returncode == 0 and json.loads(done.stdout)["epochs"] == 4
    lines = (tmp_path / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(line)["epoch"] for line in lines] == [1, 2, 3, 4]


def test_a_stopped_experiment_goes_on_with_what_it_prints(start, tmp_path):
    (tmp_path / "small.toml").write_text(
        'data = "digits"\nmodel = "mlp"\nseeds = [0, 1]\n[options]\nwidths = [64, 20, 10]\ndim = 4\n'
        "[training.all]\nepochs = 3\nbatch = 64\n[[rows]]\noptions = { copies = 4 }\n"
    )
    arguments = ["experiment", "run", str(tmp_path / "small.toml"), "-o", str(tmp_path / "out")]
    process = start(*arguments, halt=SECOND_EPOCH)
    process.wait_for(lambda: list(tmp_path.glob("out/runs/*/training.checkpoint")))
    error = process.stop()[1]
    assert process.returncode == 130 and "Traceback" not in error
    go_on = shlex.split(error.partition("with: ")[2])
    assert go_on == ["dynsim", *arguments]
    done = dynsim(*go_on[1:])
    assert "forces" in done.stdout and len(list(tmp_path.glob("out/runs/*/result.json"))) == 2
