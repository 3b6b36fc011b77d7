"""What the writer takes, what it refuses, and that the reader gives it back."""

import errno
import os

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dynsim.trajectory import Trajectory, TrajectoryWriter


@settings(max_examples=30, deadline=None)
@given(
    neurons=st.integers(1, 5),
    dimension=st.integers(1, 5),
    copies=st.integers(1, 3),
    signals=st.none() | st.integers(1, 3),
    frames=st.integers(0, 140),
    buffer=st.sampled_from([1, 3, 64]),
    dtype=st.sampled_from(["float32", "float64"]),
    observables=st.sampled_from([(), ("loss",), ("train_loss", "accuracy")]),
    seed=st.integers(0, 2**32),
)
def test_what_was_written_is_read(
    tmp_path_factory, neurons, dimension, copies, signals, frames, buffer, dtype, observables, seed
):
    rng = np.random.default_rng(seed)
    q = rng.normal(size=(frames, copies, neurons, dimension)).astype(dtype)
    R, E = rng.normal(size=(2, frames, neurons, signals or 1)).astype(dtype)
    measured = rng.normal(size=(frames, len(observables)))
    steps = np.cumsum(rng.integers(1, 10, size=frames))
    groups = rng.integers(0, 3, size=neurons)
    path = tmp_path_factory.mktemp("trip") / "run.h5"
    with TrajectoryWriter(
        path,
        neurons=neurons,
        dimension=dimension,
        copies=copies,
        signals=signals,
        groups=groups,
        buffer=buffer,
        dtype=dtype,
        observables=observables,
        seed=seed,
    ) as writer:
        for k in range(frames):
            pair = (R[k], E[k]) if signals else ()
            values = dict(zip(observables, measured[k], strict=True))
            places = q[k] if copies > 1 else q[k, 0]
            writer.write(int(steps[k]), 0.1 * k, places, *pair, **values)
        assert writer.frames == frames
    with Trajectory(path) as read:
        assert (read.neurons, read.dimension, read.copies, read.signals) == (neurons, dimension, copies, signals)
        assert read.frames == frames and read.seed == seed
        assert np.array_equal(read.q[...], q.reshape(frames, copies * neurons, dimension))
        assert read.q.dtype == dtype
        assert np.array_equal(read.step, steps) and np.array_equal(read.time, 0.1 * np.arange(frames))
        assert np.array_equal(read.groups, np.tile(groups, copies))
        assert list(read.observables) == list(observables)
        for name, column in zip(observables, measured.T, strict=True):
            assert np.array_equal(read.observables[name], column)
        if signals:
            assert np.array_equal(read.R[...], R) and np.array_equal(read.E[...], E)
        else:
            assert read.R is None and read.E is None


def test_the_file_is_h5md(write_run):
    with h5py.File(write_run()) as file:
        assert file["h5md"].attrs["version"].tolist() == [1, 1]
        assert file["h5md/creator"].attrs["name"] == "dynsim" and file["h5md/author"].attrs["name"]
        assert list(file["particles"])[:2] == ["view", "native"]
        for name, dimension in (("view", 3), ("native", 2)):
            group = file[f"particles/{name}"]
            assert group["box"].attrs["dimension"] == dimension
            assert list(group["box"].attrs["boundary"]) == ["none"] * dimension
            assert group["position/value"].shape == (100, 3, dimension)
            assert group["position/step"].shape == group["position/time"].shape == (100,)
            assert group["position/value"].attrs["unit"] == "Angstrom"
            assert group["position/time"].attrs["unit"] == "ps"
        # Elements share one grid by hard links, as H5MD wants it.
        assert file["observables/energy/step"] == file["particles/native/position/step"]
        assert np.all(file["particles/view/position/value"][:, :, 2] == 0)


def test_three_coordinates_are_stored_once(tmp_path):
    with TrajectoryWriter(tmp_path / "run.h5", neurons=2, dimension=3) as writer:
        writer.write(0, 0.0, [[1, 2, 3], [4, 5, 6]])
    with h5py.File(tmp_path / "run.h5") as file:
        assert file["particles/view/position/value"] == file["particles/native/position/value"]


def test_chunks_hold_64_frames_and_are_bounded(write_run, tmp_path):
    with h5py.File(write_run()) as file:
        assert file["particles/native/position/value"].chunks == (64, 3, 2)
    TrajectoryWriter(tmp_path / "large.h5", neurons=1_000_000, dimension=3, buffer=1).close()
    with h5py.File(tmp_path / "large.h5") as file:
        chunks = file["particles/native/position/value"].chunks
    assert np.prod(chunks) * 8 <= 16 * 2**20


def test_an_existing_file_is_kept_unless_told(write_run):
    path = write_run(frames=5)
    with pytest.raises(FileExistsError, match="overwrite=True"):
        TrajectoryWriter(path, neurons=1, dimension=1)
    assert Trajectory(path).frames == 5
    TrajectoryWriter(path, neurons=1, dimension=1, overwrite=True).close()
    assert Trajectory(path).frames == 0


def test_a_refused_writer_leaves_the_old_file(write_run):
    path = write_run(frames=5)
    with pytest.raises(TypeError, match="cannot be stored as JSON"):
        TrajectoryWriter(path, neurons=1, dimension=1, overwrite=True, parameters={"f": object()})
    with pytest.raises(ValueError, match="groups"):
        TrajectoryWriter(path, neurons=2, dimension=1, overwrite=True, groups=[0])
    assert Trajectory(path).frames == 5


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"neurons": 0}, r"neurons: got 0; expected a whole number of at least 1"),
        ({"dimension": 10**15}, "memory"),
        ({"neurons": 10**30}, "memory"),
        ({"signals": 0}, "signals"),
        ({"buffer": 0}, "buffer"),
        ({"flush_seconds": float("nan")}, "flush_seconds"),
        ({"dtype": "int32"}, "float32 or float64"),
        ({"observables": ["a/b"]}, "letters"),
        ({"observables": ["a", "a"]}, "each name once"),
        ({"observables": ["step"]}, "another name"),
        ({"groups": [0.5, 1.0]}, "groups"),
    ],
)
def test_bad_sizes_are_refused_before_a_file_is_made(tmp_path, options, message):
    path = tmp_path / "run.h5"
    with pytest.raises((TypeError, ValueError), match=message):
        TrajectoryWriter(path, **{"neurons": 2, "dimension": 2, **options})
    assert not path.exists()


def test_a_size_that_is_no_whole_number(tmp_path):
    with pytest.raises(TypeError, match="whole number"):
        TrajectoryWriter(tmp_path / "run.h5", neurons=2.5, dimension=2)


def test_a_folder_that_is_not_there(tmp_path):
    with pytest.raises(FileNotFoundError, match="nowhere is not a directory"):
        TrajectoryWriter(tmp_path / "nowhere" / "run.h5", neurons=1, dimension=1)
    with pytest.raises(IsADirectoryError, match="is a directory"):
        TrajectoryWriter(tmp_path, neurons=1, dimension=1, overwrite=True)


def test_a_folder_that_cannot_be_written(tmp_path, monkeypatch):
    monkeypatch.setattr("os.access", lambda path, mode: False)  # root may write anywhere
    with pytest.raises(PermissionError, match="choose another directory"):
        TrajectoryWriter(tmp_path / "run.h5", neurons=1, dimension=1)


@pytest.mark.parametrize(
    ("arguments", "observables", "message"),
    [
        ((4, 0.0, np.zeros((2, 2))), {}, r"step: got 4; expected a whole number of at least 5"),
        ((2**63, 0.0, np.zeros((2, 2))), {}, "64 bits"),
        ((5, np.nan, np.zeros((2, 2))), {}, "finite"),
        ((5, [0.0], np.zeros((2, 2))), {}, "shape|a number"),
        ((5, 0.0, np.zeros((3, 2))), {}, r"q: got shape \(3, 2\); expected \(2, 2\)"),
        ((5, 0.0, [["a", "b"], ["c", "d"]]), {}, "real numbers"),
        ((5, 0.0, np.zeros((2, 2), dtype=complex)), {}, "real numbers"),
        ((5, 0.0, np.zeros((2, 2)), np.zeros(2)), {}, r"without signals"),
        ((5, 0.0, np.zeros((2, 2))), {"los": 1.0}, "'los'"),
        ((5, 0.0, np.zeros((2, 2))), {"loss": [1.0, 2.0]}, "shape|a number"),
    ],
)
def test_bad_frames_are_refused_and_not_written(tmp_path, arguments, observables, message):
    path = tmp_path / "run.h5"
    with TrajectoryWriter(path, neurons=2, dimension=2, observables=["loss"]) as writer:
        writer.write(4, 0.0, np.zeros((2, 2)), loss=0.0)
        with pytest.raises((TypeError, ValueError), match=message):
            writer.write(*arguments, **observables)
    assert Trajectory(path).frames == 1


def test_signals_must_come_with_every_frame(tmp_path):
    with TrajectoryWriter(tmp_path / "run.h5", neurons=2, dimension=1, signals=2) as writer:
        with pytest.raises(ValueError, match=r"R: got none"):
            writer.write(0, 0.0, np.zeros((2, 1)))
        with pytest.raises(ValueError, match=r"E: got shape"):
            writer.write(0, 0.0, np.zeros((2, 1)), np.zeros((2, 2)), np.zeros(2))


def test_nan_is_kept_as_the_record_of_a_diverged_run(tmp_path):
    path = tmp_path / "run.h5"
    with TrajectoryWriter(path, neurons=1, dimension=2, observables=["loss"]) as writer:
        writer.write(0, 0.0, [[1.0, 2.0]], loss=1.0)
        writer.write(1, 1.0, [[np.nan, np.inf]], loss=np.nan)
        writer.write(2, 2.0, [[3.0, 4.0]])  # an observable need not be measured every time
    read = Trajectory(path)
    assert np.array_equal(read.q[1], [[np.nan, np.inf]], equal_nan=True)
    assert np.array_equal(read.observables["loss"], [1.0, np.nan, np.nan], equal_nan=True)


def test_a_closed_writer_says_so(tmp_path):
    writer = TrajectoryWriter(tmp_path / "run.h5", neurons=1, dimension=1)
    writer.close()
    writer.close()
    for call in (lambda: writer.write(0, 0.0, [[0.0]]), writer.flush, lambda: writer.record("a", 1)):
        with pytest.raises(ValueError, match="is closed"):
            call()


def test_append_goes_on_behind_a_step(write_run):
    path = write_run(frames=100)
    with TrajectoryWriter.append(path, after_step=41) as writer:
        assert writer.frames == 42
        with pytest.raises(ValueError, match=r"got 41; expected a whole number of at least 42"):
            writer.write(41, 0.0, np.zeros((3, 2)), np.zeros(3), np.zeros(3))
        for k in range(42, 170):
            writer.write(k, 0.5 * k, np.full((3, 2), k), np.full(3, k), np.full(3, -k), energy=k)
    read, whole = Trajectory(path), Trajectory(write_run(frames=170, name="whole.h5"))
    assert np.array_equal(read.q[...], whole.q[...]) and np.array_equal(read.E[...], whole.E[...])
    assert np.array_equal(read.observables["energy"], whole.observables["energy"])


def test_append_before_the_first_step_empties_the_file(write_run):
    path = write_run(frames=3)
    TrajectoryWriter.append(path, after_step=-1).close()
    assert Trajectory(path).frames == 0


def test_records_and_provenance(write_run):
    generator = np.random.default_rng(3)
    state = generator.bit_generator.state
    path = write_run(
        parameters={"kernel": {"scale": np.float64(2.0)}, "places": np.arange(2)},
        provenance={"generator": generator, "parent_file": "old.h5", "backend": "numba"},
    )
    with TrajectoryWriter.append(path) as writer:
        writer.record("outcome", {"echo_gain": 0.5})
        writer.record("outcome", {"echo_gain": 0.75})
    read = Trajectory(path)
    assert read.parameters == {"kernel": {"scale": 2.0}, "places": [0, 1]}
    assert read.provenance["generator"] == state
    assert read.provenance["outcome"] == {"echo_gain": 0.75}
    assert read.provenance["parent_file"] == "old.h5" and read.provenance["backend"] == "numba"
    assert read.provenance["dtype"] == "float64" and read.provenance["threads"] >= 1
    assert {"python", "numpy", "h5py", "dynsim"} <= set(read.provenance["versions"])
    assert "git_commit" in read.provenance


def test_a_file_that_grows_takes_little_more_room_than_its_frames(tmp_path):
    with TrajectoryWriter(tmp_path / "run.h5", neurons=3, dimension=2) as writer:
        writer.write(0, 0.0, np.ones((3, 2)))
        writer.flush()
        assert (tmp_path / "run.h5").stat().st_size < 2**20


@pytest.mark.skipif(not hasattr(os, "posix_fallocate"), reason="this system allocates no room ahead")
def test_room_is_allocated_before_frames_are_written(tmp_path, monkeypatch):
    """A file that HDF5 cannot finish writing is lost, so a full disk is noticed before HDF5 writes."""
    places, full = np.arange(1e4).reshape(5000, 2), OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def allocate(handle, begin, length):
        raise full

    with TrajectoryWriter(tmp_path / "run.h5", neurons=5000, dimension=2, buffer=1) as writer:
        writer.write(0, 0.0, places)
        monkeypatch.setattr(os, "posix_fallocate", allocate)
        step = 1
        with pytest.raises(OSError, match="No space left"):
            for step in range(1, 200):
                writer.write(step, float(step), places)
    assert 1 < step <= 64  # a chunk of frames had been allocated
    with Trajectory(tmp_path / "run.h5") as trajectory:
        assert trajectory.frames == step
        np.testing.assert_array_equal(trajectory.q[...], np.broadcast_to(places, (step, 5000, 2)))
