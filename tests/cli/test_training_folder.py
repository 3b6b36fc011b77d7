"""The folder of a training: what is in it at any time, who may write into it, and who follows."""

import json
import signal
import subprocess
import sys

import numpy as np
import pytest

from dynsim.datasets import FILES, load
from dynsim.models import load_model
from dynsim.trajectory import TrainingProgress, load_checkpoint

TINY = ["train", "mlp", "--data", "digits", "--hidden", "12", "--copies-fc", "2", "--dim", "3", "--batch", "200"]
FIRST = ("metrics.jsonl", 1)  # made when all is checked and nothing is trained
SECOND_EPOCH = ("training.checkpoint.previous", 1)


def contents(folder):
    """All files but those that are being written."""
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.name[0] != "."}


def lines(folder):
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def halted_in(process, folder):
    """Wait until all of the second epoch is written but its checkpoint, before which the training halts."""
    process.wait_for((folder / "training.checkpoint").exists)
    process.wait_for(lambda: len(lines(folder)) == 2)


@pytest.fixture
def halted(start, tmp_path):
    """A training that has finished an epoch, and waits."""
    folder = tmp_path / "out"
    process = start(*TINY, "--epochs", 3, "-o", folder, halt=SECOND_EPOCH)
    halted_in(process, folder)
    return process, folder


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_a_stopped_training_leaves_its_best_model(halted, run, capsys, number):
    process, folder = halted
    error = process.stop(number)[1]
    if number == signal.SIGKILL:
        assert process.returncode == -signal.SIGKILL
    else:
        assert process.returncode == 130 and "Traceback" not in error
        assert f"{folder / 'model.h5'} is that of epoch" in error and "--resume" in error
        assert all((folder / name).read_bytes()[1:4] == b"PNG" for name in ("paths.png", "learning.png"))
    assert [entry["epoch"] for entry in lines(folder)] == [1, 2] and load_checkpoint(folder / "training.checkpoint")
    assert run("evaluate", folder / "model.h5", "--data", "digits", "--json") == 0
    assert json.loads(capsys.readouterr().out)["test_accuracy"] > 0
    best = max(entry["validation_accuracy"] for entry in lines(folder))
    assert load_model(folder / "model.h5").results["validation_accuracy"] == best
    # Where stderr is no terminal, every epoch that is finished is a line of it.
    assert error.count("   held-out accuracy ") == 1 and error.startswith("epoch 1 of 3   loss ")


@pytest.mark.parametrize("options", [[], ["--overwrite"], ["--resume"], ["--weights", "--overwrite"]])
def test_a_second_training_into_the_folder_is_refused(halted, run, capsys, options):
    process, folder = halted
    before = contents(folder)
    assert run(*TINY, "--epochs", 3, "-o", folder, *options) == 1
    assert f"{folder} is in use: process {process.pid} trains into it" in capsys.readouterr().err
    assert contents(folder) == before
    process.stdin.close()
    assert process.wait() == 0
    assert len(lines(folder)) == 3


def test_ordinary_networks_and_other_methods_hold_their_folder_too(start, run, tmp_path, capsys):
    for name, options in (("weights", ["--weights"]), ("fit", ["--method", "fit"])):
        folder = tmp_path / name
        process = start(*TINY, "--epochs", 3, "-o", folder, *options, halt=SECOND_EPOCH)
        halted_in(process, folder)
        before = contents(folder)
        assert run(*TINY, "--epochs", 3, "-o", folder, *options, "--overwrite") == 1
        assert "is in use" in capsys.readouterr().err and contents(folder) == before
        process.stop()


def test_a_training_that_is_stopped_before_its_first_epoch_leaves_nothing(start, tmp_path):
    process = start(*TINY, "-o", tmp_path / "out", halt=FIRST)
    # The file that is about to get its name: from here on nothing runs until the signal.
    process.wait_for(lambda: any((tmp_path / "out").glob(".metrics-*")))
    error = process.stop()[1]
    assert process.returncode == 130 and "nothing was kept" in error
    assert not (tmp_path / "out").exists()


def test_a_training_is_followed(halted, start, run, capsys):
    process, folder = halted
    watcher = start("watch", folder, "--json", "--every", "0.05")
    first = json.loads(watcher.stdout.readline())
    assert first["running"] and first["epochs"] == 3 and first["epoch"] == 1 and 0 < first["progress"] < 1
    assert run("watch", folder, "--once") == 0
    said = capsys.readouterr().out
    assert said.startswith("epoch 1 of 3   33.3 %   held-out accuracy ") and "loss" in said
    process.stdin.close()
    last = json.loads(watcher.communicate()[0].splitlines()[-1])
    assert not last["running"] and last["status"] == 0 and last["message"].startswith("Test accuracy ")
    assert run("watch", folder) == 0
    assert "Test accuracy" in capsys.readouterr().out


@pytest.mark.parametrize("earlier", [False, True])
def test_a_training_that_holds_its_folder_and_has_not_begun_is_alive(start, run, tmp_path, capsys, earlier):
    if earlier:
        with TrainingProgress(tmp_path) as progress:
            progress.begin(epochs=2)
            progress.end(0, "the earlier one")
    with TrainingProgress(tmp_path) as progress:
        assert run("watch", tmp_path, "--once") == 0 and capsys.readouterr().out == "not begun yet\n"
        assert run("watch", tmp_path, "--once", "--json") == 0
        assert json.loads(capsys.readouterr().out) == {"file": str(tmp_path), "running": True}
        if not earlier:
            watcher = start("watch", tmp_path, "--json", "--every", "0.05")
        progress.begin(epochs=3)
        progress.end(0, "the later one")
    if not earlier:
        assert json.loads(watcher.communicate()[0].splitlines()[-1])["message"] == "the later one"


def test_a_training_that_was_killed_before_it_began_goes_on_by_its_own_command(run, tmp_path, capsys):
    (tmp_path / "training.progress").touch()
    assert run("watch", tmp_path) == 0
    said = capsys.readouterr().out
    assert "go on with the command that began it and --resume" in said and "dynsim resume" not in said


def test_a_training_that_was_killed_or_interrupted_is_told_from_one_that_goes_on(halted, run, capsys):
    process, folder = halted
    process.stop(signal.SIGKILL)
    assert run("watch", folder) == 0
    assert "did not end properly" in (said := capsys.readouterr().out) and "--resume" in said
    assert run(*TINY, "--epochs", 3, "-o", folder, "--resume") == 0  # the lock went with the process
    capsys.readouterr()
    assert run("watch", folder) == 0 and "Test accuracy" in capsys.readouterr().out
    assert run("watch", folder.parent) == 1
    assert "is no run that can be watched" in capsys.readouterr().err


def test_more_epochs_are_possible_and_fewer_refused(run, tmp_path, capsys):
    folder = tmp_path / "out"
    assert run(*TINY, "--epochs", 2, "-o", folder) == 0
    first = lines(folder)
    capsys.readouterr()
    assert run(*TINY, "--epochs", 3, "-o", folder, "--resume", "--json") == 0
    printed = capsys.readouterr()
    assert "Warning: training: it was begun with 2 epochs and goes on to 3" in printed.err
    assert json.loads(printed.out)["epochs"] == 3 and lines(folder)[:2] == first and len(lines(folder)) == 3
    before = contents(folder)
    assert run(*TINY, "--epochs", 2, "-o", folder, "--resume") == 1
    assert "epochs 2; expected 3" in capsys.readouterr().err
    assert run(*TINY, "--epochs", 3, "--rate", 0.1, "-o", folder, "--resume") == 1
    assert "rate 0.1; expected 0.02" in capsys.readouterr().err and contents(folder) == before


@pytest.mark.parametrize("rate", [50, 5000])
def test_a_training_that_learns_nothing_says_so(run, tmp_path, capsys, rate):
    assert run(*TINY, "--epochs", 2, "--rate", rate, "-o", tmp_path / "out", "--json") == 0
    printed = capsys.readouterr()
    assert "Warning: training: after 2 epochs" in printed.err and f"lower the rate ({rate})" in printed.err
    assert "lower the rate" in json.loads(printed.out)["message"]


def test_a_figure_that_cannot_be_written_is_refused_before_the_work(run, tmp_path, capsys):
    (tmp_path / "out/learning.png").mkdir(parents=True)
    assert run(*TINY, "-o", tmp_path / "out") == 1
    assert "learning.png is a directory" in capsys.readouterr().err
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["learning.png"]


@pytest.mark.parametrize("name", ["model.h5", "training.h5", "metrics.jsonl", "paths.png", "learning.png"])
def test_a_file_of_that_name_is_replaced_only_when_asked(run, tmp_path, capsys, name):
    (tmp_path / name).write_bytes(b"mine")
    for options in ([], ["--weights"]):
        assert run(*TINY, "--epochs", 1, "-o", tmp_path, *options) == 1
        assert f"{name} exists" in (said := capsys.readouterr().err) and "--overwrite" in said
    assert contents(tmp_path) == {name: b"mine"}
    if name.endswith(".png"):
        assert run(*TINY, "--epochs", 1, "-o", tmp_path, "--overwrite") == 0
        assert (tmp_path / name).read_bytes() != b"mine"


@pytest.mark.parametrize(
    "options", [["--init", "nope.h5"], ["--teacher", "nope.h5"], ["--batch", 100000], ["--data", "nope"], ["--dim", 0]]
)
def test_a_refused_training_leaves_no_folder(run, tmp_path, options):
    assert run(*TINY, "-o", tmp_path / "a/b", *options) != 0
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("place", ["file", "file/out", "link"])
def test_what_is_no_folder_is_refused_as_one(run, tmp_path, capsys, place):
    (tmp_path / "file").write_text("mine")
    (tmp_path / "link").symlink_to("nowhere")
    assert run(*TINY, "-o", tmp_path / place) == 1
    name = tmp_path / place.split("/")[0]
    assert capsys.readouterr().err.startswith(f"Error: {name} is not a directory; choose another name for the folder")


def test_test_images_of_another_size_are_refused_when_they_are_read(run, tmp_path, capsys):
    place = tmp_path / "kmnist"
    place.mkdir()
    for name, shape in zip(FILES, [(40, 28, 28), (40,), (40, 14, 14), (40,)], strict=True):
        sizes = b"".join(n.to_bytes(4, "big") for n in shape)
        (place / name).write_bytes(bytes([0, 0, 8, len(shape)]) + sizes + bytes(int(np.prod(shape))))
    assert run("train", "mlp", "--data", "kmnist", "--data-dir", tmp_path, "-o", tmp_path / "out") == 1
    assert "of (28, 28) pixels for training and of (14, 14) for testing" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_begun_model_is_validated_on_the_same_images(run, tmp_path, capsys):
    assert run(*TINY, "--epochs", 1, "-o", tmp_path / "a") == 0
    more = ["--init", tmp_path / "a/model.h5", "--seed", 7]
    assert run(*TINY, "--epochs", 1, *more, "-o", tmp_path / "b") == 0
    results = load_model(tmp_path / "b/model.h5").results
    assert results["seed"] == 7 and results["held_seed"] == 0
    assert len(load("digits").train_images) > 0 and capsys.readouterr()


def test_a_training_learns_from_a_trained_network(run, tmp_path, capsys):
    assert run(*TINY, "--weights", "--epochs", 1, "-o", tmp_path / "large") == 0
    taught = [*TINY, "--epochs", 1, "--teacher", tmp_path / "large/model.h5"]
    assert run(*taught, "-o", tmp_path / "taught") == run(*TINY, "--epochs", 1, "-o", tmp_path / "alone") == 0
    assert (tmp_path / "taught/model.h5").read_bytes() != (tmp_path / "alone/model.h5").read_bytes()
    # It goes on with the same network only.
    assert run(*taught, "--epochs", 2, "--resume", "-o", tmp_path / "taught") == 0
    capsys.readouterr()
    assert run(*TINY, "--epochs", 3, "--resume", "-o", tmp_path / "taught") == 1
    assert "got distillation null; expected" in capsys.readouterr().err
    assert run(*taught, "--teacher-share", 0.5, "--teacher-temperature", 2, "--dry-run", "--json") == 0
    found = json.loads(capsys.readouterr().out)["settings"]["distillation"]
    assert (found["share"], found["temperature"]) == (0.5, 2.0)
    assert run(*TINY, "--teacher-share", 0.5, "--dry-run") == 2
    assert "--teacher-share: got it without --teacher; expected both" in capsys.readouterr().err
    assert run(*taught, "--method", "fit", "--dry-run") == 2
    assert "--teacher: got it with --method fit; expected it with --method forces only" in capsys.readouterr().err


def test_a_progress_that_cannot_be_written_does_not_stop_a_training(tmp_path):
    class Full:
        """A disk without room."""

        def write(self, text):
            raise OSError("no space left")

        def close(self):
            """Nothing."""

    with TrainingProgress(tmp_path) as progress:
        progress.begin(epochs=1)
        progress.file.close()
        progress.file = Full()
        with pytest.warns(UserWarning, match="goes on unwatched"):
            progress.epoch({"epoch": 1})
        progress.epoch({"epoch": 1})  # no second warning
    with TrainingProgress(tmp_path):
        with pytest.raises(OSError, match="is in use"):
            TrainingProgress(tmp_path)


FULL = """
import resource, signal, sys, warnings
from dynsim.trajectory import TrainingProgress
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
warnings.simplefilter("ignore")
with TrainingProgress(sys.argv[1]) as progress:
    if sys.argv[2] == "later":
        progress.begin(epochs=3)
    resource.setrlimit(resource.RLIMIT_FSIZE, (120, 120))
    progress.begin(epochs=3, method="x" * 60)
    for epoch in range(4):
        progress.epoch({"epoch": epoch, "note": "y" * 60})
    progress.end(0, "done")
print("ended well")
"""


@pytest.mark.parametrize("when", ["first", "later"])
def test_a_disk_that_is_full_does_not_fail_a_training_that_ended_well(tmp_path, when):
    pytest.importorskip("resource")
    ended = subprocess.run([sys.executable, "-c", FULL, tmp_path, when], capture_output=True, text=True, check=False)
    assert ended.stdout == "ended well\n" and not ended.stderr


def test_what_the_system_refuses_of_a_progress_is_a_warning(tmp_path):
    class Refusing:
        """A file of a server that is away."""

        def truncate(self, *_):
            raise OSError("stale handle")

        close = write = truncate

    with TrainingProgress(tmp_path) as progress:
        progress.file.close()
        progress.file = Refusing()
        with pytest.warns(UserWarning, match="stale handle.*goes on unwatched"):
            progress.begin(epochs=1)


def test_a_misspelt_command_is_told_the_nearest(run, capsys):
    for wrong, right in (("simualte", "simulate"), ("tarin", "train"), ("evalute", "evaluate")):
        assert run(wrong) == 2
        assert f"Did you mean {right}" in capsys.readouterr().err.replace("'", "")
