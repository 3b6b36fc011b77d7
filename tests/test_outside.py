"""Nothing outside of a file is read, and what it claims is compared with what it stores before memory is taken."""

import gzip
import json
import math
import os
import subprocess
import sys
import zlib

import h5py
import numpy as np
import pytest

import dynsim
from dynsim._files import expect_stored
from dynsim.errors import DataError, FileError
from dynsim.trajectory import Trajectory, TrajectoryWriter, load_checkpoint, save_checkpoint, validate


def make_run(path):
    with TrajectoryWriter(path, neurons=3, dimension=2, signals=1, observables=["energy"]) as writer:
        for k in range(3):
            writer.write(k, float(k), np.ones((3, 2)), np.ones(3), np.ones(3), energy=1.0)


def make_model(path):
    dynsim.models.mlp(widths=(8, 4), copies=2, dim=3).save(path)


def make_checkpoint(path):
    save_checkpoint(path, {"q": np.ones(20)})


def make_converted(path):
    torch = pytest.importorskip("torch", reason="needs PyTorch: pip install 'dynsim[torch]'")
    from dynsim.torch import convert, save_converted

    program = torch.export.export(torch.nn.Sequential(torch.nn.Linear(8, 4)), (torch.zeros(1, 8),))
    torch.export.save(program, path.with_suffix(".pt2"))
    from dynsim.torch import load_source

    module, source = load_source(path.with_suffix(".pt2"))
    made, report = convert(module, copies=2, dim=2, steps=2)
    save_converted(made, path, source=source, report=report)


def load_converted(path):
    from dynsim.torch import load_converted as load

    return load(path)


READERS = {
    "run": (make_run, Trajectory, ["particles/native/position/value", "particles/native/species", "parameters/seed",
                                   "observables/energy", "parameters"]),
    "model": (make_model, dynsim.load_model, ["arrays/1.places_in", "arrays"]),
    "checkpoint": (make_checkpoint, load_checkpoint, ["arrays/0", "state", "arrays"]),
    "converted": (make_converted, load_converted, ["weights", "program", "arrays"]),
}  # fmt: skip


def external(file, name, other):
    del file[name]
    file[name] = h5py.ExternalLink(other, f"/{name}")


def soft(file, name, other):
    file.copy(name, "elsewhere")
    del file[name]
    file[name] = h5py.SoftLink("/elsewhere")


def loop(file, name, other):
    del file[name]
    file[name] = h5py.SoftLink(f"/{name}")


def virtual(file, name, other):
    item = file[name]
    if not isinstance(item, h5py.Dataset) or not item.shape:
        pytest.skip("of arrays only")
    layout = h5py.VirtualLayout(item.shape, item.dtype)
    layout[...] = h5py.VirtualSource(other, f"/{name}", item.shape)
    del file[name]
    file.create_virtual_dataset(name, layout)


def raw(file, name, other):
    item = file[name]
    if not isinstance(item, h5py.Dataset) or not item.shape:
        pytest.skip("of arrays only")
    shape, dtype, size = item.shape, item.dtype, item.nbytes
    with open(f"{other}.bytes", "wb") as bytes_:
        bytes_.write(bytes(size))
    del file[name]
    file.create_dataset(name, shape, dtype, external=[(f"{other}.bytes", 0, size)])


@pytest.mark.parametrize("how", [external, soft, loop, virtual, raw])
@pytest.mark.parametrize("kind", READERS)
def test_no_reader_follows_what_leads_out_of_a_file(tmp_path, kind, how):
    make, read, names = READERS[kind]
    other = tmp_path / "other.h5"
    make(other)
    whole = other.read_bytes()
    for name in names:
        path = tmp_path / "file.h5"
        path.write_bytes(whole)
        with h5py.File(path, "r+") as file:
            how(file, name, other)
        with pytest.raises(FileError, match=r"file\.h5") as caught:
            read(path)
        assert "\n" not in str(caught.value)


def test_onnx_with_numbers_in_another_file_is_refused(tmp_path):
    onnx = pytest.importorskip("onnx", reason="needs ONNX: pip install 'dynsim[onnx]'")
    pytest.importorskip("onnxruntime", reason="needs ONNX: pip install 'dynsim[onnx]'")
    from dynsim.export import run_onnx, save_onnx, verify

    path = tmp_path / "model.onnx"
    save_onnx(dynsim.models.mlp(widths=(8, 4), copies=2, dim=3), path)
    file = onnx.load(path)
    onnx.save(file, path, save_as_external_data=True, location="other.bin", size_threshold=0)
    for read in (lambda: run_onnx(path, np.zeros((1, 1, 1, 8))), lambda: verify(path)):
        with pytest.raises(FileError, match=r"model\.onnx keeps numbers outside of the file"):
            read()


SMALL_MEMORY = """
import resource, sys
import dynsim
from dynsim.trajectory import Trajectory, load_checkpoint, validate
from dynsim.datasets import read_idx
before = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (before + 2**30, before + 2**30))
try:
    {call}(sys.argv[1])
except ValueError as error:
    print(error)
"""


def in_small_memory(call, path):
    """What a reader says that may take one GiB more than it has."""
    if not os.path.exists("/proc/self/statm"):
        pytest.skip("needs a system that says how much memory is taken")
    code = SMALL_MEMORY.format(call=call)
    environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-c", code, path], capture_output=True, text=True, check=False, env=environment
    )
    assert done.returncode == 0, done.stderr
    assert str(path) in done.stdout and done.stdout.count("\n") == 1
    return done.stdout


def packed(file, name, frames, row, dtype="f8", length=2**17):
    """Replace a dataset by one of so many frames of zeros, in chunks that pack to nothing."""
    del file[name]
    made = file.create_dataset(name, (frames, *row), dtype, chunks=(length, *row), compression="gzip")
    chunk = zlib.compress(bytes(8 * length * math.prod(row)), 9)
    for start in range(0, frames, length):
        made.id.write_direct_chunk((start, *(0 for _ in row)), chunk)


@pytest.mark.parametrize("call", ["Trajectory", "validate"])
def test_a_run_that_claims_frames_that_pack_to_nothing(tmp_path, call):
    path = tmp_path / "run.h5"
    make_run(path)
    rows = {"particles/native/position/value": (3, 2), "particles/view/position/value": (3, 3),
            "particles/native/received_signal/value": (3, 1), "particles/native/emitted_signal/value": (3, 1),
            "particles/native/position/time": (), "observables/energy/value": ()}  # fmt: skip
    with h5py.File(path, "r+") as file:
        for name, row in rows.items():
            packed(file, name, 2**27, row)
        packed(file, "particles/native/position/step", 2**27, (), "i8")
    assert path.stat().st_size < 50 * 2**20
    assert "MiB of memory for" in in_small_memory(call, path)


def test_a_chunk_that_packs_to_nothing(tmp_path):
    path = tmp_path / "run.h5"
    make_run(path)
    with h5py.File(path, "r+") as file:
        group = file["particles/native/emitted_signal"]
        del group["value"]
        group.create_dataset("value", (3, 3, 1), "f8", chunks=(2**26, 3, 1), maxshape=(None, 3, 1), compression="gzip")
        group["value"].id.write_direct_chunk((0, 0, 0), b"nothing")
    assert "a chunk: got 1,536 MiB of memory for" in in_small_memory("Trajectory", path)


@pytest.mark.parametrize("shape", [(2**30,), (2**32, 2**32), (2**62, 8)])
def test_a_checkpoint_that_claims_more_than_it_stores(tmp_path, shape):
    path = tmp_path / "run.checkpoint"
    make_checkpoint(path)
    with h5py.File(path, "r+") as file:
        del file["arrays/0"]
        file.create_dataset("arrays/0", shape, "f8")  # nothing is allocated
    assert "claims shape" in in_small_memory("load_checkpoint", path)


@pytest.mark.parametrize(
    "change",
    [
        {"widths": [64, 1000, 1000000, 10]},
        {"widths": [8, 4], "copies": 10**6, "dim": 100},
        {"widths": [40000, 40000], "weights": True},
        {"widths": [10**9, 4], "copies": 1, "dim": 1},
    ],
)
def test_a_model_that_claims_more_than_it_stores(tmp_path, change):
    path = tmp_path / "model.h5"
    make_model(path)
    with h5py.File(path, "r+") as file:
        file.attrs["config"] = json.dumps({**json.loads(file.attrs["config"]), **change})
        del file.attrs["digest"]
    said = in_small_memory("dynsim.load_model", path)
    assert "its configuration asks for" in said or "asks for" in said


@pytest.mark.parametrize("shape", [(600, 1000, 1000), (2**20, 2**5, 2**5)])
def test_a_data_set_that_packs_to_nothing(tmp_path, shape):
    path = tmp_path / "images.gz"
    header = b"\0\0\x08\x03" + b"".join(size.to_bytes(4, "big") for size in shape)
    path.write_bytes(gzip.compress(header + np.random.default_rng(0).bytes(2**20)))
    assert "MiB of memory for" in in_small_memory("read_idx", path)


@pytest.mark.parametrize("shape", [(300, 2**12, 2**12), (1, 1, 1)])
def test_a_data_set_that_unpacks_to_gigabytes(tmp_path, shape):
    """Of zeros, whatever its header says of them."""
    path = tmp_path / "images.gz"
    header = b"\0\0\x08\x03" + b"".join(size.to_bytes(4, "big") for size in shape)
    path.write_bytes(gzip.compress(header) + 300 * gzip.compress(bytes(2**24)))
    said = in_small_memory("read_idx", path)
    assert "MiB of memory for" in said or "images.gz" in said


def test_the_budget_can_be_raised(monkeypatch):
    said = r"a: got 2,048 MiB of memory for 9 bytes of the file; expected at most 512 MiB; set DYNSIM_BUDGET=2 \(GiB\)"
    with pytest.raises(FileError, match=said):
        expect_stored(2**31, 9, "a")
    expect_stored(2**31, 2**31, "a")
    monkeypatch.setenv("DYNSIM_BUDGET", "2")
    expect_stored(2**31, 9, "a")
    monkeypatch.setenv("DYNSIM_BUDGET", "0.25")
    with pytest.raises(FileError, match="at most 256 MiB"):
        expect_stored(2**29, 9, "a")
    for wrong in ("much", "nan", "-1", "inf inf"):
        monkeypatch.setenv("DYNSIM_BUDGET", wrong)
        with pytest.raises(ValueError, match="DYNSIM_BUDGET: got"):
            expect_stored(1, 9, "a")


def test_sound_compressed_files_are_read(tmp_path):
    path = tmp_path / "run.h5"
    make_run(path)
    with h5py.File(path, "r+") as file:
        for name in ("particles/native/position", "particles/native/emitted_signal"):
            values = file[name]["value"][()]
            del file[name]["value"]
            file[name].create_dataset(
                "value", data=values, chunks=True, compression="gzip", maxshape=(None, *values.shape[1:])
            )
    assert [finding for finding in validate(path) if "outcome" not in finding] == []
    with pytest.raises(DataError):
        dynsim.load_model(path)
