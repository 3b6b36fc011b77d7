"""Files that were killed, cut, changed or made by others: fewer frames or one sentence, nothing else."""

import os
import signal
import subprocess
import sys

import h5py
import numpy as np
import pytest

from dynsim.errors import DataError, FileError
from dynsim.trajectory import Trajectory, TrajectoryWriter, file_kind

# Frame k holds the number k in every place, so a wrong frame is seen.
_WRITE_FOR_EVER = """
import itertools, sys
import numpy as np
from dynsim.trajectory import TrajectoryWriter
sizes = {"neurons": 40, "dimension": 4, "signals": 1, "observables": ["energy"]}
writer = TrajectoryWriter(sys.argv[1], flush_seconds=0.01, **sizes)
for k in itertools.count():
    writer.write(k, 0.1 * k, np.full((40, 4), k), np.full(40, k), np.full(40, -k), energy=k)
    if k == int(sys.argv[2]):
        writer.flush()
        print("go", flush=True)
"""

_FILL_THE_DISK = """
import resource, sys
import numpy as np
from dynsim.trajectory import TrajectoryWriter
limit = int(sys.argv[2])
resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
try:
    with TrajectoryWriter(sys.argv[1], neurons=40, dimension=4, signals=1, observables=["energy"]) as writer:
        for k in range(5000):
            writer.write(k, 0.1 * k, np.full((40, 4), k), np.full(40, k), np.full(40, -k), energy=k)
except OSError as error:
    print(error)
"""


def check(path):
    """Frames of a readable file, after every number was compared; -1 for a FileError of one line."""
    try:
        with Trajectory(path) as read:
            k = np.arange(read.frames)
            assert np.array_equal(read.step, k)
            assert np.array_equal(read.observables["energy"], k)
            assert (read.q[...] == k[:, None, None]).all()
            assert (read.R[...] == k[:, None, None]).all() and (read.E[...] == -k[:, None, None]).all()
            return read.frames
    except FileError as error:
        assert "\n" not in str(error) and str(path) in str(error) and ";" in str(error)
        return -1


@pytest.mark.parametrize("written", [1, 64, 500, 3000])
def test_a_killed_writer_loses_only_the_tail(start, tmp_path, written):
    path = tmp_path / "run.h5"
    child = start(command=[sys.executable, "-c", _WRITE_FOR_EVER, str(path), str(written - 1)])
    assert child.stdout.readline() == "go\n"
    child.stop(signal.SIGKILL)
    assert child.returncode == -signal.SIGKILL
    frames = check(path)
    assert frames >= written
    with TrajectoryWriter.append(path) as writer:  # and goes on
        writer.write(frames, 0.1 * frames, np.full((40, 4), frames), np.full(40, frames), np.full(40, -frames))
    with Trajectory(path) as read:
        assert read.frames == frames + 1 and (read.q[-1] == frames).all()


@pytest.mark.skipif(not hasattr(os, "posix_fallocate"), reason="needs a system that reserves room on the disk")
def test_a_full_disk_keeps_what_was_written(tmp_path):
    for limit in (900_000, 1_234_567):
        path = tmp_path / f"run-{limit}.h5"
        done = subprocess.run(
            [sys.executable, "-c", _FILL_THE_DISK, str(path), str(limit)], capture_output=True, text=True, check=False
        )
        assert (done.returncode, done.stderr) == (0, "")
        assert "make room on the disk" in done.stdout and done.stdout.count("\n") == 1
        assert check(path) >= 64 and path.stat().st_size <= limit


def test_room_reserved_on_the_disk_is_given_back(write_run):
    path = write_run(frames=65)
    with h5py.File(path) as file:
        stored = []
        file.visititems(lambda name, found: stored.append(found) if isinstance(found, h5py.Dataset) else None)
        content = sum(data.id.get_storage_size() for data in stored)
    assert path.stat().st_size < content + 100_000


def test_cut_tails(write_run):
    path = write_run(frames=300)
    whole = path.read_bytes()
    rng = np.random.default_rng(7)
    sizes = [0, 1, 7, 8, 9, 511, 2047, len(whole) - 1, len(whole)]
    sizes += rng.integers(0, len(whole), size=60).tolist()
    found = set()
    for size in sizes:
        path.write_bytes(whole[:size])
        found.add((check(path), size == len(whole)))
    assert (300, True) in found and (-1, False) in found


def test_spare_bytes_behind_the_end_do_no_harm(write_run):
    path = write_run(frames=10)
    with path.open("ab") as file:
        file.write(b"\0" * 12345)
    assert check(path) == 10


@pytest.mark.parametrize(
    "name",
    [
        "particles/native/position/value",
        "particles/view/position/value",
        "particles/native/received_signal/value",
        "observables/energy/value",
        "particles/native/position/step",
    ],
)
def test_every_dataset_is_cut_to_the_last_common_step(write_run, name):
    path = write_run(frames=100)
    with h5py.File(path, "r+") as file:
        file[name].resize(57, axis=0)
    assert check(path) == 57


def test_frames_that_were_sized_but_never_stored_are_cut(write_run):
    path = write_run(frames=100)
    with h5py.File(path, "r+") as file:
        for name in ("position/value", "position/step", "position/time", "received_signal/value"):
            data = file[f"particles/native/{name}"]
            data.resize(10**15, axis=0)
    assert check(path) == 100
    with h5py.File(path, "r+") as file:
        # One more chunk claimed by all, stored by none but the step's zeros.
        for name in ("energy",):
            file[f"observables/{name}/value"].resize(10**15, axis=0)
        file["particles/native/emitted_signal/value"].resize(10**15, axis=0)
        file["particles/view/position/value"].resize(10**15, axis=0)
    assert check(path) == 100


def test_foreign_files(tmp_path):
    text, foreign, model = tmp_path / "a.txt", tmp_path / "b.h5", tmp_path / "model.h5"
    text.write_text("places\n1 2 3\n")
    with h5py.File(foreign, "w") as file:
        file["x"] = [1, 2]
    with h5py.File(model, "w") as file:
        file.attrs["dynsim"] = "model"
    with pytest.raises(DataError, match="is not an HDF5 file"):
        Trajectory(text)
    with pytest.raises(DataError, match="another program"):
        Trajectory(foreign)
    with pytest.raises(DataError, match="is a model of dynsim"):
        Trajectory(model)
    assert file_kind(model) == "model"
    for path in (text, foreign):
        with pytest.raises(DataError):
            file_kind(path)
    with pytest.raises(FileNotFoundError, match="does not exist"):
        file_kind(tmp_path / "nowhere.h5")
    with pytest.raises(IsADirectoryError, match="is a directory"):
        file_kind(tmp_path)


def _external(file):
    del file["particles/native/position/value"]
    file["particles/native/position/value"] = h5py.ExternalLink("other.h5", "/x")


def _soft(file):
    del file["observables/energy/value"]
    file["observables/energy/value"] = h5py.SoftLink("/particles/native/position/time")


def _text(file):
    del file["particles/native/position/value"]
    file["particles/native/position/value"] = np.array([b"a", b"b"])


def _virtual(file):
    layout = h5py.VirtualLayout((100, 3, 2), "f8")
    layout[:] = h5py.VirtualSource("other.h5", "x", (100, 3, 2))
    del file["particles/native/position/value"]
    file.create_virtual_dataset("particles/native/position/value", layout)


def _claim(file):
    file["particles/native"].attrs["neurons"] = 10**12


def _groups(file):
    del file["particles/native/species"]
    file["particles/native"].create_dataset("species", shape=(3,), dtype="i8")


def _set(path, value):
    def change(file):
        if path in file:
            del file[path]
        file[path] = value

    return change


def _attribute(name, value):
    def change(file):
        file["particles/native"].attrs[name] = value

    return change


@pytest.mark.parametrize(
    "change",
    [
        _external,
        _soft,
        _text,
        _virtual,
        _claim,
        _groups,
        _set("parameters/configuration", "{"),
        _set("parameters/configuration", "[1]"),
        _set("parameters/configuration", [1, 2]),
        _set("parameters/seed", 3),
        _set("parameters/outcome", "3"),
        _attribute("neurons", "many"),
        _attribute("neurons", np.nan),
        _attribute("copies", 0),
        _attribute("dimension", 3),
        _attribute("signals", [1, 2]),
    ],
)
def test_nothing_in_the_file_is_believed(write_run, change):
    path = write_run()
    with h5py.File(path, "r+") as file:
        change(file)
    assert check(path) == -1


@pytest.mark.parametrize("name", ["particles", "particles/native", "observables", "parameters", "particles/view"])
def test_missing_parts(write_run, name):
    path = write_run()
    with h5py.File(path, "r+") as file:
        del file[name]
    assert check(path) == -1


def test_a_file_that_is_being_written(tmp_path):
    path = tmp_path / "run.h5"
    with TrajectoryWriter(path, neurons=1, dimension=1) as writer:
        writer.write(0, 0.0, [[1.0]])
        writer.flush()
        done = subprocess.run(
            [sys.executable, "-c", f"from dynsim.trajectory import Trajectory; Trajectory({str(path)!r})"],
            capture_output=True,
            text=True,
            check=False,
        )
    if done.returncode == 0:
        pytest.skip("this file system does not lock files")
    assert "is open in another program" in done.stderr


@pytest.mark.parametrize("dtype", [np.complex128, np.int64, np.bool_])
def test_numbers_of_another_type_are_damage(write_run, dtype):
    path = write_run()
    with h5py.File(path, "r+") as file:
        group = file["particles/native/position"]
        values = group["time"][()].astype(dtype)
        del group["time"]
        group["time"] = values
    with pytest.raises(FileError, match="not a dataset of the expected type"):
        Trajectory(path)
