"""Downloads of data sets, as files or an archive: from mirrors, by checksum, into a folder that can be written."""

from __future__ import annotations

import os
import threading
import time as clock
from collections.abc import Callable, Sequence
from pathlib import Path

from dynsim._check import as_callable, as_choice, as_instance
from dynsim._files import expect_output, replacing
from dynsim.errors import DataError

from ._cifar_files import ARCHIVE, folder_of_batches, has_all_batches, unpack_batches
from ._idx_files import FILES
from ._loading import EMBEDDED, NAMES, search_path

DOWNLOADS = dict.fromkeys(("mnist", "fashion-mnist", "kmnist"), tuple(f"{file}.gz" for file in FILES))
DOWNLOADS["cifar10"] = (ARCHIVE,)
# MD5 of DOWNLOADS, as their authors publish them; they guard against damage, not against an attacker.
CHECKSUMS = {
    "mnist": (
        "f68b3c2dcbeaaa9fbdd348bbdeb94873",
        "d53e105ee54ea40749a09fcbcd1e9432",
        "9fb629c4189551a2d022fa330f9573f3",
        "ec29112dd5afa0611ce80d1b7f02629c",
    ),
    "fashion-mnist": (
        "8d4fb7e6c68d591d4c3dfef9ec88bf0d",
        "25c81989df183df01b3e8a0aad5dffbe",
        "bef4ecab320f06d8554ea6380940ec79",
        "bb300cfdad3c16e7a12a480ee83cd310",
    ),
    "kmnist": (
        "bdb82020997e1d708af4cf47b453dcf7",
        "e144d726b3acfaa3e44228e80efcd344",
        "5c965bf0a639b31b8f53240b1b52f4d7",
        "7320c461ea6c1c855c0b718fb2a4b134",
    ),
    "cifar10": ("c32a1d4ab5d03f1284b67883e8d87530",),
}
MIRRORS = {
    "mnist": ("https://ossci-datasets.s3.amazonaws.com/mnist/", "https://storage.googleapis.com/cvdf-datasets/mnist/"),
    "fashion-mnist": (
        "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
        "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/",
    ),
    "kmnist": (
        "https://codh.rois.ac.jp/kmnist/dataset/kmnist/",
        "https://web.archive.org/web/2023id_/http://codh.rois.ac.jp/kmnist/dataset/kmnist/",
    ),
    "cifar10": (
        "https://www.cs.toronto.edu/~kriz/",
        "https://storage.googleapis.com/s4tf-hosted-binaries/datasets/CIFAR10/",
    ),
}
TIMEOUT = 30  # seconds without an answer
LARGEST = 2**28  # bytes of a file: the largest of the known ones has 170 MB
SLOWEST = 1024  # bytes a second, on average after a TIMEOUT


def fetch(
    name: str,
    data_dir: str | os.PathLike | None = None,
    *,
    mirrors: Sequence[str] | None = None,
    progress: Callable | None = None,
) -> Path:
    """Download a data set and return its folder; files that are there with the right checksum stay.

    A mirror that does not answer, is very slow, or whose file is damaged, is passed over for the next one. Of
    cifar10 an archive is downloaded; its six files of images are unpacked to cifar-10-batches-bin, and it is removed.
    Where all six are there and sound, nothing is done.

    Parameters
    ----------
    name : str
        mnist, fashion-mnist, kmnist or cifar10 (170 MB); digits is embedded and returns at once.
    data_dir : path, optional
        Where to; default the first folder of `search_path` that can be written.
    mirrors : sequence of str, optional
        Addresses to try instead of the known ones.
    progress : callable, optional
        Called with (bytes done, bytes in all or 0 where not known, name=file) during every download; if it returns
        true, KeyboardInterrupt is raised and the file is not kept.

    Raises
    ------
    ValueError
        If the name is unknown.
    DataError
        If no folder can be written, or no mirror gave a sound file; all reasons are named. If an archive does not
        hold its files.

    Examples
    --------
    >>> fetch("digits").name
    'digits'
    """
    as_choice(name, NAMES, "name")
    as_instance(mirrors, list | tuple | None, "mirrors")
    as_callable(progress, "progress")
    folders = search_path() if data_dir is None else [Path(data_dir)]
    if name == "digits":
        return EMBEDDED
    folder = _writable(name, folders)
    if name == "cifar10" and has_all_batches(folder_of_batches(folder)):
        return folder_of_batches(folder)
    for file, checksum in zip(DOWNLOADS[name], CHECKSUMS[name], strict=True):
        _one(folder / file, checksum, mirrors or MIRRORS[name], progress)
    return unpack_batches(folder) if name == "cifar10" else folder


def _one(path, checksum, mirrors, progress):
    import pooch

    if path.is_file() and pooch.file_hash(path, alg="md5") == checksum:
        return
    reasons = []
    for mirror in mirrors:
        url = mirror.rstrip("/") + "/" + path.name
        try:
            with replacing(path) as temporary:
                _download(url, temporary, _Watch(path.name, progress))
                if pooch.file_hash(temporary, alg="md5") != checksum:
                    raise ValueError("damaged, another checksum")
            return
        except (OSError, ValueError) as error:  # no answer, or another file
            reasons.append(f"{url}: {_reason(error)}")
    said = "; ".join(reasons)
    raise DataError(f"{path.name}: no mirror gave it whole ({said}). Try later, or put it into {path.parent}.")


def _download(url, path, watch):
    """Download into a file, and wait no longer than a server may take.

    A time-out of a connection begins anew with every byte, in the header too, so the download is left to a thread
    that is not waited for. The file is opened here: a thread that begins late makes no new one.
    """
    import pooch

    failed, over, file = [], threading.Event(), open(path, "wb")

    def work():
        try:
            pooch.HTTPDownloader(progressbar=watch, timeout=TIMEOUT)(url, file, None)
        except BaseException as error:  # raised where the download was asked for
            failed.append(error)
        over.set()

    threading.Thread(target=work, daemon=True).start()
    try:
        while not over.wait(max(0.0, watch.left())):
            watch.expect_speed()
    finally:
        watch.ended = True
        file.close()
    if failed:
        raise failed[0]


class _Watch:
    """What pooch takes for a bar: tells the progress, and ends downloads that are endless or very slow."""

    def __init__(self, name, progress):
        self.name, self.progress, self.total = name, progress, 0
        self.done, self.began, self.ended, self.whole = 0, clock.monotonic(), False, False

    def update(self, count):
        if self.ended:
            raise ValueError("the download was abandoned")
        if self.whole:
            return
        self.done += count
        if max(self.done, self.total) > LARGEST:
            raise ValueError(f"larger than {LARGEST} bytes")
        self.expect_speed()
        done = min(self.done, self.total or self.done)  # whole chunks are counted
        if self.progress is not None and self.progress(done, self.total, name=self.name):
            raise KeyboardInterrupt

    def left(self):
        """Seconds until the server is too slow, if no more comes."""
        return self.began + TIMEOUT + self.done / SLOWEST - clock.monotonic()

    def expect_speed(self):
        """End a download that is too slow on average; raises ValueError."""
        if self.left() < 0:
            raise ValueError(f"slower than {SLOWEST} bytes a second")

    def reset(self):
        self.whole = True  # pooch now sets the bar to its end

    def close(self):
        pass


def _reason(error):
    response = getattr(error, "response", None)
    if response is not None:
        return f"HTTP {response.status_code}"
    return str(error) if isinstance(error, ValueError) else type(error).__name__


def _writable(name, folders):
    reasons = []
    for folder in folders:
        try:
            (folder / name).mkdir(parents=True, exist_ok=True)
            expect_output(folder / name / DOWNLOADS[name][0])
            return folder / name
        except OSError as error:
            reasons.append(f"{folder}: {error.strerror or error}")
    raise DataError(f"{name}: no folder to write to ({'; '.join(reasons)}); give one with --data-dir.")
