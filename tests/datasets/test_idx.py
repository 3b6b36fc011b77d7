import gzip

import numpy as np
import pytest

from dynsim.datasets import FILES, load, read_idx
from dynsim.errors import DataError, FileError


def idx(array):
    sizes = b"".join(n.to_bytes(4, "big") for n in array.shape)
    return bytes([0, 0, 8, array.ndim]) + sizes + array.tobytes()


@pytest.mark.parametrize("pack", [lambda b: b, gzip.compress], ids=["plain", "gz"])
def test_round_trip_and_damage(tmp_path, pack):
    array = np.arange(60, dtype=np.uint8).reshape(3, 4, 5)
    path = tmp_path / ("a" if pack(b"x") == b"x" else "a.gz")
    path.write_bytes(pack(idx(array)))
    np.testing.assert_array_equal(read_idx(path), array)
    for damaged in (pack(idx(array))[:-9], pack(idx(array)[:-1]), pack(idx(array) + b"x"), pack(b"abcd"), b""):
        path.write_bytes(damaged)
        with pytest.raises(DataError, match="a"):
            read_idx(path)


def test_promised_size_is_not_believed(tmp_path):
    path = tmp_path / "huge"
    path.write_bytes(b"\0\0\x08\x03" + b"\xff" * 12)
    with pytest.raises(DataError, match="a header of shape"):
        read_idx(path)


@pytest.mark.parametrize("shape", [(0,), (0, 3, 3), (60_000_000, 0, 0)])
def test_no_axis_is_empty(tmp_path, shape):
    path = tmp_path / "empty"
    path.write_bytes(idx(np.zeros(shape, np.uint8)))
    with pytest.raises(DataError, match=r"empty: got a header of shape .*; expected 1 to"):
        read_idx(path)


@pytest.mark.parametrize("large", FILES)
def test_the_budget_holds_for_what_bytes_become(tmp_path, monkeypatch, large):
    """A pixel takes 4 bytes, a label 8."""
    (tmp_path / "mnist").mkdir()
    monkeypatch.setenv("DYNSIM_BUDGET", str(30_000 / 2**30))
    for name in FILES:
        count = 4000 if large[:5] == name[:5] else 2
        side = 2 if "images" in large else 1  # as many labels would take more than pixels
        array = np.zeros((count, side, side) if "images" in name else count, np.uint8)
        (tmp_path / "mnist" / f"{name}.gz").write_bytes(gzip.compress(idx(array)))
    with pytest.raises(FileError, match=r"ubyte\.gz: got 1 MiB of memory for [0-9,]+ bytes of the file"):
        load("mnist", tmp_path)
    monkeypatch.setenv("DYNSIM_BUDGET", str(80_000 / 2**30))
    assert len(load("mnist", tmp_path).train_images) in (2, 4000)


def test_found_by_search_path(tmp_path, monkeypatch):
    folder = tmp_path / "mnist"
    folder.mkdir()
    for name in FILES:
        array = np.zeros((2, 3, 3), np.uint8) if "images" in name else np.array([1, 9], np.uint8)
        (folder / name).write_bytes(idx(array))
    monkeypatch.setenv("DYNSIM_DATA", str(tmp_path))
    assert load("mnist").train_images.shape == (2, 1, 3, 3)
    (folder / FILES[1]).write_bytes(idx(np.array([1], np.uint8)))
    with pytest.raises(DataError, match="labels"):
        load("mnist")
    (folder / FILES[1]).unlink()
    with pytest.raises(DataError, match="dynsim data fetch mnist"):
        load("mnist")


def test_missing_names_where_it_looked(tmp_path):
    with pytest.raises(DataError, match="not found in"):
        load("kmnist", tmp_path)
