"""Models as ONNX and as ordinary weights: other programs say the same, and what comes back says the same."""

import json
import sys

import numpy as np
import pytest

import dynsim
from dynsim.cli import main
from dynsim.errors import DataError, FileError
from dynsim.export import load_model, verify
from dynsim.models import lenet5, mlp, vit

needs_safetensors = "needs safetensors: pip install 'dynsim[export]'"
needs_onnx = "needs onnx and onnxruntime: pip install 'dynsim[onnx]'"
SMALL = {"image": 8, "patch": 2, "width": 8, "depth": 2, "heads": 2, "hidden": 12, "copies": 2, "dim": 3}


def built():
    yield "mlp", mlp((64, 12, 10), copies=2, dim=3)
    yield "mlp-without-norm", mlp((64, 12, 10), copies=2, dim=3, norm=False)
    yield "mlp-weights", mlp((64, 12, 10), weights=True)
    yield "mlp-low-rank", mlp((64, 12, 10), weights=True, rank=3)
    yield "lenet5", lenet5(1, 2, dim=4)
    yield "lenet5-full-sets", lenet5(2, 1, dim=3, sets="full")
    yield "vit-mean", vit(**SMALL)
    yield "vit-class", vit(**SMALL, pool="class")
    yield "vit-weights", vit(**SMALL, weights=True)


@pytest.fixture(scope="module")
def trained():
    """All kinds of networks, their norms and biases moved away from the start."""
    found, generator = {}, np.random.default_rng(0)
    for name, model in built():
        model.results["image"] = [1, 8, 8]
        for array in model.arrays.values():
            array += (0.1 * generator.random(array.shape)).astype(array.dtype)
        found[name] = model
    return found


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(1).random((7, 1, 8, 8), dtype=np.float32)


NAMES = [name for name, _ in built()]


@pytest.mark.parametrize("name", NAMES)
def test_onnxruntime_says_the_same(trained, images, name, tmp_path):
    onnx = pytest.importorskip("onnx", reason=needs_onnx)
    pytest.importorskip("onnxruntime", reason=needs_onnx)
    from dynsim.export import run_onnx, save_onnx

    model, path = trained[name], tmp_path / "m.onnx"
    assert save_onnx(model, path) == path.stat().st_size
    file = onnx.load(str(path))
    onnx.checker.check_model(file, full_check=True)
    assert file.opset_import[0].version == 17
    assert json.loads(file.metadata_props[0].value)["model"] == model.config["model"]
    scores = model.scores(images)
    np.testing.assert_allclose(run_onnx(path, images), scores, rtol=0, atol=1e-5 * np.abs(scores).max())
    assert run_onnx(path, images[:1]).shape == (1, 10)  # any batch


def test_lenet_takes_images_of_its_data_set(tmp_path):
    pytest.importorskip("onnxruntime", reason=needs_onnx)
    pytest.importorskip("onnx", reason=needs_onnx)
    from dynsim.export import run_onnx, save_onnx

    model = lenet5(1, 1, dim=3)  # never trained: of 28 pixels
    save_onnx(model, tmp_path / "m.onnx")
    images = np.random.default_rng(2).random((2, 1, 28, 28), dtype=np.float32)
    scores = model.scores(images)
    np.testing.assert_allclose(run_onnx(tmp_path / "m.onnx", images), scores, rtol=0, atol=1e-5 * np.abs(scores).max())
    with pytest.raises(DataError, match=r"expected \('batch', 1, 28, 28\)"):
        run_onnx(tmp_path / "m.onnx", images[:, :, :8, :8])


@pytest.mark.parametrize("name", NAMES)
def test_ordinary_weights_come_back(trained, images, name, tmp_path):
    safetensors = pytest.importorskip("safetensors", reason=needs_safetensors)
    from dynsim.export import save_materialized

    model, path = trained[name], tmp_path / "m.safetensors"
    save_materialized(model, path)
    again = load_model(path)
    scores = model.scores(images)
    np.testing.assert_allclose(again.scores(images), scores, rtol=0, atol=1e-6 * np.abs(scores).max())
    with safetensors.safe_open(str(path), "np") as file:
        assert set(file.keys()) == set(again.arrays) and json.loads(file.metadata()["config"]) == again.config
        for number, layer in enumerate(model.layers):
            if layer.weighted:
                np.testing.assert_array_equal(file.get_tensor(f"{number}.weights"), layer.materialize())


def test_verify_compares_every_form(trained, images, tmp_path):
    pytest.importorskip("safetensors", reason=needs_safetensors)
    pytest.importorskip("onnxruntime", reason=needs_onnx)
    pytest.importorskip("onnx", reason=needs_onnx)
    from dynsim.export import save_materialized, save_onnx, save_packed

    model = trained["vit-class"]
    paths = [tmp_path / name for name in ("model.h5", "packed.safetensors", "ordinary.safetensors", "model.onnx")]
    model.save(paths[0])
    save_packed(model, paths[1], bits=6)
    save_materialized(model, paths[2])
    save_onnx(model, paths[3])
    rest = ["model.h5", "materialized", "onnx"]
    for path, forms in zip(paths, (rest, ["packed", *rest], rest, ["onnx"]), strict=True):
        found = verify(path, images, labels=np.zeros(len(images), int))
        assert [entry["form"] for entry in found] == forms
        for entry in found:
            assert entry["same"] and entry["predictions"] == entry["agreeing"] == len(images)
            assert entry["sum_after"] == pytest.approx(entry["sum_before"], rel=1e-3, abs=1e-3)
            assert entry["accuracy_before"] == entry["accuracy_after"]


def test_verify_sees_a_difference(trained, tmp_path, monkeypatch):
    path, read = tmp_path / "model.h5", dynsim.models.load_model
    trained["mlp"].save(path)

    def damaged(path):
        model = read(path)
        model.arrays["1.places_in"][0, 0, 0] += 1
        return model

    monkeypatch.setattr("dynsim.models.load_model", damaged)
    monkeypatch.setattr("dynsim.export._verification.load_model", read)
    found = verify(path, progress=lambda done, total, form: (done, total, form) == (1, 3, "model.h5"))
    assert len(found) == 1 and not found[0]["same"] and found[0]["largest_difference"] > 0


def test_the_commands(tmp_path, capsys, monkeypatch):
    pytest.importorskip("safetensors", reason=needs_safetensors)
    pytest.importorskip("onnxruntime", reason=needs_onnx)
    pytest.importorskip("onnx", reason=needs_onnx)

    def call(*arguments):
        with pytest.raises(SystemExit) as stop:
            main([str(argument) for argument in arguments])
        return stop.value.code

    model, onnx, tensors = (tmp_path / name for name in ("model.h5", "m.onnx", "m.safetensors"))
    vit(**SMALL).save(model)
    assert call("export", model, "-o", onnx) == 0 and call("export", model, "--materialized", "-o", tensors) == 0
    assert call("export", model, "-o", onnx) == 1
    assert call("export", model, "--materialized", "--packed", "-o", tmp_path / "other.safetensors") == 2
    assert call("evaluate", model, "--data", "digits", "--json") == 0
    assert call("evaluate", tensors, "--data", "digits", "--json") == 0
    first, second = (
        json.loads(line)["test_accuracy"] for line in capsys.readouterr().out.splitlines() if line.startswith("{")
    )
    assert first == second
    assert call("evaluate", onnx, "--data", "digits") == 1
    assert "does not hold places" in capsys.readouterr().err
    assert call("info", tensors, "--json") == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["kind"] == "model, materialized" and facts["file_bytes"] == tensors.stat().st_size
    assert call("verify", model, "--data", "digits", "--json") == 0
    report = json.loads(capsys.readouterr().out)
    assert report["same"] and [entry["predictions"] for entry in report["forms"]] == [360] * 3
    assert call("verify", onnx) == 0 and "same: 256 of 256" in capsys.readouterr().out
    monkeypatch.setattr(
        "dynsim.export._verification.TOLERANCE", dict.fromkeys(("model.h5", "materialized", "onnx"), -1.0)
    )
    assert call("verify", model) == 1 and "DIFFERS" in capsys.readouterr().out


def test_a_full_disk_is_named_by_its_output(trained, tmp_path, monkeypatch):
    safetensors = pytest.importorskip("safetensors", reason=needs_safetensors)
    import safetensors.numpy as tensors

    from dynsim.export import save_materialized

    def full(*_, **__):
        raise safetensors.SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)")

    monkeypatch.setattr(tensors, "save_file", full)
    monkeypatch.setattr(tensors, "save", full)
    with pytest.raises(OSError, match=r"m\.safetensors cannot be written \(No space left on device\); make room"):
        save_materialized(trained["mlp"], tmp_path / "m.safetensors")
    assert list(tmp_path.iterdir()) == []


def test_damaged_and_foreign_files_are_named(trained, tmp_path):
    tensors = pytest.importorskip("safetensors.numpy", reason=needs_safetensors)
    from dynsim.export import load_materialized, save_materialized

    path = tmp_path / "m.safetensors"
    save_materialized(trained["mlp"], path)
    whole = path.read_bytes()
    for size in (0, 7, 60, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:size])
        with pytest.raises(FileError, match=r"m\.safetensors is damaged"):
            load_model(path)
    path.write_bytes(whole.replace(b"[64, 12, 10]", b"[64, 13, 10]"))
    with pytest.raises(FileError, match="not what its digest says"):
        load_model(path)
    path.write_bytes(whole.replace(b"[64, 12, 10]", b"[64, 13, 10]").replace(b'"digest"', b'"dagist"'))
    with pytest.raises(FileError, match="expected float32"):  # as in a file of 0.1.0
        load_model(path)
    path.write_bytes(whole.replace(b"[64, 12, 10]", b"[9999999999]"))
    with pytest.raises(FileError, match="damaged"):
        load_model(path)
    tensors.save_file({"a": np.zeros(2)}, str(path))
    for read in (load_model, load_materialized):
        with pytest.raises(DataError, match="is not a m"):
            read(path)
    with pytest.raises(FileNotFoundError, match="does not exist"):
        load_model(tmp_path / "nothing.safetensors")


@pytest.mark.parametrize("results", ["[1]", "5", "null"])
def test_results_that_are_no_table_are_damage(trained, tmp_path, results):
    pytest.importorskip("safetensors", reason=needs_safetensors)
    from dynsim.export._safetensors_files import MATERIALIZED, save_safetensors
    from dynsim.models import materialize

    ordinary = materialize(trained["mlp"])
    metadata = {"format": MATERIALIZED, "config": json.dumps(ordinary.config), "results": results}
    save_safetensors(ordinary.arrays, tmp_path / "m.safetensors", metadata)
    with pytest.raises(FileError, match=r"m\.safetensors has an entry results that is not a dictionary; it is damaged"):
        verify(tmp_path / "m.safetensors")


@pytest.mark.parametrize("form", ["packed", "materialized"])
def test_every_flipped_bit_of_tensors_is_found(trained, tmp_path, form):
    pytest.importorskip("safetensors", reason=needs_safetensors)
    from dynsim.export import load_materialized, save_materialized, save_packed

    path = tmp_path / "m.safetensors"
    if form == "packed":
        save_packed(trained["mlp"], path, bits=6)
    else:
        save_materialized(trained["mlp"], path)
    reads = [load_model] if form == "packed" else [load_model, load_materialized]
    whole = path.read_bytes()
    first = 8 + int.from_bytes(whole[:8], "little")  # where the stored numbers begin
    rng = np.random.default_rng(0)
    for place in rng.integers(8 * first, 8 * len(whole), 40):
        damaged = bytearray(whole)
        damaged[place // 8] ^= 1 << place % 8
        path.write_bytes(damaged)
        for read in reads:
            with pytest.raises(FileError, match=r"m\.safetensors"):
                read(path)


def test_damaged_onnx_files_are_named(tmp_path):
    pytest.importorskip("onnxruntime", reason=needs_onnx)
    pytest.importorskip("onnx", reason=needs_onnx)
    from dynsim.export import run_onnx, save_onnx

    path = tmp_path / "m.onnx"
    save_onnx(mlp((4, 2), copies=2, dim=2), path)
    whole = path.read_bytes()
    for size in (5, len(whole) // 2, len(whole) - 9):
        path.write_bytes(whole[:size])
        for read in (lambda: run_onnx(path, np.zeros((1, 1, 1, 4))), lambda: verify(path)):
            with pytest.raises(FileError, match=r"m\.onnx: damaged"):
                read()


def test_onnx_files_that_cannot_be_run_are_named(tmp_path, monkeypatch):
    onnx = pytest.importorskip("onnx", reason=needs_onnx)
    pytest.importorskip("onnxruntime", reason=needs_onnx)
    from onnx import helper

    path, kind = tmp_path / "m.onnx", onnx.TensorProto.FLOAT
    ends = [helper.make_tensor_value_info(name, kind, shape) for name, shape in (
        ("images", ["batch", 1, 1, 4]), ("scores", ["batch", "classes"]))]  # fmt: skip

    def write(*nodes):
        graph = helper.make_graph(list(nodes), "g", ends[:1], ends[1:])
        onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), str(path))

    size = helper.make_tensor("size", onnx.TensorProto.INT64, [2], [256, 4000])
    write(helper.make_node("Constant", [], ["n"], value=size), helper.make_node("ConstantOfShape", ["n"], ["scores"]))
    verify(path)  # 4 MB
    monkeypatch.setenv("DYNSIM_BUDGET", "0.001")
    with pytest.raises(FileError, match=r"m\.onnx: got 4 MiB of memory for [0-9]+ bytes of the file"):
        verify(path)
    # What only turns out while it runs: 4 numbers an image are no 3.
    shape = helper.make_tensor("shape", onnx.TensorProto.INT64, [2], [-1, 3])
    write(
        helper.make_node("Constant", [], ["n"], value=shape), helper.make_node("Reshape", ["images", "n"], ["scores"])
    )
    with pytest.raises(FileError, match=r"m\.onnx: damaged ONNX file"):
        verify(path)
    write(helper.make_node("Foo", ["images"], ["scores"], domain="mine"))
    with pytest.raises(FileError, match=r"^[^\n]*m\.onnx: damaged ONNX file \([^\n]+\); write it again\.$"):
        verify(path)
    with pytest.raises(ValueError, match="seed: got -1"):
        verify(path, seed=-1)
    with pytest.raises(IsADirectoryError, match="give the path of an ONNX file"):
        (tmp_path / "d.onnx").mkdir()
        verify(tmp_path / "d.onnx")


@pytest.mark.parametrize(
    ("missing", "arguments", "extra"),
    [
        ("onnx", ("-o", "m.onnx"), "dynsim[onnx]"),
        ("safetensors", ("--materialized", "-o", "m.safetensors"), "dynsim[export]"),
    ],
)
def test_a_missing_extra_is_one_sentence(tmp_path, monkeypatch, capsys, missing, arguments, extra):
    monkeypatch.chdir(tmp_path)
    mlp((4, 2), copies=2, dim=2).save("model.h5")
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(SystemExit) as stop:
        main(["export", "model.h5", *arguments])
    assert stop.value.code == 1 and extra in capsys.readouterr().err
    assert [entry["same"] for entry in verify("model.h5")].count(None) >= 1
