"""Archives: the files that are expected, and nothing else, all of them or none."""

import gzip
import io
import tarfile

import pytest

from dynsim.datasets import _archives
from dynsim.datasets._archives import unpack
from dynsim.errors import DataError

SIZES = {"in/b.bin": 5, "in/a.bin": 7000}
SOUND = [("in/a.bin", b"a" * 7000), ("in/b.bin", b"bbbbb")]


def archive(path, members, cut=None):
    """A tar.gz of (name, content); a content that is no bytes is (type, where to) of a link or the like."""
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w") as file:
        for name, content in members:
            member = tarfile.TarInfo(name)
            if isinstance(content, bytes):
                member.size = len(content)
                file.addfile(member, io.BytesIO(content))
            else:
                member.type, member.linkname = content
                file.addfile(member)
    path.write_bytes(gzip.compress(data.getvalue()[:cut]))
    return path


def test_only_what_is_expected_is_written(tmp_path):
    others = [
        ("in", (tarfile.DIRTYPE, "")),
        ("../up.bin", b"up"),
        (f"{tmp_path}/root.bin", b"root"),
        ("in/c.bin", b"c"),
    ]
    others += [("a.bin", b"other"), ("./in/a.bin", b"other"), ("link", (tarfile.SYMTYPE, "/"))]
    path = archive(tmp_path / "x.tar.gz", others + SOUND + others)
    unpack(path, SIZES, tmp_path / "out/deep")
    found = {str(file.relative_to(tmp_path)): file for file in tmp_path.rglob("*") if file.is_file()}
    assert sorted(found) == ["out/deep/a.bin", "out/deep/b.bin", "x.tar.gz"]
    assert found["out/deep/a.bin"].read_bytes() == b"a" * 7000 and found["out/deep/b.bin"].read_bytes() == b"bbbbb"


@pytest.mark.parametrize(
    ("members", "cut", "said"),
    [
        (SOUND[:1], None, r"got no in/b\.bin; expected all files"),
        ([*SOUND, SOUND[0]], None, r"in/a\.bin: got two files; expected one file of 7000 bytes"),
        ([("in/a.bin", b"a" * 6999), SOUND[1]], None, r"in/a\.bin: got 6999 bytes"),
        ([("in/a.bin", b"a" * 7001), SOUND[1]], None, r"in/a\.bin: got 7001 bytes"),
        ([("in/a.bin", (tarfile.SYMTYPE, "/etc/passwd")), SOUND[1]], None, "got no regular file"),
        ([SOUND[1], ("in/a.bin", (tarfile.LNKTYPE, "in/b.bin"))], None, "got no regular file"),
        ([("in/a.bin", (tarfile.FIFOTYPE, "")), SOUND[1]], None, "got no regular file"),
        (SOUND[::-1], 3000, "a damaged archive"),
        (SOUND, 100, "a damaged archive"),
        ([*SOUND, ("in/large.bin", bytes(300_000))], None, "got more bytes; expected little beside"),
        ([("in/large.bin", bytes(300_000)), *SOUND], None, "got more bytes; expected little beside"),
        ([("n" * 300_000, b""), *SOUND], None, "got more bytes; expected little beside"),  # in a header
    ],
)
def test_anything_else_leaves_nothing(members, cut, said, tmp_path, monkeypatch):
    monkeypatch.setattr(_archives, "BESIDE", 100_000)
    path = archive(tmp_path / "x.tar.gz", members, cut)
    with pytest.raises(DataError, match=said):
        unpack(path, SIZES, tmp_path / "out")
    assert [file.name for file in tmp_path.iterdir()] == ["x.tar.gz"]


def test_files_that_are_there_stay_when_an_archive_is_damaged(tmp_path):
    (tmp_path / "a.bin").write_bytes(b"old")
    path = archive(tmp_path / "x.tar.gz", SOUND)
    path.write_bytes(path.read_bytes()[:-30])
    with pytest.raises(DataError, match="damaged archive"):
        unpack(path, SIZES, tmp_path)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["a.bin", "x.tar.gz"]
    assert (tmp_path / "a.bin").read_bytes() == b"old"


def test_the_last_file_is_last_there(tmp_path, monkeypatch):
    named, replace = [], _archives.replacing

    def replacing(path):
        class Told:
            def __enter__(self):
                self.inner = replace(path)
                return self.inner.__enter__()

            def __exit__(self, *error):
                named.append(path.name)
                return self.inner.__exit__(*error)

        return Told()

    monkeypatch.setattr(_archives, "replacing", replacing)
    unpack(archive(tmp_path / "x.tar.gz", SOUND), SIZES, tmp_path / "out")
    assert named == ["b.bin", "a.bin"]
