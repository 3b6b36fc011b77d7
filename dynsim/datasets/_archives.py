"""Archives: some files of a tar.gz, whole or not at all; neither its names nor its sizes are believed."""

from __future__ import annotations

import gzip
import shutil
import tarfile
import zlib
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path

from dynsim._check import refusal
from dynsim._files import making_folder, replacing
from dynsim.errors import DataError

BESIDE = 2**24  # bytes of an archive beside the files that are expected: headers, and files that are passed over


def unpack(path: Path, sizes: Mapping[str, int], folder: Path):
    """Write the files that are named in `sizes`, by member and size in bytes, to a folder; the last one is last there.

    Other members are passed over. Each file has its name when all are written, in the order of `sizes`.

    Raises
    ------
    DataError
        If a file is missing, is there twice, is no regular file or of another size, or the archive is damaged or holds
        much more than these files.
    OSError
        If a file cannot be written.
    """
    with making_folder(folder), ExitStack() as stack:
        # A stack is left from its end, so the first file gets its name first.
        places = {name: stack.enter_context(replacing(folder / Path(name).name)) for name in reversed(sizes)}
        try:
            with (
                gzip.open(path) as file,
                tarfile.open(fileobj=_Bounded(file, sum(sizes.values()) + BESIDE, path), mode="r|") as archive,
            ):
                for member in archive:
                    if member.name in sizes:
                        _expect_file(path, member, sizes, places)
                        _copy(archive.extractfile(member), places.pop(member.name), member.size)
        except (tarfile.TarError, gzip.BadGzipFile, EOFError, zlib.error) as error:
            raise DataError(f"{path} is a damaged archive ({error}); fetch it again.") from None
        if places:
            raise refusal(path, f"no {', '.join(reversed(places))}", "all files of the archive", error=DataError)


class _Bounded:
    """What an archive unpacks to, read in turn, up to a number of bytes."""

    def __init__(self, file, most, path):
        self.file, self.left, self.path = file, most, path

    def read(self, size):
        data = self.file.read(min(size, self.left + 1))
        self.left -= len(data)
        if self.left < 0:
            raise refusal(self.path, "more bytes", "little beside the files of the archive", error=DataError)
        return data


def _expect_file(path, member, sizes, places):
    where, expected = f"{path}: {member.name}", f"one file of {sizes[member.name]} bytes"
    if not member.isreg():
        raise refusal(where, "no regular file", expected, error=DataError)
    if member.name not in places:
        raise refusal(where, "two files", expected, error=DataError)
    if member.size != sizes[member.name]:
        raise refusal(where, f"{member.size} bytes", expected, error=DataError)


def _copy(source, place, size):
    with open(place, "wb") as file:
        shutil.copyfileobj(source, file)
        if file.tell() != size:
            raise EOFError(f"{file.tell()} of {size} bytes")
