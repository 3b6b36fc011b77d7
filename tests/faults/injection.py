"""Runs every writer again and again, with a failure at its n-th call for every n; faults.c must be loaded before.

Called as `python injection.py FOLDER KIND WRITER ...`; prints one line of JSON for each writer.
"""

import contextlib
import ctypes
import errno
import json
import os
import shutil
import sys
from pathlib import Path

import numpy as np

import dynsim
from dynsim._files import write_json, write_whole
from dynsim.trajectory import Trajectory, TrajectoryWriter, load_checkpoint, save_checkpoint, to_extxyz, validate

FRAMES = 100
MOST = 500  # calls of one writer that are tried
LARGE = 2**15  # bytes of an allocation that may fail
# What fails, how: (number of the error, 0 for a part of what is to be written; whether all later calls fail, too).
KINDS = {
    "full": (errno.ENOSPC, True),
    "full-once": (errno.ENOSPC, False),
    "broken": (errno.EIO, False),
    "dead": (errno.EIO, True),
    "short": (0, True),
    "memory": None,
}


def frames(value):
    return np.full((40, 4), float(value))


def trajectory(path, value, buffer=64):
    """A run whose frame k holds value + k; read by `frames_of`."""
    sizes = {"neurons": 40, "dimension": 4, "signals": 1, "observables": ["energy"]}
    with TrajectoryWriter(path, overwrite=True, flush_seconds=1e9, buffer=buffer, **sizes) as writer:
        for k in range(FRAMES):
            writer.write(k, 0.1 * k, frames(value + k), np.full(40, value + k), np.full(40, -k), energy=k)
            if k in (30, 70):  # as a run does every two seconds
                writer.flush()
        writer.record("outcome", {"status": 0})


def frames_of(path, value):
    """How many frames there are, after each of them was compared."""
    with Trajectory(path) as read:
        assert (read.q[...] == value + read.step[:, None, None]).all() and (
            read.R[...][:, 0, 0] == value + read.step
        ).all()
        assert np.array_equal(read.step, np.arange(read.frames))
        return read.frames


def model(path, value):
    made = dynsim.models.mlp(widths=(16, 8, 4), copies=2, dim=3)
    for array in made.arrays.values():
        array[...] = value
    made.save(path)


def state(path, value):
    save_checkpoint(path, {"value": value, "q": frames(value)})


def figure(path, value):
    from matplotlib.figure import Figure

    drawn = Figure(figsize=(1, 1))
    drawn.text(0.1, 0.1, str(value))
    dynsim.plots.save(drawn, path)


def of_run(write):
    """A writer that reads the run of this value, which lies outside of the folder where calls fail."""

    def call(path, value):
        source = path.parent.parent / f"source-{value}.h5"
        if not source.exists():
            trajectory(source, value)
        write(source, path)

    return call


def export(name, **options):
    def call(path, value):
        from dynsim import export

        made = dynsim.models.mlp(widths=(16, 8, 4), copies=2, dim=3, seed=value)
        getattr(export, name)(made, path, **options)

    return call


WRITERS = {
    "text.txt": lambda path, value: write_whole(path, f"{value}" * 10_000),
    "lines.json": lambda path, value: write_json(path, [value] * 10_000),
    "model.h5": model,
    "run.checkpoint": state,
    "run.h5": trajectory,
    "run.xyz": of_run(lambda source, path: to_extxyz(source, path, overwrite=True)),
    "figure.png": figure,
    "figure.svg": figure,
    "page.html": of_run(lambda source, path: dynsim.plots.view(source, path, frames=20)),
    "film.gif": of_run(lambda source, path: dynsim.plots.animate(source, path, frames=3, size=(100, 100))),
    "packed.safetensors": export("save_packed", bits=5),
    "ordinary.safetensors": export("save_materialized"),
    "model.onnx": export("save_onnx"),
}


def child(write, path, kind, n, report):
    """Write value 2 with the n-th call failing; what happened goes to the file `report`, which is outside."""
    library = ctypes.CDLL(None)
    library.faults_hits.restype = ctypes.c_long
    if kind == "memory":
        library.faults_memory.argtypes = [ctypes.c_size_t, ctypes.c_long]
        library.faults_memory(LARGE, n)
    else:
        number, always = KINDS[kind]
        library.faults_set.argtypes = [ctypes.c_char_p, ctypes.c_long, ctypes.c_int, ctypes.c_int]
        library.faults_set(os.fsencode(path.parent), n, number, always)
    said = None
    try:
        write(path, 2)
    except BaseException as error:
        said = [type(error).__name__, str(error), isinstance(error, OSError | MemoryError)]
    hits = library.faults_hits()
    library.faults_set(b"", -1, 0, 0)
    library.faults_memory(0, -1)
    report.write_text(json.dumps([hits, said]))
    os._exit(0)


def problems(name, path, old, new, said, kind_of):
    """What is wrong after a failure, as sentences."""
    whole = path.read_bytes()
    if said is None:
        if name == "run.h5":
            if frames_of(path, 2) != FRAMES:
                yield "no error, but frames are missing"
        elif not (same(name, whole, new) or meant(name, path) == meant(name, new)):
            yield "no error, but the file is not the new one"
        return
    kind, text, known = said
    if kind_of == "memory" and "asks for more memory than there is" in text:
        kind, known = "MemoryError", True
    if kind_of == "memory" and name in ("figure.png", "film.gif") and "error" in text:  # what Pillow says then
        kind, known = "MemoryError", True
    if not known or "\n" in text:
        yield f"{kind}: {text}"
    if kind_of == "memory" and kind == "MemoryError":  # the command line says that there is not enough
        pass
    elif path.name not in text or f".{path.stem}-" in text:
        yield f"the message does not name the file, or a temporary one: {text}"
    if whole == old or name == "run.h5":
        return
    yield f"an error, and the file is not the old one: {text}"


def same(name, one, other):
    return one == other or name in ("model.h5",)  # HDF5 files hold times


def meant(name, file):
    """What a file of this name says, whose bytes are not always the same; `file` is its path or its bytes."""
    if name == "run.checkpoint":
        return load_checkpoint(file)["value"] if isinstance(file, Path) else 2
    if name.endswith(".safetensors"):  # the order of its metadata is none
        content = file.read_bytes() if isinstance(file, Path) else file
        size = int.from_bytes(content[:8], "little")
        return json.loads(content[8 : 8 + size]), content[8 + size :]
    return file


def try_all(name, kind, folder):
    write, place = WRITERS[name], folder / "place"
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir()
    path, report = place / name, folder / "report"
    write(path, 2)
    new = path.read_bytes()
    write(path, 1)
    whole = {entry.name: entry.read_bytes() for entry in place.iterdir()}
    found, lost, died, n = [], 0, 0, 0
    while n < MOST:
        for entry in place.iterdir():
            entry.unlink()
        for one, content in whole.items():
            (place / one).write_bytes(content)
        report.unlink(missing_ok=True)
        process = os.fork()
        if process == 0:
            child(write, path, kind, n, report)
        _, status = os.waitpid(process, 0)
        if not report.exists():  # it ended by a signal, as when Rust gets no memory: as after a kill
            died += 1
            if kind != "memory" or died > 100:
                found.append(f"{n}: died with {status}")
                break
            if path.read_bytes() != whole[name] and name != "run.h5":
                found.append(f"{n}: died with {status}, and the file is not the old one")
            n += 1
            continue
        hits, said = json.loads(report.read_text())
        if not hits:
            found += [f"{n}: nothing failed, but {said[0]}: {said[1]}"] if said else []
            break
        found += [f"{n}: {problem}" for problem in problems(name, path, whole[name], new, said, kind)]
        ours = (*whole, f"{name}.previous", "run.h5.journal")  # which holds what did not arrive
        left = [entry.name for entry in place.iterdir() if entry.name not in ours]
        if left:
            found.append(f"{n}: left {left}")
        if name == "run.h5" and said is not None and path.read_bytes() != whole[name]:
            try:
                frames_of(path, 2)
                with contextlib.suppress(dynsim.errors.FileError):
                    validate(path)
            except dynsim.errors.FileError:
                lost += 1
        n += 1
    print(
        json.dumps({"writer": name, "kind": kind, "calls": n, "died": died, "lost": lost, "found": found}), flush=True
    )


if __name__ == "__main__":
    for chosen in sys.argv[3:]:
        try_all(chosen, sys.argv[2], Path(sys.argv[1]))
