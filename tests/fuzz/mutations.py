"""Changes of files that keep their structure, or break it on purpose: one function for each kind of file.

Each takes a generator (numpy.random.Generator), the bytes of a valid file and a folder for what a change needs beside
it, and returns the bytes of another file and what was done to it.
"""

import gzip
import io
import json
import struct
import tomllib
import zipfile
from pathlib import Path

import h5py
import numpy as np

DEEP = "@deep@"  # a place where lists are nested so deep that no writer of JSON would write them
MARKER = "marker-of-code-that-ran"
NUMBERS = [
    0, 1, -1, 2, 3, 7, 1000, 10**5, 10**9, 2**31, 2**32, 2**62, 2**63 - 1, 2**63, -(2**63), 10**30, 10**400, 0.0, -0.0,
    0.5, -1.5, 1e-300, 5e-324, 1e8, 1e18, 1e30, 1e200, 1.7e308, float("inf"), -float("inf"), float("nan"),
]  # fmt: skip
TEXTS = [
    "", "x", "inverse", "l1", "normal", "..", "/", "\0", "a" * 5000, "é\u202e", "1e400", "%s%s", "{0}", "<svg>",
    "c / r", "c*r**-400", "exp(exp(r))", "r" * 300, "(" * 200 + "r" + ")" * 200, "9**9**9", "-1", "nan", "mlp",
    "forces", f"__import__('pathlib').Path({MARKER!r}).touch()",
]  # fmt: skip


def pick(rng, values):
    """One of a sequence."""
    return values[int(rng.integers(len(values)))]


def odd_value(rng, depth=2):
    """A value that a reader may not expect."""
    kind = rng.integers(10)
    if kind < 4:
        return pick(rng, NUMBERS)
    if kind < 6:
        return pick(rng, TEXTS)
    if kind == 6:
        return pick(rng, [None, True, False, [], {}, [[]], [{}], DEEP])
    if depth and kind == 7:
        return [odd_value(rng, depth - 1) for _ in range(rng.integers(1, 5))]
    if depth and kind == 8:
        return {pick(rng, ["kind", "name", "places", "a", ""]): odd_value(rng, depth - 1) for _ in range(2)}
    return [pick(rng, NUMBERS)] * int(pick(rng, [1, 2, 3, 64, 3000]))


def change_tree(rng, tree):
    """Change one place of nested dictionaries and lists; returns the tree and what was done."""
    places = []

    def visit(value, path):
        items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
        for key, item in list(items)[:200]:
            places.append((value, key, [*path, key]))
            visit(item, [*path, key])

    root = {"": tree}
    visit(root, [])
    parent, key, path = places[int(rng.integers(len(places)))]
    kind = rng.integers(8)
    if kind < 4:
        parent[key] = odd_value(rng)
    elif kind == 4 and key != "":
        del parent[key]
    elif kind == 5 and isinstance(parent[key], dict):
        parent[key][str(pick(rng, [*TEXTS, "unknown"]))] = odd_value(rng)
    elif kind == 6:
        parent[key] = pick(rng, [[parent[key]], {"a": parent[key]}, [parent[key]] * 3])
    else:
        other = places[int(rng.integers(len(places)))]
        parent[key] = json.loads(json.dumps(other[0][other[1]]))
    return root[""], f"{'.'.join(map(str, path))}: {kind}"


def as_json(rng, tree):
    """JSON text of a tree, with what only other writers write."""
    text = json.dumps(tree)
    depth = int(pick(rng, [900, 20_000]))
    text = text.replace(f'"{DEEP}"', "[" * depth + "]" * depth)
    return text.replace("Infinity", pick(rng, ["Infinity", "1e400"]))


def as_toml(rng, value):
    """TOML text of a tree."""
    if isinstance(value, dict):
        items = (f"{json.dumps(str(key))} = {as_toml(rng, item)}" for key, item in value.items() if item is not None)
        return "{" + ", ".join(items) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(as_toml(rng, item) for item in value if item is not None) + "]"
    if value == DEEP:
        depth = int(pick(rng, [900, 5000]))
        return "[" * depth + "]" * depth
    if isinstance(value, bool | str):
        return json.dumps(value)
    if isinstance(value, float) and value == float("inf"):
        return pick(rng, ["inf", "1e400"])
    return repr(value)


def change_bytes(rng, data, folder=None):
    """Flip, cut, fill, move or repeat bytes."""
    data, kind = bytearray(data), rng.integers(6)
    where = int(rng.integers(max(1, len(data)) if rng.integers(2) else min(max(1, len(data)), 2048)))
    size = int(pick(rng, [1, 2, 4, 8, 64, 512]))
    if kind == 0:
        for _ in range(int(pick(rng, [1, 1, 4, 32]))):
            at = int(rng.integers(max(1, len(data))))
            data[at : at + 1] = bytes([data[at] ^ (1 << int(rng.integers(8)))]) if len(data) else b""
    elif kind == 1:
        del data[where:]
    elif kind == 2:
        data[where : where + size] = pick(rng, [b"\xff", b"\0", b"\x7f", b"\x80"]) * size
    elif kind == 3:
        start = int(rng.integers(max(1, len(data))))
        data[where : where + size] = data[start : start + size]
    elif kind == 4:
        data[where:where] = rng.bytes(size)
    else:
        data += bytes(data[:where])
    return bytes(data), f"bytes at {where}: {kind}"


def change_toml(rng, data, folder=None):
    """Change a value of a TOML file, or its text."""
    if rng.integers(8) == 0:
        return change_bytes(rng, data)
    tree, done = tomllib.loads(data.decode()), []
    for _ in range(int(pick(rng, [1, 1, 2, 4]))):
        tree, what = change_tree(rng, tree)
        done.append(what)
    if not isinstance(tree, dict):
        tree = {"groups": tree}
    text = "\n".join(f"{json.dumps(str(key))} = {as_toml(rng, item)}" for key, item in tree.items() if item is not None)
    return text.encode("utf-8", "surrogatepass"), "; ".join(done)


def change_jsonl(rng, data, folder=None):
    """Change a line of lines of JSON."""
    if rng.integers(6) == 0:
        return change_bytes(rng, data)
    lines = [json.loads(line) for line in data.decode().splitlines()]
    number = int(rng.integers(len(lines)))
    lines[number], what = change_tree(rng, lines[number])
    return ("\n".join(as_json(rng, line) for line in lines) + "\n").encode(), f"line {number} {what}"


def change_idx(rng, data, folder=None):
    """Change the header or the size of an IDX file; compressed where it was."""
    packed = data[:2] == b"\x1f\x8b"
    if rng.integers(3) == 0:
        return change_bytes(rng, data)
    content = bytearray(gzip.decompress(data) if packed else data)
    kind = rng.integers(4)
    if kind == 0:
        content[2:4] = bytes(int(x) for x in rng.integers(0, 16, 2))
    elif kind == 1:
        axis = int(rng.integers(content[3]))
        content[4 + 4 * axis : 8 + 4 * axis] = struct.pack(">I", int(pick(rng, [0, 1, 2**31, 2**32 - 1, 65535, 359])))
    elif kind == 2:
        del content[int(rng.integers(len(content))) :]
    else:
        content += bytes(int(pick(rng, [1, 1000, 2**24])))
    return gzip.compress(bytes(content), 6) if packed else bytes(content), f"idx {kind}"


def change_safetensors(rng, data, folder=None):
    """Change the header of a safetensors file, its length or its numbers."""
    if rng.integers(4) == 0:
        return change_bytes(rng, data)
    size = struct.unpack("<Q", data[:8])[0]
    header, what = json.loads(data[8 : 8 + size]), []
    config = header.get("__metadata__", {}).get("config")
    if config and rng.integers(2):
        tree, done = change_tree(rng, json.loads(config.replace("'", '"')))  # as packed files write it
        header["__metadata__"]["config"] = as_json(rng, tree)
        what.append(f"config {done}")
    else:
        header, done = change_tree(rng, header)
        what.append(done)
    text = as_json(rng, header).encode("utf-8", "surrogatepass")
    claimed = len(text) if rng.integers(6) else int(pick(rng, [0, 1, 2**31, 2**62, 2**64 - 1, len(text) + 1]))
    return struct.pack("<Q", claimed) + text + data[8 + size :], "; ".join(what)


def change_zip(rng, data, folder=None):
    """Change an entry of a program's archive, or which entries there are."""
    if rng.integers(8) == 0:
        return change_bytes(rng, data)
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        entries = [[entry.filename, archive.read(entry)] for entry in archive.infolist()]
    tables = [entry for entry in entries if entry[0].endswith(".json")]
    kind, chosen = rng.integers(10), pick(rng, entries)
    if kind < 7:
        chosen = pick(rng, tables)
        tree, what = change_tree(rng, json.loads(chosen[1]))
        chosen[1] = as_json(rng, tree).encode("utf-8", "surrogatepass")
    elif kind == 7:
        chosen[1], what = change_bytes(rng, chosen[1])
    elif kind == 8:
        entries.remove(chosen)
        what = "without"
    else:
        root = chosen[0].partition("/")[0]
        names = [
            "data/constants/opaque_obj_0",
            "data/constants/model.pt",
            "data/aotinductor/x/a.so",
            "../x",
            "models/b.json",
        ]
        entries.append([f"{root}/{pick(rng, names)}", pick(rng, entries)[1]])
        what = f"also {entries[-1][0]}"
    written = io.BytesIO()
    how = zipfile.ZIP_DEFLATED if rng.integers(20) == 0 else zipfile.ZIP_STORED
    with zipfile.ZipFile(written, "w", how) as archive:
        for name, content in entries:
            archive.writestr(name, content)
    return written.getvalue(), f"{chosen[0]} {what}"


def change_hdf5(rng, data, folder):
    """Change objects, links, types, shapes, attributes and storage of an HDF5 file, or its bytes."""
    if rng.integers(4) == 0:
        return change_bytes(rng, data)
    path = Path(folder) / "changed.h5"
    path.write_bytes(data)
    done = []
    with h5py.File(path, "r+") as file:
        for _ in range(int(pick(rng, [1, 1, 1, 2, 3]))):
            try:
                done.append(_change_object(rng, file, Path(folder)))
            except (ValueError, KeyError, RuntimeError, TypeError, OSError, OverflowError) as error:
                done.append(f"not done: {error}"[:60])
        if rng.integers(3):  # as in a file of 0.1.0: otherwise readers hardly ever see what was changed
            objects = [file]
            file.visititems(lambda _, item: objects.append(item))
            for item in objects:
                item.attrs.pop("digest", None)
            done.append("without digests")
    return path.read_bytes(), "; ".join(done)


def _change_object(rng, file, folder):
    objects = ["/"]
    file.visit(objects.append)
    name = pick(rng, objects)
    found = file[name]
    texts = [key for key, value in found.attrs.items() if isinstance(value, str) and value[:1] in "{["]
    if isinstance(found, h5py.Dataset) and h5py.check_string_dtype(found.dtype) and rng.integers(2):
        return f"{name} {_change_text(rng, file, name)}"
    if found.attrs and rng.integers(2):
        key = pick(rng, texts) if texts and rng.integers(2) else pick(rng, list(found.attrs))
        if key in texts and rng.integers(3):
            tree, what = change_tree(rng, json.loads(found.attrs[key]))
            found.attrs[key] = as_json(rng, tree)
            return f"{name}@{key} {what}"
        if rng.integers(4) == 0:
            del found.attrs[key]
        else:
            del found.attrs[key]
            found.attrs[key] = _odd_array(rng)
        return f"{name}@{key}"
    if name == "/":
        name = pick(rng, objects[1:] or ["x"])
    kind = rng.integers(12)
    if kind < 5:
        return f"{name} {_replace(rng, file, name)}"
    parent, _, last = name.rpartition("/")
    group = file[parent or "/"]
    target = pick(rng, objects)
    del group[last]
    if kind == 5:
        group[last] = h5py.SoftLink(pick(rng, [f"/{name}", "/none", target, "/"]))
    elif kind == 6:
        outside = folder / "outside.h5"
        with h5py.File(outside, "w") as other:
            other["x"] = np.zeros((4, 3))
        group[last] = h5py.ExternalLink(str(outside), "x")
    elif kind == 7 and target in file:
        group[last] = file[target]  # a second name, perhaps of a group that it is in
    elif kind == 8:
        group.create_group(last)
    elif kind == 9:
        group[last] = np.dtype("f8")
    return f"{name} link {kind}"


def _change_text(rng, file, name):
    text = file[name].asstr()[()] if file[name].shape == () else ""
    try:
        tree, what = change_tree(rng, json.loads(text))
        new = as_json(rng, tree)
    except ValueError:
        new, what = str(odd_value(rng)), "text"
    del file[name]
    file.create_dataset(name, data=new.replace("\0", " "), dtype=h5py.string_dtype())
    return what


def _odd_array(rng):
    kind = rng.integers(8)
    if kind == 0:
        return pick(rng, TEXTS).replace("\0", " ")
    if kind == 1:
        return np.array([b"text", b"x"])
    if kind == 2:
        return h5py.Empty(pick(rng, ["f8", "i4", "S5"]))
    if kind == 3:
        return np.array([(1, 2.0)], dtype=[("a", "i4"), ("b", "f8")])
    if kind == 4:
        return np.array(pick(rng, [np.nan, np.inf, -1.0, 1e308, 0.0]))
    if kind == 5:
        return np.array(pick(rng, [0, -1, 2**31, 2**40, 2**62, 3]), dtype=pick(rng, ["i8", "u8"]))
    if kind == 6:
        return np.zeros(
            tuple(int(n) for n in rng.integers(0, 4, int(rng.integers(1, 4)))), pick(rng, ["f4", "i2", "?", "c16"])
        )
    return pick(rng, [True, 1 + 2j, np.float16(1), np.arange(3)])


def _replace(rng, file, name):
    """Another dataset in the place of one: of another type or shape, promising too much, or kept elsewhere."""
    old = file[name]
    shape = old.shape if isinstance(old, h5py.Dataset) else (3,)
    dtype = old.dtype if isinstance(old, h5py.Dataset) and old.dtype.kind in "fiu" else np.dtype("f8")
    del file[name]
    huge = (*(max(n, 1) for n in shape[:-1]), 2 ** int(rng.integers(20, 40)))
    kind = rng.integers(9)
    if kind == 0:
        file[name] = _odd_array(rng)
    elif kind == 1:
        changed = tuple(int(pick(rng, [n, n + 1, max(0, n - 1), 0, 1])) for n in shape)
        file[name] = np.zeros(changed, dtype)
    elif kind == 2:
        file.create_dataset(name, shape=huge, dtype=dtype, chunks=(*[1] * (len(huge) - 1), 64))
    elif kind == 3:  # chunks that compress to nothing
        many = (int(2 ** rng.integers(10, 23)), *shape[1:]) if shape else (2**22,)
        if np.prod([float(n) for n in many]) > 2**24:
            many = (2**20,)
        file.create_dataset(name, data=np.zeros(many, dtype), compression="gzip", maxshape=(None, *many[1:]))
    elif kind == 4:
        plist = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        plist.set_alloc_time(h5py.h5d.ALLOC_TIME_LATE)
        space = h5py.h5s.create_simple(huge)
        h5py.h5d.create(file.id, name.encode(), h5py.h5t.py_create(dtype), space, plist)
    elif kind == 5:
        layout = h5py.VirtualLayout(shape=shape or (1,), dtype=dtype)
        layout[...] = h5py.VirtualSource(pick(rng, [".", "outside.h5"]), pick(rng, [name, "x"]), shape=shape or (1,))
        file.create_virtual_dataset(name, layout)
    elif kind == 6:
        file.create_dataset(name, shape=shape or (1,), dtype=dtype, external=[("/dev/zero", 0, h5py.h5f.UNLIMITED)])
    elif kind == 7:
        values = np.zeros(shape, dtype)
        if values.size:
            values.flat[int(rng.integers(values.size))] = (
                1 if dtype.kind in "iu" else pick(rng, [np.nan, np.inf, 1e38, -1e-30])
            )
        file[name] = values
    else:
        file.create_dataset(
            name, shape=(2,), dtype=pick(rng, [h5py.string_dtype(), h5py.vlen_dtype("i4"), h5py.ref_dtype])
        )
    return f"dataset {kind}"
