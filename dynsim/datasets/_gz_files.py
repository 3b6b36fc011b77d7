"""Files that may be packed by gzip: found under either name, and read by what they begin with."""

from __future__ import annotations

import gzip
import os
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from dynsim.errors import DataError

GZIP = b"\x1f\x8b"


def find_gz(folder: str | os.PathLike, name: str) -> Path | None:
    """Return the file of this name in a folder, packed (NAME.gz) or not, or None.

    Examples
    --------
    >>> from dynsim.datasets import EMBEDDED
    >>> find_gz(EMBEDDED, "t10k-labels-idx1-ubyte").name
    't10k-labels-idx1-ubyte.gz'
    """
    return next((path for path in (Path(folder, f"{name}.gz"), Path(folder, name)) if path.is_file()), None)


@contextmanager
def reading_gz(path: Path, what: str) -> Iterator[tuple[IO[bytes], bool]]:
    """The file opened for reading, unpacked if it is a gz file whatever its name, and whether it is one.

    Raises
    ------
    DataError
        If it is not a regular file, or turns out in the block to be a damaged gz file. `what` is said to be given.
    FileNotFoundError
        If there is none.
    """
    if path.exists() and not path.is_file():
        raise DataError(f"{path} is not a regular file; give {what}.")
    with open(path, "rb") as file:
        packed = file.read(2) == GZIP
    try:
        with (gzip.open if packed else open)(path, "rb") as file:
            yield file, packed
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise DataError(f"{path} is a damaged gz file ({error}); fetch it again.") from None
