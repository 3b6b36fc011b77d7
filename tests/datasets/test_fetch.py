"""Downloads, from a server that the test starts."""

import contextlib
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


class Bad(http.server.BaseHTTPRequestHandler):
    """Answers one byte after another, or without an end, until the client or the test has gone."""

    over = threading.Event()

    def log_message(self, *_):
        pass

    def do_GET(self):
        way = self.path.split("/")[1]
        starts = {"body": b"Content-Length: 100\r\n\r\n", "chunks": b"Transfer-Encoding: chunked\r\n\r\n"}
        piece, pause = {"endless": (bytes(4096), 0), "chunks": (b"0", 0.01)}.get(way, (b"x", 0.01))
        with contextlib.suppress(OSError):
            if way == "redirect":
                self.wfile.write(b"HTTP/1.1 302 Found\r\nLocation: " + self.path.encode() + b"x\r\n\r\n")
                return
            self.wfile.write(b"HTTP/1.1 200 OK\r\n" + starts.get(way, b"X-Long: " if way == "header" else b"\r\n"))
            while not self.over.wait(pause):
                self.wfile.write(piece)


@pytest.fixture
def bad_mirror():
    Bad.over.clear()
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Bad)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield lambda way: f"http://127.0.0.1:{server.server_port}/{way}/"
    Bad.over.set()
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.parametrize(
    ("way", "words"),
    [
        ("body", "slower than 1024 bytes a second"),
        ("header", "slower than 1024 bytes a second"),
        ("chunks", "slower than 1024 bytes a second"),
        ("endless", "larger than 100000 bytes"),
        ("redirect", "HTTP 302"),
    ],
)
def test_a_mirror_that_never_ends_is_passed_over(way, words, mirrors, bad_mirror, tmp_path, monkeypatch):
    # A drip is slower than the limit however busy the machine is, so the patience may be short.
    monkeypatch.setattr("dynsim.datasets._download.TIMEOUT", 0.1 if "slower" in words else 600.0)
    monkeypatch.setattr("dynsim.datasets._download.LARGEST", 100_000)
    with pytest.raises(DataError, match=words):
        fetch("mnist", tmp_path, mirrors=[bad_mirror(way)])
    assert not list((tmp_path / "mnist").iterdir())
    monkeypatch.setattr("dynsim.datasets._download.TIMEOUT", 600.0)
    fetch("mnist", tmp_path, mirrors=[bad_mirror("redirect"), mirrors["good"]])
    assert len(list((tmp_path / "mnist").iterdir())) == 4


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
