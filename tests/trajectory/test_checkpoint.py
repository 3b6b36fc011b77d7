"""Checkpoints: what goes in comes out, and a damaged one gives way to the one before."""

import numpy as np
import pytest

from dynsim.errors import DataError, FileError
from dynsim.trajectory import load_checkpoint, save_checkpoint

STATE = {
    "t": 0.1 + 0.2,
    "nothing": None,
    "yes": True,
    "big": 2**127 + 1,
    "inf": float("inf"),
    "q": np.arange(6.0).reshape(2, 3),
    "empty": np.empty((0, 2)),
    "parts": [{"first": [np.float32([1.5]), np.int64(3)]}, "text"],
    3.5: "keys need not be texts",
}


def test_round_trip_to_the_last_bit(tmp_path):
    path = tmp_path / "run.checkpoint"
    save_checkpoint(path, STATE)
    state = load_checkpoint(path)
    assert list(state) == list(STATE)
    assert all(state[key] == STATE[key] for key in ("t", "nothing", "yes", "big", "inf", 3.5))
    assert np.array_equal(state["q"], STATE["q"]) and state["empty"].shape == (0, 2)
    assert state["parts"][0]["first"][0].dtype == np.float32 and state["parts"][0]["first"][1] == 3
    assert [file.name for file in tmp_path.iterdir()] == ["run.checkpoint"]


def test_the_last_two_are_kept_and_any_damage_is_seen(tmp_path):
    path = tmp_path / "run.checkpoint"
    for step in range(3):
        save_checkpoint(path, {"step": step, "q": np.full(500, float(step))})
    whole = path.read_bytes()
    assert load_checkpoint(path)["step"] == 2
    generator = np.random.default_rng(0)
    for size in [0, 1, 100, len(whole) // 2, len(whole) - 1]:
        path.write_bytes(whole[:size])
        assert load_checkpoint(path)["step"] == 1
    content = whole.index(np.full(500, 2.0).tobytes())
    for _ in range(20):  # a bit flipped in the numbers themselves, where HDF5 would not notice
        damaged = bytearray(whole)
        damaged[content + int(generator.integers(4000))] ^= 1 << int(generator.integers(8))
        path.write_bytes(damaged)
        assert load_checkpoint(path)["step"] == 1
    path.with_name("run.checkpoint.previous").write_bytes(b"")
    with pytest.raises(FileError, match="previous"):
        load_checkpoint(path)


def test_a_failed_writing_leaves_the_old_one(tmp_path):
    path = tmp_path / "run.checkpoint"
    save_checkpoint(path, {"step": 1})
    with pytest.raises(TypeError, match="got object"):
        save_checkpoint(path, {"step": object()})
    assert load_checkpoint(path) == {"step": 1} and len(list(tmp_path.iterdir())) == 1
    with pytest.raises(FileNotFoundError, match="no checkpoint"):
        load_checkpoint(tmp_path / "none")
    (tmp_path / "text").write_text("not a checkpoint at all")
    with pytest.raises(DataError, match="not an HDF5 file"):
        load_checkpoint(tmp_path / "text")


@pytest.mark.parametrize("array", [np.array([b"a", b"b"]), np.zeros(2, [("x", float)]), np.array([None])])
def test_arrays_that_are_no_numbers_are_refused_before_anything_is_written(tmp_path, array):
    with pytest.raises(TypeError, match="expected numbers"):
        save_checkpoint(tmp_path / "run.checkpoint", {"names": array})
    assert not list(tmp_path.iterdir())
