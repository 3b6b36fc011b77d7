"""Downloads, from a server that the test starts."""

import functools
import hashlib
import http.server
import itertools
import threading
from types import SimpleNamespace

import pytest

from dynsim.cli import main
from dynsim.datasets import CHECKSUMS, FILES, MIRRORS, fetch, find
from dynsim.errors import DataError


class Quiet(http.server.SimpleHTTPRequestHandler):
    asked = []  # noqa: RUF012

    def log_message(self, *_):
        self.asked.append(self.path)


@pytest.fixture
def mirrors(tmp_path, monkeypatch):
    """Two mirrors, /good/ and /damaged/, of four small files, and a search path of their own."""
    contents = [bytes([k]) * 100 for k in range(4)]
    for folder in ("good", "damaged"):
        (tmp_path / "served" / folder).mkdir(parents=True)
    for file, content in zip(FILES, contents, strict=True):
        (tmp_path / "served/good" / f"{file}.gz").write_bytes(content)
        (tmp_path / "served/damaged" / f"{file}.gz").write_bytes(content[:-1])
    monkeypatch.setitem(CHECKSUMS, "mnist", tuple(hashlib.md5(c).hexdigest() for c in contents))
    monkeypatch.setenv("DYNSIM_DATA", str(tmp_path / "data"))
    Quiet.asked.clear()
    server = http.server.ThreadingHTTPServer(
        ("127.0.0.1", 0), functools.partial(Quiet, directory=str(tmp_path / "served"))
    )
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield {name: f"http://127.0.0.1:{server.server_port}/{name}/" for name in ("good", "damaged", "missing")}
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_damaged_and_a_missing_mirror_are_passed_over(mirrors, tmp_path):
    folder = fetch("mnist", mirrors=[mirrors["missing"], mirrors["damaged"], mirrors["good"]])
    assert folder == tmp_path / "data/mnist" == find("mnist")
    assert sorted(f.name for f in folder.iterdir()) == sorted(f"{file}.gz" for file in FILES)
    assert [(folder / f"{file}.gz").read_bytes()[0] for file in FILES] == [0, 1, 2, 3]


def test_sound_files_are_not_asked_for_again_and_damaged_ones_are(mirrors, tmp_path):
    folder = fetch("mnist", tmp_path / "here", mirrors=[mirrors["good"]])
    (folder / f"{FILES[2]}.gz").write_bytes(b"spoiled")
    Quiet.asked.clear()
    fetch("mnist", tmp_path / "here", mirrors=[mirrors["good"]])
    assert Quiet.asked == [f"/good/{FILES[2]}.gz"]


def test_no_sound_mirror_is_an_error_that_names_all_reasons(mirrors, tmp_path):
    closed = "http://127.0.0.1:9/"  # the discard port: nobody answers
    with pytest.raises(DataError, match=r"damaged, another checksum.*HTTP 404.*ConnectionError"):
        fetch("mnist", mirrors=[mirrors["damaged"], mirrors["missing"], closed])
    assert not list((tmp_path / "data/mnist").iterdir())


def test_folders_that_cannot_be_written_are_passed_over(mirrors, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("x")
    monkeypatch.setenv("DYNSIM_DATA", str(tmp_path / "file"))
    monkeypatch.chdir(tmp_path)
    assert fetch("mnist", mirrors=[mirrors["good"]]).resolve() == tmp_path / "data/mnist"
    with pytest.raises(DataError, match="no folder to write to"):
        fetch("mnist", tmp_path / "file")


def test_progress_is_told_and_can_stop(mirrors, tmp_path):
    told = []
    folder = fetch(
        "mnist",
        tmp_path,
        mirrors=[mirrors["good"]],
        progress=lambda done, total, name: told.append((done, total, name)),
    )
    assert told == [(100, 100, f"{file}.gz") for file in FILES]
    (folder / f"{FILES[1]}.gz").unlink()
    with pytest.raises(KeyboardInterrupt):
        fetch("mnist", tmp_path, mirrors=[mirrors["good"]], progress=lambda done, total, name: True)
    assert len(list(folder.iterdir())) == 3


def test_endless_and_slow_mirrors_are_passed_over(mirrors, tmp_path, monkeypatch):
    with monkeypatch.context() as patch, pytest.raises(DataError, match="larger than 10 bytes"):
        patch.setattr("dynsim.datasets._download.LARGEST", 10)
        fetch("mnist", tmp_path, mirrors=[mirrors["good"]])
    with monkeypatch.context() as patch, pytest.raises(DataError, match="slower than 1024 bytes a second"):
        hundreds = itertools.count(0, 100)
        patch.setattr("dynsim.datasets._download.clock", SimpleNamespace(monotonic=lambda: next(hundreds)))
        fetch("mnist", tmp_path, mirrors=[mirrors["good"]])
    assert not list((tmp_path / "mnist").iterdir())


def test_every_download_has_two_mirrors_and_checksums():
    assert set(MIRRORS) == set(CHECKSUMS) == {"mnist", "fashion-mnist", "kmnist"}
    for name, addresses in MIRRORS.items():
        assert len(set(addresses)) >= 2 and len(set(CHECKSUMS[name])) == 4
        assert all(len(c) == 32 and not set(c) - set("0123456789abcdef") for c in CHECKSUMS[name])


def test_the_command(mirrors, capsys):
    with pytest.raises(SystemExit) as stop:
        main(["data", "fetch", "mnist", "--mirror", mirrors["good"]])
    assert stop.value.code == 0 and capsys.readouterr().out.strip().endswith("mnist")
    with pytest.raises(SystemExit) as stop:
        main(["data", "list"])
    out = capsys.readouterr().out
    assert stop.value.code == 0 and "embedded" in out and "dynsim data fetch kmnist" in out
    with pytest.raises(SystemExit) as stop:
        main(["data", "fetch", "mnits"])
    assert stop.value.code == 1 and "name: got 'mnits'; expected one of digits, mnist" in capsys.readouterr().err
