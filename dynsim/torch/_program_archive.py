"""The archive of a program (.pt2): every entry is checked, and PyTorch is given a copy of what was checked.

torch.export.load unpickles and executes much of what an archive may hold. What comes here may hold the graph, checked
by `_program_grammar`, and plain numbers; the rest is refused, or not passed on where it is no part of the program. A
copy is made because zip files can be written so that two programs read different entries from them.
"""

from __future__ import annotations

import io
import re
import zipfile

from dynsim._check import expect_memory, refusal
from dynsim._files import damaged, from_json, to_json
from dynsim.errors import DataError, FileError

from ._program_grammar import REMEDY, SIZES, payload, program, refused

MOST_ENTRIES = 100_000
LARGEST_GRAPH = 2**28  # bytes of JSON


def checked_archive(file, name):
    """A copy of the archive `file`, open for reading, in which nothing makes PyTorch execute code.

    Raises
    ------
    DataError
        If an entry is of another kind.
    FileError
        If the archive is damaged.
    """
    entries = _entries(file, name)
    copy = io.BytesIO()
    with zipfile.ZipFile(file) as source, zipfile.ZipFile(copy, "w", zipfile.ZIP_STORED) as target:
        sizes = {path: entry.file_size for path, entry in entries.items()}
        for path, entry in entries.items():
            place = f"{name}, {path}"
            if path.startswith("extra/") or path in (".data/serialization_id", "data/sample_inputs/model.pt"):
                content = b""  # neither is a part of the program; the second is a pickle
            elif path == "models/model.json":
                content = _graph(source, entry, program, place)
            elif found := re.fullmatch(r"data/(weights|constants)/model_(weights|constants)_config\.json", path):
                folder, prefix = f"data/{found[1]}", {"weights": "weight_", "constants": "tensor_"}[found[1]]
                content = _payload(source, entry, place, prefix, folder, sizes)
            elif re.fullmatch(r"data/weights/weight_\d{1,9}|data/constants/tensor_\d{1,9}", path):
                content = source.read(entry)
            elif re.fullmatch(r"(\.data/)?version|archive_format|archive_version|byteorder|\.\w+", path):
                content = source.read(entry)
                if not re.fullmatch(rb"\w{1,40}\s?", content):
                    raise refused(place, content[:40], "a word")
            else:
                raise refusal(place, "an entry of another kind", "a graph and plain numbers", REMEDY, error=DataError)
            target.writestr(f"program/{path}", content)
    copy.seek(0)
    return copy


def _entries(file, name):
    """{path without the archive's own name: entry}."""
    stored = file.seek(0, io.SEEK_END)
    with zipfile.ZipFile(file) as archive:
        found = archive.infolist()
    entries = {}
    for entry in found:
        root, _, path = entry.filename.partition("/")
        if root != found[0].filename.partition("/")[0] or path in entries:
            raise refusal(
                f"{name}, {entry.filename}", "a name twice or of another root", "one", REMEDY, error=DataError
            )
        if entry.compress_type != zipfile.ZIP_STORED or entry.file_size != entry.compress_size or entry.flag_bits & 1:
            raise refusal(f"{name}, {entry.filename}", "compressed", "plain bytes", REMEDY, error=DataError)
        entries[path] = entry
    promised = sum(entry.file_size for entry in found)
    if promised > stored or len(found) > MOST_ENTRIES:
        raise FileError(f"{name} is damaged: its {len(found):,} entries promise {promised:,} bytes of {stored:,}.")
    if "models/model.json" not in entries:
        raise refusal(name, "an archive without models/model.json", "a program", REMEDY, error=DataError)
    return entries


def _graph(source, entry, rule, place):
    if entry.file_size > LARGEST_GRAPH:
        raise FileError(f"{place} has {entry.file_size:,} bytes, more than a graph has; export the network anew.")
    try:
        return to_json(rule(from_json(source.read(entry), place), place))
    except RecursionError as error:
        raise damaged(place, error) from None


def _payload(source, entry, place, prefix, folder, sizes):
    """The table of tensors, every one of which has its numbers in the archive."""
    checked = _graph(source, entry, payload(prefix), place)
    total = 0
    for key, one in from_json(checked, place).get("config", {}).items():
        meta, stored = one["tensor_meta"], sizes.get(f"{folder}/{one['path_name']}", 0)
        lengths, strides = ([size["as_int"] for size in meta[name]] for name in ("sizes", "strides"))
        width = SIZES.get(meta["dtype"])
        if width is None or len(lengths) != len(strides):
            raise refused(f"{place}.config.{key}", meta, "a type and as many strides as sizes")
        count, last = 1, meta["storage_offset"]["as_int"]
        for length, stride in zip(lengths, strides, strict=True):
            count, last = count * length, last + (length - 1) * stride
        total += count * width
        if stored % width or (count and (last + 1) * width > stored):
            raise FileError(f"{place} is damaged: {key} of shape {lengths} needs more than its {stored:,} bytes.")
    expect_room(total, f"{place}, its tensors")
    return checked


def expect_room(size, what):
    """Refuse a size in bytes that this machine cannot hold; raises DataError."""
    try:
        expect_memory(size, what, "give a network that this machine can hold")
    except ValueError as error:
        raise DataError(str(error)) from None
