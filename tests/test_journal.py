"""A growing file whose disk stops in the middle of a change: a reader sees it as it was, or as it is meant."""

import os
import shutil

import h5py
import numpy as np
import pytest

from dynsim._files import claim_hdf5, open_hdf5
from dynsim._files._disk import Disk, as_journaled, journal_of
from dynsim.errors import FileError

OLD, NEW = np.arange(300.0), np.arange(300.0) + 0.5


def begin(file):
    file.create_dataset("x", data=OLD, chunks=(100,), maxshape=(None,), fletcher32=True)
    file.attrs["made"] = 1


def change(file):
    file["x"][...] = NEW
    file["x"].resize(500, axis=0)
    file["x"][300:] = 7.0
    file.attrs["changed"] = 1


@pytest.fixture
def pieces(tmp_path, monkeypatch):
    """A file at rest, that after its journal was written, and what is written into it then."""
    path, writes, write = tmp_path / "run.h5", [], os.pwrite
    claim_hdf5(path, begin).close()
    shutil.copy(path, tmp_path / "before.h5")

    def remember(handle, content, offset):
        if journal_of(path).exists():
            if not writes:
                shutil.copy(path, tmp_path / "journaled.h5")
                shutil.copy(journal_of(path), tmp_path / "journal")
            writes.append((offset, bytes(content)))
        return write(handle, content, offset)

    with open_hdf5(path, "r+") as file:
        change(file)
        monkeypatch.setattr(os, "pwrite", remember)
        file.flush()
        monkeypatch.undo()
    assert not journal_of(path).exists() and len(writes) > 2
    return path, writes


def test_wherever_the_change_ends(pieces, tmp_path):
    path, writes = pieces
    total = sum(len(content) for _, content in writes)
    for end in sorted({*np.linspace(0, total, 60, dtype=int), 1, total - 1}):
        shutil.copy(tmp_path / "journaled.h5", path)
        shutil.copy(tmp_path / "journal", journal_of(path))
        left = int(end)
        with path.open("r+b") as file:
            for offset, content in writes:
                file.seek(offset)
                file.write(content[:left])
                left = max(0, left - len(content))
        for mode in ("r", "r+"):
            with open_hdf5(path, mode) as file:
                assert file.attrs["changed"] == 1
                np.testing.assert_array_equal(file["x"][...], np.append(NEW, np.full(200, 7.0)))
        assert not journal_of(path).exists()  # what opens a file to change it takes over
        with h5py.File(path) as file:
            assert file["x"].shape == (500,)


def test_without_a_whole_journal_the_file_is_as_it_was(pieces, tmp_path):
    path, _ = pieces
    text = (tmp_path / "journal").read_bytes()
    for cut in (0, 10, 40, len(text) // 2, len(text) - 1):
        shutil.copy(tmp_path / "journaled.h5", path)
        journal_of(path).write_bytes(text[:cut])
        with open_hdf5(path) as file:
            np.testing.assert_array_equal(file["x"][...], OLD)


def test_a_journal_of_another_file_is_not_used(pieces, tmp_path):
    path, _ = pieces
    other = tmp_path / "other.h5"
    with claim_hdf5(other, lambda file: file.create_dataset("x", data=np.ones(5000))):
        pass
    shutil.copy(tmp_path / "journal", journal_of(other))
    assert as_journaled(other) == other
    with open_hdf5(other) as file:
        assert file["x"].shape == (5000,)
    with open_hdf5(other, "r+") as file:
        assert file["x"].shape == (5000,)
    assert not journal_of(other).exists()
    for overwrite in (True, False):  # and a new file has none
        shutil.copy(tmp_path / "journal", journal_of(path))
        if not overwrite:
            path.unlink()
        claim_hdf5(path, begin, overwrite=overwrite).close()
        assert not journal_of(path).exists()
        with open_hdf5(path) as file:
            np.testing.assert_array_equal(file["x"][...], OLD)


def test_journals_of_nonsense_are_not_believed(pieces, tmp_path):
    import hashlib

    path, _ = pieces
    text = (tmp_path / "journal").read_bytes()[:-32]
    start = text.index(b"\1") + 1
    for place, number in ((start, 2**63 - 1), (start, 2**64 - 1), (start + 8, 2**62), (start + 8, 2**64 - 1)):
        broken = text[:place] + number.to_bytes(8, "little") + text[place + 8 :]
        shutil.copy(tmp_path / "before.h5", path)
        journal_of(path).write_bytes(broken + hashlib.sha256(broken).digest())
        with open_hdf5(path) as file:
            np.testing.assert_array_equal(file["x"][...], OLD)
    journal_of(path).unlink()
    journal_of(path).mkdir()
    with pytest.raises((FileError, OSError)), open_hdf5(path, "r+"):
        pass


def test_what_is_written_over_waiting_bytes_waits_too(tmp_path):
    path = tmp_path / "bytes"
    path.write_bytes(b"a" * 10)
    disk = Disk(path)
    disk.keep_journal(path)
    for offset, content in ((8, b"bbbb"), (10, b"cc"), (20, b"d"), (0, b"e"), (8, b"f")):  # the first crosses the end
        disk.seek(offset)
        disk.write(content)
    meant = b"eaaaaaaafbcc" + bytes(8) + b"d"
    read = bytearray(30)
    disk.seek(0)
    disk.readinto(read)
    assert read[:21] == meant and path.read_bytes()[:10] == b"a" * 10
    disk.close()
    assert path.read_bytes() == meant and not journal_of(path).exists()
