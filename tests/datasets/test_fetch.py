"""Downloads, from a server that the test starts."""

import contextlib
import functools
import gzip
import hashlib
import http.server
import io
import itertools
import shutil
import tarfile
import threading
from types import SimpleNamespace

import numpy as np
import pytest

from dynsim.cli import main
from dynsim.datasets import CHECKSUMS, FILES, MIRRORS, fetch, find, load
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
    assert set(MIRRORS) == set(CHECKSUMS) == {"mnist", "fashion-mnist", "kmnist", "cifar10"}
    for name, addresses in MIRRORS.items():
        assert len(set(addresses)) >= 2 and len(set(CHECKSUMS[name])) == (1 if name == "cifar10" else 4)
        assert all(len(c) == 32 and not set(c) - set("0123456789abcdef") for c in CHECKSUMS[name])


NAMES = [*(f"data_batch_{number}.bin" for number in range(1, 6)), "test_batch.bin"]


@pytest.fixture
def archive(mirrors, tmp_path, monkeypatch):
    """CIFAR-10 with 3 images a file, on the good mirror, beside files that are not expected."""
    monkeypatch.setattr("dynsim.datasets._cifar_files.MOST", 3)
    path = tmp_path / "served/good/cifar-10-binary.tar.gz"
    with tarfile.open(path, "w:gz") as file:
        for name in ("readme.html", "batches.meta.txt", *NAMES):
            member = tarfile.TarInfo(f"cifar-10-batches-bin/{name}")
            member.size = 3 * 3073
            file.addfile(member, io.BytesIO(bytes([NAMES.index(name) if name in NAMES else 0]) * member.size))
    monkeypatch.setitem(CHECKSUMS, "cifar10", (hashlib.md5(path.read_bytes()).hexdigest(),))
    (tmp_path / "served/damaged" / path.name).write_bytes(path.read_bytes()[:-9])
    return path


def test_an_archive_is_unpacked_and_its_files_stay(mirrors, archive, tmp_path):
    folder = fetch("cifar10", mirrors=[mirrors["damaged"], mirrors["good"]])
    assert folder == tmp_path / "data/cifar10/cifar-10-batches-bin" == find("cifar10")
    assert sorted(file.name for file in folder.iterdir()) == NAMES
    assert [file.name for file in folder.parent.iterdir()] == [folder.name]
    data = load("cifar10")
    assert data.train_labels.tolist() == [label for label in range(5) for _ in range(3)] and data.notes == ()
    assert data.test_labels.tolist() == [5, 5, 5] and np.all(data.test_images == np.float32(5) / 255)
    Quiet.asked.clear()
    assert fetch("cifar10", mirrors=[mirrors["good"]]) == folder and not Quiet.asked
    (folder / NAMES[3]).write_bytes(b"spoiled")
    assert fetch("cifar10", mirrors=[mirrors["good"]]) == folder and len(Quiet.asked) == 1
    assert load("cifar10").notes == ()


def test_whole_batches_stay_in_whichever_folder_they_are(mirrors, archive, tmp_path):
    (tmp_path / "data/cifar10").mkdir(parents=True)
    for name in NAMES:
        (tmp_path / "data/cifar10" / f"{name}.gz").write_bytes(gzip.compress(bytes(3 * 3073)))
    assert fetch("cifar10", mirrors=[mirrors["good"]]) == tmp_path / "data/cifar10" and not Quiet.asked


def test_a_part_gives_way_to_the_whole(mirrors, archive, tmp_path):
    (tmp_path / "data/cifar10").mkdir(parents=True)
    for name in (NAMES[0], NAMES[-1]):
        (tmp_path / "data/cifar10" / name).write_bytes(bytes(3073))
    assert len(load("cifar10").notes) == 1
    fetch("cifar10", mirrors=[mirrors["good"]])
    assert load("cifar10").notes == ()


def test_an_archive_that_was_put_there_is_not_asked_for(mirrors, archive, tmp_path):
    (tmp_path / "cifar10").mkdir()
    shutil.copy(archive, tmp_path / "cifar10")
    assert len(list(fetch("cifar10", tmp_path, mirrors=[mirrors["good"]]).iterdir())) == 6 and not Quiet.asked


def test_an_interrupted_download_of_an_archive_leaves_nothing(mirrors, archive, tmp_path, monkeypatch):
    with pytest.raises(KeyboardInterrupt):
        fetch("cifar10", tmp_path, mirrors=[mirrors["good"]], progress=lambda done, total, name: True)
    with pytest.raises(DataError, match=r"cifar-10-binary\.tar\.gz: no mirror gave it whole .*another checksum"):
        fetch("cifar10", tmp_path, mirrors=[mirrors["damaged"]])
    assert not list((tmp_path / "cifar10").iterdir())

    def interrupted(source, file):
        file.write(source.read(100))
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr("dynsim.datasets._archives.shutil", SimpleNamespace(copyfileobj=interrupted))
        fetch("cifar10", tmp_path, mirrors=[mirrors["good"]])
    assert [file.name for file in (tmp_path / "cifar10").iterdir()] == [archive.name]  # whole, and used next time
    Quiet.asked.clear()
    assert fetch("cifar10", tmp_path, mirrors=[mirrors["good"]]).name == "cifar-10-batches-bin" and not Quiet.asked


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
