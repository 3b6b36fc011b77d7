"""Where commands meet the system: outputs that are inputs, pipes, closed streams, permissions, signals."""

import os
import shutil
import signal
import subprocess
import sys

import numpy as np
import pytest

import dynsim
from dynsim._files import open_hdf5, reading, terminable
from dynsim.cli._computation import stopped_by_signals
from dynsim.cli._progress_bars import ProgressBar
from dynsim.trajectory import Trajectory, TrajectoryWriter, load_checkpoint, save_checkpoint, to_extxyz

needs_safetensors = "needs safetensors: pip install 'dynsim[export]'"


@pytest.fixture
def trajectory(tmp_path):
    path = tmp_path / "run.h5"
    with TrajectoryWriter(path, neurons=3, dimension=2) as writer:
        for k in range(5):
            writer.write(k, float(k), np.full((3, 2), k))
    return path


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("run.h5", ["export", "run.h5", "--to", "extxyz", "--overwrite", "-o", "run.h5"]),
        ("run.xyz", ["export", "run.xyz", "--overwrite", "-o", "run.xyz"]),
        ("run.png", ["plot", "run.png", "--kind", "trajectories", "-o", "run.png"]),
        ("run.svg", ["plot", "run.svg", "--kind", "distances", "-o", "link.svg"]),
        ("run.html", ["view", "run.html", "-o", "run.html"]),
        ("run.gif", ["animate", "run.gif", "-o", "run.gif"]),
    ],
)
def test_what_is_read_is_not_replaced(run, trajectory, tmp_path, monkeypatch, capsys, name, arguments):
    monkeypatch.chdir(tmp_path)
    if name != "run.h5":
        shutil.copy(trajectory, name)
    os.symlink(name, "link.svg")
    whole = (tmp_path / name).read_bytes()
    assert run(*arguments) == 1
    assert "is the file that is read; choose another path" in capsys.readouterr().err
    assert (tmp_path / name).read_bytes() == whole


@pytest.mark.parametrize("option", ["--init", "--teacher"])
def test_what_a_training_begins_from_is_not_replaced(run, tmp_path, capsys, option):
    out = tmp_path / "out"
    out.mkdir()
    dynsim.models.mlp(widths=(64, 8, 10), copies=2, dim=3).save(out / "model.h5")
    whole = (out / "model.h5").read_bytes()
    begin = ["train", "mlp", "--data", "digits", option, out / "model.h5", "--epochs", 1, "--overwrite", "-o", out]
    assert run(*begin) == 1 and "is the file that is read" in capsys.readouterr().err
    assert (out / "model.h5").read_bytes() == whole


def test_a_model_is_not_replaced_by_its_export(run, tmp_path, capsys):
    pytest.importorskip("safetensors", reason=needs_safetensors)
    from dynsim.export import save_packed

    path = tmp_path / "model.safetensors"
    save_packed(dynsim.models.mlp(widths=(8, 4), copies=2, dim=3), path, bits=8)
    whole = path.read_bytes()
    assert run("export", path, "--materialized", "--overwrite", "-o", path) == 1
    assert "is the file that is read" in capsys.readouterr().err and path.read_bytes() == whole


def test_a_configuration_is_not_replaced_by_its_run(run, tmp_path, capsys):
    path = tmp_path / "c.toml"
    text = '[[groups]]\nneurons = 3\n[run]\nuntil = 0.1\nmethod = "rk4"\ndt = 0.1\n'
    path.write_text(text)
    assert run("simulate", path, "-o", path, "--overwrite") == 1
    assert "is no HDF5 file and is not replaced by one" in capsys.readouterr().err and path.read_text() == text


def test_a_configuration_with_a_byte_order_mark(tmp_path):
    path = tmp_path / "c.toml"
    text = "[run]\nuntil = 0.1\n"
    path.write_bytes(b"\xef\xbb\xbf" + text.encode())
    assert dynsim.experiments.read_toml(path) == {"run": {"until": 0.1}}
    path.write_bytes(text.encode("utf-16"))
    with pytest.raises(ValueError, match="what is not TOML"):
        dynsim.experiments.read_toml(path)


@pytest.mark.parametrize(
    "arguments",
    [
        ["simulate", "pipe.toml", "--dry-run"],
        ["info", "pipe.h5"],
        ["validate", "pipe.h5"],
        ["resume", "pipe.h5"],
        ["plot", "pipe.jsonl", "--kind", "learning", "-o", "a.png"],
        ["view", "pipe.h5", "-o", "a.html"],
        ["evaluate", "pipe.h5", "--data", "digits"],
        ["export", "pipe.h5", "-o", "a.xyz"],
        ["experiment", "run", "pipe.toml", "-o", "results"],
    ],
)
def test_pipes_are_no_inputs(run, tmp_path, monkeypatch, capsys, arguments):
    monkeypatch.chdir(tmp_path)
    for name in ("pipe.toml", "pipe.h5", "pipe.jsonl"):
        os.mkfifo(name)
    assert run(*arguments) == 1  # and it does not wait for ever
    error = capsys.readouterr().err
    assert error.startswith("Error: ") and "pipe" in error and error.count("\n") == 1
    assert not [entry for entry in tmp_path.iterdir() if entry.name.startswith("a.")]


@pytest.mark.parametrize("command", ["info", "validate"])
def test_a_checkpoint_is_named_so(run, tmp_path, capsys, command):
    save_checkpoint(tmp_path / "run.h5.checkpoint", {"step": 1})
    assert run(command, tmp_path / "run.h5.checkpoint") == 1
    assert (
        "is a checkpoint of dynsim; give a trajectory, model or converted network that dynsim wrote"
        in capsys.readouterr().err
    )


@pytest.mark.parametrize("side", ["", ".checkpoint", ".checkpoint.previous", ".progress"])
def test_pipes_and_folders_are_no_outputs(run, tmp_path, capsys, side):
    begin = ["simulate", "--preset", "pair", "--until", 0.1, "--overwrite", "-o", tmp_path / "run.h5"]
    os.mkfifo(tmp_path / f"run.h5{side}")
    assert run(*begin) == 1 and "is not a regular file" in capsys.readouterr().err
    (tmp_path / f"run.h5{side}").unlink()
    (tmp_path / f"run.h5{side}").mkdir()
    assert run(*begin) == 1 and "is a directory" in capsys.readouterr().err
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize("closed", ["2>&-", ">&- 2>&-", "0<&-"])
def test_closed_streams(tmp_path, closed):
    path = tmp_path / "run.h5"
    command = f'"$0" -m dynsim simulate --preset pair --until 0.1 -o "$1" {closed}'
    done = subprocess.run(["sh", "-c", command, sys.executable, path], capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    with Trajectory(path) as trajectory:  # and nothing was printed into it
        assert trajectory.frames > 1
    wrong = f'"$0" -m dynsim info "$1.none" {closed}'
    assert subprocess.run(["sh", "-c", wrong, sys.executable, path], capture_output=True, check=False).returncode == 1


full = pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs the device that is always full")


def in_a_shell(command, *arguments):
    words = ["sh", "-c", f'"$0" -m dynsim {command}', sys.executable, *map(str, arguments)]
    return subprocess.run(words, capture_output=True, check=False, text=True)


@full
def test_a_standard_error_that_nobody_reads_stops_nothing(tmp_path):
    train = "train mlp --data digits --hidden 8 --dim 3 --epochs 2 -o"
    done = in_a_shell(f'{train} "$1" 2>/dev/full', tmp_path / "full")
    assert done.returncode == 0 and "written" in done.stdout and (tmp_path / "full/learning.png").exists()
    in_a_shell(f'{train} "$1" 2>&1 | head -c 5', tmp_path / "pipe")
    assert (tmp_path / "pipe/learning.png").exists()
    assert in_a_shell("simulat 2>/dev/full").returncode == 2
    assert in_a_shell('info "$1" 2>/dev/full', tmp_path / "none").returncode == 1


@full
def test_a_standard_output_that_is_full_is_named(tmp_path):
    done = in_a_shell('simulate --preset pair --until 0.1 -o "$1" >/dev/full', tmp_path / "run.h5")
    assert done.returncode == 1
    assert done.stderr.startswith("Error: standard output cannot be written (No space left on device)")
    with Trajectory(tmp_path / "run.h5") as trajectory:
        assert trajectory.frames > 1


def test_a_bar_that_cannot_be_drawn_stops_nothing(monkeypatch, tmp_path):
    def refuse(*_):
        raise OSError("the terminal is gone")

    monkeypatch.setattr(ProgressBar, "_bar", refuse)
    with open(tmp_path / "terminal", "w") as terminal:
        monkeypatch.setattr("sys.stderr", terminal)  # which leads nowhere afterwards; that of the tests stays
        with ProgressBar("step") as bar:
            assert bar(1, 2, loss=0.5) is False


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_that_is_to_be_ignored_is_ignored(run, number):
    before = signal.signal(number, signal.SIG_IGN)
    try:
        run("cite")
        assert signal.getsignal(number) is signal.SIG_IGN
        with stopped_by_signals() as stop:
            os.kill(os.getpid(), number)
            assert not stop() and signal.getsignal(number) is signal.SIG_IGN
        assert signal.getsignal(number) is signal.SIG_IGN
    finally:
        signal.signal(number, before)


@pytest.mark.parametrize(
    "words",
    [
        *(["--fit-steps", 0], ["--fit-images", -1], ["--fit-rate", 0], ["--copies-fc", 0], ["--copies-conv", 0]),
        *(["--epochs", 0], ["--seed", -1], ["--bits", 99], ["--data", "nope"], ["--rate=-1"]),
    ],
)
def test_refusals_name_the_option_that_was_given(run, tmp_path, capsys, words):
    option = str(words[0]).partition("=")[0]
    for model in ("lenet5", "mlp") if option != "--copies-conv" else ("lenet5",):
        hidden = ["--hidden=8"] if model == "mlp" else []
        assert run("train", model, "--data", "digits", *hidden, *words, "-o", tmp_path / "out") == 1
        assert capsys.readouterr().err.startswith(f"Error: {option}: got ") and not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("model", "words"),
    [
        *(("compact", words) for words in ("--hidden=7", "--heads=3", "--patch=9", "--copies-conv=9", "--no-norm")),
        *(
            ("lenet5", words)
            for words in ("--channels=5", "--form=whole", "--sets=full", "--populations=5", "--depth=9")
        ),
    ],
)
def test_options_of_other_models_are_refused(run, tmp_path, capsys, model, words):
    assert run("train", model, "--data", "digits", words, "-o", tmp_path / "out") == 2
    assert f"{words.partition('=')[0]}: got it for {model}" in capsys.readouterr().err and not list(tmp_path.iterdir())


@pytest.mark.parametrize("hidden", ["", ",", "0", "3,-1", "three"])
def test_hidden_widths_are_checked(run, tmp_path, capsys, hidden):
    for model in ("mlp", "vit"):
        assert run("train", model, "--data", "digits", f"--hidden={hidden}", "-o", tmp_path / "out") == 2
        assert "--hidden: got" in capsys.readouterr().err and not list(tmp_path.iterdir())


@pytest.mark.parametrize("command", [["simulate", "--preset", "pair", "-o"], ["resume"]])
def test_seconds_between_checkpoints_are_named(run, tmp_path, capsys, command):
    path = tmp_path / "run.h5"
    if command == ["resume"]:
        assert run("simulate", "--preset", "pair", "--until", 0.1, "-o", path) == 0
    capsys.readouterr()
    assert run(*command, path, "--checkpoint", -1) == 1
    assert capsys.readouterr().err.startswith("Error: --checkpoint: got -1.0")


@pytest.mark.parametrize(("umask", "mode"), [(0o077, 0o600), (0o022, 0o644), (0o002, 0o664)])
def test_permissions_follow_the_umask(trajectory, tmp_path, umask, mode):
    out = tmp_path / "out"
    out.mkdir()
    before = os.umask(umask)
    try:
        dynsim.models.mlp(widths=(8, 4), copies=2, dim=3).save(out / "model.h5")
        for step in range(2):
            save_checkpoint(out / "run.checkpoint", {"step": step})
        to_extxyz(trajectory, out / "run.xyz")
        TrajectoryWriter(out / "run.h5", neurons=1, dimension=1).close()
        dynsim.plots.view(trajectory, out / "run.html")
        dynsim.plots.plot(trajectory, "trajectories", output=out / "run.png", size=(200, 200))
    finally:
        os.umask(before)
    assert {entry.name: entry.stat().st_mode & 0o777 for entry in out.iterdir()} == dict.fromkeys(os.listdir(out), mode)
    assert len(os.listdir(out)) == 7


@pytest.mark.parametrize(("umask", "mode"), [(0o077, 0o600), (0o022, 0o644), (0o002, 0o664)])
def test_permissions_of_exports_follow_the_umask(tmp_path, umask, mode):
    pytest.importorskip("safetensors", reason=needs_safetensors)
    from dynsim.export import save_materialized, save_packed

    model, before = dynsim.models.mlp(widths=(8, 4), copies=2, dim=3), os.umask(umask)
    try:
        save_packed(model, tmp_path / "packed.safetensors", bits=4)
        save_materialized(model, tmp_path / "ordinary.safetensors")
    finally:
        os.umask(before)
    assert [entry.stat().st_mode & 0o777 for entry in tmp_path.iterdir()] == [mode, mode]


def test_sigterm_ends_a_reader(trajectory):
    # HDF5 can loop in damaged bytes, where no handler of Python runs: the default action is the one that ends it.
    before = signal.signal(signal.SIGTERM, lambda *_: None)
    mine = signal.getsignal(signal.SIGTERM)
    try:
        with reading(trajectory, "trajectory"):
            assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
        assert signal.getsignal(signal.SIGTERM) is mine
        with pytest.raises(KeyError), terminable():
            raise KeyError
        open_hdf5(trajectory).close()
        Trajectory(trajectory).close()
        assert signal.getsignal(signal.SIGTERM) is mine
    finally:
        signal.signal(signal.SIGTERM, before)


@pytest.mark.parametrize("call", range(0, 12, 2))
def test_signals_wait_for_hdf5(tmp_path, monkeypatch, call):
    """HDF5 calls Python to write; what a handler raised there it would take for an error of the disk."""
    from dynsim._files._disk import Disk

    write, calls = Disk.write, []

    def interrupted(disk, content):
        calls.append(len(calls))
        if calls[-1] == call:
            os.kill(os.getpid(), signal.SIGINT)
        return write(disk, content)

    path = tmp_path / "run.h5"
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        save_checkpoint(tmp_path / "state", {"a": 1})
        monkeypatch.setattr(Disk, "write", interrupted)
        with pytest.raises(KeyboardInterrupt):
            save_checkpoint(tmp_path / "state", {"a": np.zeros((9, 3))})
        assert os.listdir(tmp_path) == ["state"] and load_checkpoint(tmp_path / "state") == {"a": 1}
        monkeypatch.setattr(Disk, "write", write)
        writer = TrajectoryWriter(path, neurons=3, dimension=2)
        writer.write(0, 0.0, np.ones((3, 2)))
        calls.clear()
        monkeypatch.setattr(Disk, "write", interrupted)
        with pytest.raises(KeyboardInterrupt):
            with writer:
                writer.flush()
                for k in range(1, 9):
                    writer.write(k, float(k), np.full((3, 2), k))
                    writer.flush()
    finally:
        signal.signal(signal.SIGINT, before)
    with Trajectory(path) as trajectory:
        assert 0 < trajectory.frames < 9 and (trajectory.q[:, 0, 0] == np.maximum(trajectory.step, 1)).all()


@pytest.mark.parametrize("command", ["info", "validate", "resume"])
def test_a_command_that_waits_in_hdf5_ends_by_sigterm(trajectory, start, command):
    """Here in a call of C that does not return, in which no handler of Python runs."""
    code = (
        "import ctypes, sys, h5py\nfrom dynsim._files import _disk\nfrom dynsim.cli import main\n"
        "def wait(*_, **__):\n    print('go', flush=True)\n    ctypes.PyDLL(None).pause()\n"
        f"h5py.File = wait\nmain(['{command}', sys.argv[1]])"
    )
    process = start(command=[sys.executable, "-c", code, str(trajectory)])
    assert process.stdout.readline() == "go\n"
    process.stop(signal.SIGTERM)
    assert process.returncode == -signal.SIGTERM


def test_a_program_that_reads_ends_by_sigterm(tmp_path, start):
    code = (
        "import signal, time\nfrom dynsim._files import terminable\nsignal.signal(signal.SIGTERM, lambda *_: None)\n"
        "with terminable():\n    print('go', flush=True)\n    signal.pause()\n"
    )
    process = start(command=[sys.executable, "-c", code])
    assert process.stdout.readline() == "go\n"
    process.stop(signal.SIGTERM)
    assert process.returncode == -signal.SIGTERM
