"""Downloads: from mirrors, by checksum, into the first folder that can be written."""

from __future__ import annotations

import logging
import tempfile
from pathlib import Path

from dynsim.errors import DataError

from ._load import EMBEDDED, FILES, expect_name, search_path

# MD5 of FILES with .gz, as their authors publish them; they guard against damage, not against an attacker.
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
}
MIRRORS = {
    "mnist": (
        "https://ossci-datasets.s3.amazonaws.com/mnist/",
        "https://storage.googleapis.com/cvdf-datasets/mnist/",
    ),
    "fashion-mnist": (
        "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
        "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/",
    ),
    "kmnist": (
        "https://codh.rois.ac.jp/kmnist/dataset/kmnist/",
        "https://web.archive.org/web/2023id_/http://codh.rois.ac.jp/kmnist/dataset/kmnist/",
    ),
}
TIMEOUT = 30  # seconds without an answer


def fetch(name, data_dir=None, mirrors=None, progress=False):
    """Download a data set and return its folder; files that are there with the right checksum stay.

    A mirror that does not answer, or whose file is damaged, is passed over for the next one.

    Parameters
    ----------
    name : str
        mnist, fashion-mnist or kmnist; digits is embedded and returns at once.
    data_dir : path, optional
        Where to; default the first folder of `search_path` that can be written.
    mirrors : sequence of str, optional
        Addresses to try instead of the known ones.
    progress : bool
        Bars on stderr.

    Raises
    ------
    DataError
        If the name is unknown, no folder can be written, or no mirror gave a sound file; all reasons are named.

    Examples
    --------
    >>> fetch("digits").name
    'digits'
    """
    expect_name(name)
    for what, value, kind in (("mirrors", mirrors, list | tuple | None), ("progress", progress, bool)):
        if not isinstance(value, kind):
            raise DataError(f"data set: got {what} of type {type(value).__name__}; expected {kind}.")
    if data_dir is not None:
        data_dir = Path(data_dir)
    if name == "digits":
        return EMBEDDED
    folder = _writable(name, data_dir)
    for file, checksum in zip(FILES, CHECKSUMS[name], strict=True):
        _one(f"{file}.gz", checksum, folder, mirrors or MIRRORS[name], progress)
    return folder


def _one(file, checksum, folder, mirrors, progress):
    import pooch

    # pooch tells about every attempt; what the user needs is in the error or the returned folder.
    pooch.get_logger().setLevel(logging.WARNING)
    reasons = []
    for mirror in mirrors:
        url = mirror.rstrip("/") + "/" + file
        try:
            pooch.retrieve(
                url,
                f"md5:{checksum}",
                fname=file,
                path=folder,
                downloader=pooch.HTTPDownloader(progressbar=progress, timeout=TIMEOUT),
            )
            return
        except (OSError, ValueError) as error:  # no answer, or another checksum
            reasons.append(f"{url}: {_reason(error)}")
    raise DataError(f"{file}: no mirror gave it whole ({'; '.join(reasons)}). Try later, or put it into {folder}.")


def _reason(error):
    response = getattr(error, "response", None)
    if response is not None:
        return f"HTTP {response.status_code}"
    if isinstance(error, ValueError):
        return "damaged, another checksum"
    return type(error).__name__


def _writable(name, data_dir):
    folders = [Path(data_dir)] if data_dir else search_path()
    reasons = []
    for folder in folders:
        try:
            (folder / name).mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=folder / name):
                return folder / name
        except OSError as error:
            reasons.append(f"{folder}: {error.strerror}")
    raise DataError(f"{name}: no folder to write to ({'; '.join(reasons)}); give one with --data-dir.")
