"""Files are whole, or they are what they were before."""

import json
import os
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest

from dynsim._files import (
    claim_hdf5,
    damaged,
    digest,
    expect_claim,
    expect_output,
    from_json,
    open_hdf5,
    read_json,
    reading,
    replacing,
    to_json,
    write_json,
    write_whole,
)
from dynsim.errors import DataError, FileError

HALF = """
import sys
from pathlib import Path
from dynsim._files import {name}
def half(temporary):
    if not hasattr(temporary, "create_dataset"):
        temporary.write_bytes(b"half")
    print("go", flush=True)
    sys.stdin.read()
path = Path(sys.argv[1])
{how}
"""
WRITERS = {
    "replacing": HALF.format(name="replacing", how="with replacing(path) as temporary:\n    half(temporary)"),
    "claim_hdf5": HALF.format(name="claim_hdf5", how="claim_hdf5(path, half, overwrite=True)"),
}
CLAIM = """
import sys
from dynsim._files import claim_hdf5
import h5py
print("ready", flush=True)
sys.stdin.readline()
try:
    file = claim_hdf5(sys.argv[1], lambda file: file.attrs.update({"by": sys.argv[2]}), overwrite=sys.argv[3] == "yes")
except OSError as error:
    print("refused:", error, flush=True)
else:
    print("claimed", flush=True)
    sys.stdin.readline()
    file.close()
"""
HOLD = """
import sys, h5py
file = h5py.File(sys.argv[1], sys.argv[2])
print("open", flush=True)
sys.stdin.read()
"""


def start(code, *arguments):
    return subprocess.Popen(
        [sys.executable, "-c", code, *map(str, arguments)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )


def hdf5(path, value=1.0):
    with h5py.File(path, "w") as file:
        file["x"] = value
    return path.read_bytes()


def names(folder):
    return sorted(entry.name for entry in folder.iterdir())


@pytest.mark.parametrize("writer", WRITERS)
def test_a_killed_writer_leaves_the_old_file(tmp_path, writer):
    path = tmp_path / "run.h5"
    old = hdf5(path)
    with start(WRITERS[writer], path) as process:
        assert process.stdout.readline() == "go\n"
        process.kill()
    assert path.read_bytes() == old and len(names(tmp_path)) == 2
    write_whole(path, "new")  # and removes what the killed one left
    assert path.read_text() == "new" and names(tmp_path) == ["run.h5"]


def test_the_temporary_file_of_a_living_process_stays(tmp_path):
    with replacing(tmp_path / "a.txt") as first:
        first.write_text("first")
        with replacing(tmp_path / "a.txt") as second:
            second.write_text("second")
    assert (tmp_path / "a.txt").read_text() == "first" and names(tmp_path) == ["a.txt"]


@pytest.mark.parametrize("existing", [False, True])
def test_one_of_many_claims_wins(tmp_path, existing):
    path = tmp_path / "run.h5"
    if existing:
        hdf5(path)
    processes = [start(CLAIM, path, number, "yes" if existing or number % 2 else "no") for number in range(4)]
    for process in processes:
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        process.stdin.write("\n")
        process.stdin.flush()
    said = [process.stdout.readline() for process in processes]
    assert said.count("claimed\n") == 1, said
    assert all(line == "claimed\n" or str(path) in line for line in said)
    for process in processes:
        process.communicate("\n")
    with h5py.File(path) as file:
        assert file.attrs["by"] == str(said.index("claimed\n"))
    assert names(tmp_path) == ["run.h5"]


@pytest.mark.parametrize("mode", ["r", "r+"])
def test_a_file_that_is_open_elsewhere_is_not_replaced(tmp_path, mode):
    path = tmp_path / "run.h5"
    hdf5(path)
    with start(HOLD, path, mode) as process:
        assert process.stdout.readline() == "open\n"
        old = path.read_bytes()
        for refused in (lambda: claim_hdf5(path, dict, overwrite=True), lambda: expect_claim(path, True)):
            with pytest.raises(OSError, match=r"run\.h5 is open, in another program or in this one; close it"):
                refused()
        with pytest.raises(OSError, match="is open in another program that uses it; close"):
            open_hdf5(path, "r+")
        if mode == "r+":
            with pytest.raises(OSError, match="another program that writes to it"):
                open_hdf5(path)
        assert path.read_bytes() == old and names(tmp_path) == ["run.h5"]
        process.communicate()
    claim_hdf5(path, lambda file: None, overwrite=True).close()
    assert path.read_bytes() != old


def test_a_refusal_while_a_claim_is_filled_leaves_the_old_file(tmp_path):
    path = tmp_path / "run.h5"
    old = hdf5(path)

    def fill(file):
        file["y"] = 1.0
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        claim_hdf5(path, fill, overwrite=True)
    with pytest.raises(FileExistsError, match="--overwrite"):
        claim_hdf5(path, dict)
    assert path.read_bytes() == old and names(tmp_path) == ["run.h5"]


def test_only_hdf5_is_replaced_by_hdf5(tmp_path):
    path = tmp_path / "run.toml"
    path.write_text("seed = 1")
    with pytest.raises(FileExistsError, match="is no HDF5 file"):
        claim_hdf5(path, dict, overwrite=True)
    assert path.read_text() == "seed = 1"
    path.write_bytes(b"")
    claim_hdf5(path, lambda file: None, overwrite=True).close()


def test_a_file_made_meanwhile_is_not_replaced(tmp_path):
    path = tmp_path / "a.txt"
    with pytest.raises(FileExistsError, match="meanwhile"), replacing(path, overwrite=False) as temporary:
        temporary.write_text("mine")
        path.write_text("theirs")
    with pytest.raises(FileExistsError, match="meanwhile"):
        claim_hdf5(tmp_path / "run.h5", lambda file: hdf5(tmp_path / "run.h5"), overwrite=True)
    assert path.read_text() == "theirs" and names(tmp_path) == ["a.txt", "run.h5"]


@pytest.mark.parametrize(("umask", "mode"), [(0o077, 0o600), (0o022, 0o644)])
def test_permissions_are_those_of_a_new_file(tmp_path, umask, mode):
    before = os.umask(umask)
    try:
        write_whole(tmp_path / "a.txt", "a")
        claim_hdf5(tmp_path / "run.h5", lambda file: None).close()
    finally:
        os.umask(before)
    assert [entry.stat().st_mode & 0o777 for entry in tmp_path.iterdir()] == [mode, mode]


def test_the_file_before_is_kept_and_never_missing(tmp_path, monkeypatch):
    path, previous = tmp_path / "run.checkpoint", tmp_path / "run.checkpoint.previous"
    for number in range(3):
        with replacing(path, previous) as temporary:
            temporary.write_text(str(number))
            assert not number or path.read_text() == str(number - 1)
    assert (path.read_text(), previous.read_text()) == ("2", "1") and len(names(tmp_path)) == 2
    monkeypatch.delattr(os, "link")
    monkeypatch.setattr(os, "link", lambda *_: (_ for _ in ()).throw(OSError("no links here")), raising=False)
    with replacing(path, previous) as temporary:
        temporary.write_text("3")
    with replacing(tmp_path / "new", overwrite=False) as temporary:
        temporary.write_text("4")
    assert (path.read_text(), previous.read_text(), (tmp_path / "new").read_text()) == ("3", "2", "4")


def test_a_link_stays_a_link(tmp_path):
    (tmp_path / "disk").mkdir()
    link = tmp_path / "run.h5"
    link.symlink_to("disk/run.h5")
    claim_hdf5(link, lambda file: None).close()
    write_whole(link, "new")
    assert (
        link.is_symlink() and (tmp_path / "disk/run.h5").read_text() == "new" and names(tmp_path / "disk") == ["run.h5"]
    )
    loop = tmp_path / "loop"
    loop.symlink_to("loop")
    with pytest.raises((FileNotFoundError, OSError)):
        open_hdf5(loop)


def test_outputs_that_cannot_be(tmp_path):
    with pytest.raises(IsADirectoryError, match="in it"):
        expect_output(tmp_path)
    with pytest.raises(OSError, match="not a regular file"):
        expect_output("/dev/null")
    os.mkfifo(tmp_path / "pipe")
    for refused in (
        lambda: claim_hdf5(tmp_path / "pipe", dict, overwrite=True),
        lambda: write_whole(tmp_path / "pipe", ""),
    ):
        with pytest.raises(OSError, match="not a regular file"):
            refused()
    with pytest.raises(FileNotFoundError, match="make it before writing a"):
        write_whole(tmp_path / "no/a", "")


def test_errors_name_the_output_and_not_its_temporary_file(tmp_path):
    with pytest.raises(FileNotFoundError) as caught, replacing(tmp_path / "a.h5") as temporary:
        temporary.unlink()
    sentence = f"{tmp_path / 'a.h5'} cannot be written (No such file or directory); choose another path."
    assert str(caught.value) == sentence
    with (
        pytest.raises(OSError, match=r"a\.h5 cannot be written \(No space left on device\); make room"),
        replacing(tmp_path / "a.h5"),
    ):
        raise RuntimeError("Can't decrement id ref count (errno = 28, error message = 'No space left on device')")
    assert not (tmp_path / "a.h5").exists()


@pytest.mark.parametrize("read", [open_hdf5, read_json])
def test_inputs_that_are_no_files(tmp_path, read):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(DataError, match="not a regular file"):
        read(tmp_path / "pipe")
    with pytest.raises(FileNotFoundError, match="does not exist"):
        read(tmp_path / "none")
    with pytest.raises(IsADirectoryError):
        read(tmp_path)


def test_reading_tells_what_is_wrong(tmp_path):
    path = tmp_path / "a.h5"
    hdf5(path)
    with pytest.raises(DataError, match="of another program; give a model"), reading(path, "model"):
        pass
    for said, what in (("converted", "a converted network of dynsim"), ("a\x1b[2J", "an HDF5 file of another program")):
        with open_hdf5(path, "r+") as file:
            file.attrs["dynsim"] = said
        with pytest.raises(DataError, match=f"is {what}; give a model that dynsim wrote"), reading(path, "model"):
            pass
    with pytest.raises(FileError, match=r"a\.h5 is damaged \("), reading(path) as file:
        file["y"]
    with pytest.raises(OSError, match="No space"), reading(path):
        raise OSError(28, "No space left on device")  # of another file, say
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(FileError, match="is damaged"):
        open_hdf5(path)
    assert "ValueError" in str(damaged(path, ValueError()))


OPENING = """
import sys, time
from contextlib import suppress
from dynsim._files import open_hdf5
stop = time.monotonic() + 2
print("go", flush=True)
while time.monotonic() < stop:
    with suppress(ValueError):
        open_hdf5(sys.argv[1])
"""


def test_a_file_that_is_cut_while_it_is_opened_does_no_harm(tmp_path):
    """As by a run that gives back the room it reserved: to touch what is gone would end Python."""
    path = tmp_path / "large.h5"
    path.write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(8_000_000))
    reader = subprocess.Popen([sys.executable, "-c", OPENING, path], stdout=subprocess.PIPE)
    assert reader.stdout.readline() == b"go\n"
    while reader.poll() is None:
        for size in (8_400_000, 8_000_000):
            os.truncate(path, size)
    reader.stdout.close()
    assert reader.returncode == 0


def test_json_is_json(tmp_path):
    path = tmp_path / "a.json"
    value = {"gain": np.inf, "loss": np.float32("nan"), 3: (1, {"b", "a"}), "at": Path("x"), "q": np.eye(2)}
    write_json(path, value, indent=1)
    found = json.loads(path.read_text(), parse_constant=lambda name: pytest.fail(name))
    assert found == read_json(path)
    assert found == {"gain": None, "loss": None, "3": [1, ["a", "b"]], "at": "x", "q": [[1.0, 0.0], [0.0, 1.0]]}
    path.write_bytes(b"\xef\xbb\xbf[1]")
    assert read_json(path) == [1]
    for wrong in (object(), lambda: 1, {1: object}):
        with pytest.raises(TypeError, match="cannot be stored as JSON"):
            to_json(wrong)


def test_deep_and_damaged_json_is_one_sentence(tmp_path):
    path = tmp_path / "a.json"
    for text in ("[" * 100_000, '{"a":' * 100_000, "{", "", "\udcff"):
        path.write_bytes(text.encode(errors="surrogateescape"))
        with pytest.raises(FileError, match=r"a\.json is damaged"):
            read_json(path)
    with pytest.raises(FileError, match="run is damaged"):
        from_json("{", "run")
    deep = []
    for _ in range(100_000):
        deep = [deep]
    with pytest.raises(TypeError, match="nested"):
        to_json(deep)


def test_digests_tell_types_and_shapes_apart():
    arrays = [np.zeros(4), np.zeros((2, 2)), np.zeros(8, np.float32), np.zeros(4)[::2], np.array(0.0)]
    assert len({digest("a", [array]) for array in arrays} | {digest("b", arrays[:1])}) == 6
