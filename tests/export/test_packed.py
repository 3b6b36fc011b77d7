"""Packed models: real bytes, the same predictions."""

import json

import numpy as np
import pytest

import dynsim
from dynsim.cli import main
from dynsim.errors import DataError, FileError
from dynsim.learning import Quantiser, train
from dynsim.models import count, lenet5, mlp

pytest.importorskip("safetensors", reason="needs safetensors: pip install 'dynsim[export]'")
from dynsim.export import load_packed, save_packed


@pytest.fixture(scope="module")
def digits():
    return dynsim.datasets.load("digits")


@pytest.mark.parametrize("bits", [1, 3, 4, 5, 8])
def test_a_model_on_a_grid_is_packed_exactly(digits, bits, tmp_path):
    model = mlp((64, 20, 10), copies=3, dim=3, seed=bits)
    train(model, digits, epochs=3, batch=64, rate=0.05, bits=bits, seed=bits)
    places = [p.value for p in model.parameters.values() if p.kind == "places"]
    assert all(len(np.unique(value)) <= 2**bits for value in places)
    size = save_packed(model, tmp_path / "m.safetensors", bits=bits)
    numbers = sum(value.size for value in places)
    # The places at `bits` bits, 2 bytes for each of at most all other numbers, and a header.
    assert size <= numbers * bits / 8 + 2 * (count(model)["stored_floats"] - numbers) + 1000
    again = load_packed(tmp_path / "m.safetensors")
    for value, stored in zip(places, [p.value for p in again.parameters.values() if p.kind == "places"], strict=True):
        np.testing.assert_allclose(stored, value, rtol=0, atol=1e-6)
    scores, expected = again.scores(digits.test_images), model.scores(digits.test_images)
    # float16 has 11 bits; two layers of them
    assert np.abs(scores - expected).max() < 0.02 * np.abs(expected).max()
    assert np.mean(scores.argmax(1) == expected.argmax(1)) > 0.99


def test_packing_twice_changes_nothing(digits, tmp_path):
    model = mlp((64, 20, 10), copies=2, dim=3)
    train(model, digits, epochs=2, batch=64, bits=4)
    save_packed(model, tmp_path / "one.safetensors", bits=4)
    save_packed(load_packed(tmp_path / "one.safetensors"), tmp_path / "two.safetensors", bits=4)
    first, second = (load_packed(tmp_path / f"{name}.safetensors") for name in ("one", "two"))
    np.testing.assert_allclose(
        first.scores(digits.test_images), second.scores(digits.test_images), rtol=2e-3, atol=2e-3
    )


def test_places_off_the_grid_are_rounded_to_half_a_step(tmp_path):
    model = lenet5(1, 1, dim=4)
    save_packed(model, tmp_path / "m.safetensors", bits=6)
    again = load_packed(tmp_path / "m.safetensors")
    for name, parameter in model.parameters.items():
        if parameter.kind == "places":
            step = np.ptp(parameter.value) / 63
            assert np.abs(again.parameters[name].value - parameter.value).max() <= 0.5001 * step


def test_places_beyond_the_grid_take_its_last_values():
    model = mlp((6, 4), copies=1, dim=2)
    quantiser = Quantiser(model, 3)
    (low, step), *_ = quantiser.grids
    quantiser.exact[0][...] += 1000 * step
    quantiser.exact[0][..., 0] -= 2000 * step
    quantiser.to_grid()
    places = quantiser.places[0].value
    np.testing.assert_allclose(places[..., 1], np.broadcast_to(low + 7 * step, places.shape)[..., 1], rtol=1e-5)
    np.testing.assert_allclose(places[..., 0], np.broadcast_to(low, places.shape)[..., 0], rtol=1e-5)


def test_forces_move_the_exact_places(digits):
    model = mlp((64, 10), copies=1, dim=2)
    quantiser = Quantiser(model, 2)
    quantiser.to_grid()
    before = model.layers[1].places_in.value.copy()
    for _ in range(2):  # too small a move to reach the next value: only their sum may
        quantiser.to_exact()
        model.layers[1].places_in.value += 0.3 * quantiser.grids[0][1]
        quantiser.moved()
        quantiser.to_grid()
    moved = (model.layers[1].places_in.value != before).mean()
    assert 0.4 < moved < 0.8  # 0.6 steps of a uniform phase, less those at the grid's ends


def test_a_quantised_training_goes_on_bit_for_bit(digits, tmp_path):
    options = {"epochs": 4, "batch": 64, "bits": 3, "seed": 1}
    whole = mlp((64, 16, 10), copies=2, dim=3)
    train(whole, digits, **options)

    def stop(done, total, epoch, **_):
        if epoch == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(mlp((64, 16, 10), copies=2, dim=3), digits, checkpoint=tmp_path / "c", progress=stop, **options)
    model = mlp((64, 16, 10), copies=2, dim=3)
    train(model, digits, checkpoint=tmp_path / "c", resume=True, **options)
    assert all(np.array_equal(whole.arrays[name], model.arrays[name]) for name in whole.arrays)


def test_wrong_files_and_arguments_are_named(tmp_path):
    model = mlp((8, 4), copies=2, dim=2)
    path = tmp_path / "m.safetensors"
    for bits in (0, 17):
        with pytest.raises(ValueError, match="bits: got"):
            save_packed(model, path, bits=bits)
    with pytest.raises(ValueError, match="one without places"):
        save_packed(mlp((8, 4), weights=True), path, bits=4)
    save_packed(model, path, bits=4)
    whole = path.read_bytes()
    for size in (0, 5, 50, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:size])
        with pytest.raises((FileError, DataError)):
            load_packed(path)
    # A configuration that asks for another, or for an enormous, network.
    for old, new in ((b"[8,4]", b"[9,4]"), (b"[8,4]", b"[8,9]")):
        path.write_bytes(whole.replace(old.replace(b'"', b'\\"'), new))
        with pytest.raises(FileError, match="damaged"):
            load_packed(path)
    from safetensors.numpy import save_file

    save_file({"a": np.zeros(2)}, str(path))
    with pytest.raises(DataError, match="is not a packed model"):
        load_packed(path)
    config = json.dumps({"model": "mlp", "widths": [10**6, 10**6], "copies": 9, "dim": 9})
    save_file(
        {"places": np.zeros(1, np.uint8), "grids": np.zeros((2, 2), np.float32), "rest": np.zeros(1, np.float16)},
        str(path),
        {"format": "dynsim packed 1", "bits": "4", "config": config},
    )
    with pytest.raises(FileError, match="asks for"):
        load_packed(path)


def changed(path, to, tensors=(), **metadata):
    """Write a copy of a file with other tensors and metadata, and the digest of these."""
    from safetensors import safe_open
    from safetensors.numpy import load_file

    from dynsim.export._safetensors_files import save_safetensors

    with safe_open(str(path), "np") as file:
        kept = {name: text for name, text in file.metadata().items() if name != "digest"}
    save_safetensors({**load_file(str(path)), **dict(tensors)}, to, {**kept, **metadata})
    return to


@pytest.mark.parametrize(("kind", "size"), [("places", 3e38), ("strengths", 1e6)])
def test_what_cannot_be_packed_is_refused(tmp_path, kind, size):
    model = mlp((8, 4), copies=2, dim=2)
    value = next(parameter.value for parameter in model.parameters.values() if parameter.kind == kind)
    value.flat[:2] = -size, size
    with pytest.raises(ValueError, match="model: got numbers beyond"):
        save_packed(model, tmp_path / "m.safetensors", bits=4)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("bits", ["0", "17", "40", "-1", "4.0", " 4", "x" * 1000])
def test_bits_out_of_range_are_damage(tmp_path, bits):
    path = tmp_path / "m.safetensors"
    save_packed(mlp((8, 4), copies=2, dim=2), path, bits=4)
    empty = {"places": np.zeros(0, np.uint8)} if bits == "0" else {}
    with pytest.raises(FileError, match=r"m\.safetensors is damaged \(.* bits a coordinate, not 1 to 16") as caught:
        load_packed(changed(path, path, empty, bits=bits))
    assert len(str(caught.value)) < 200 + len(str(path))


@pytest.mark.parametrize("name", ["places", "grids", "rest"])
def test_tensors_of_another_type_or_not_finite_are_damage(tmp_path, name):
    from safetensors.numpy import load_file

    path = tmp_path / "m.safetensors"
    save_packed(mlp((8, 4), copies=2, dim=2), path, bits=4)
    stored = load_file(str(path))[name]
    (tmp_path / "w").mkdir()
    wrong = [stored.astype(kind) for kind in (bool, np.int8, np.float64)]
    if name != "places":
        wrong += [np.full_like(stored, value) for value in (np.nan, np.inf, -np.inf)]
    for tensor in wrong:
        with pytest.raises(FileError, match=rf"m\.safetensors is damaged \(its {name} are not finite numbers of type"):
            load_packed(changed(path, tmp_path / "w" / path.name, {name: tensor}))
    if name == "grids":
        with pytest.raises(FileError, match=r"m\.safetensors is damaged \(its grids lead beyond float32"):
            load_packed(changed(path, tmp_path / "w" / path.name, {name: np.full_like(stored, 3e38)}))


def test_the_commands(tmp_path, capsys):
    def call(*arguments):
        with pytest.raises(SystemExit) as stop:
            main([str(argument) for argument in arguments])
        return stop.value.code

    options = ["--data", "digits", "--hidden", 16, "--dim", 3, "--epochs", 2, "--batch", 64, "--bits", 3]
    assert call("train", "mlp", *options, "-o", tmp_path) == 0
    packed = tmp_path / "m.safetensors"
    assert call("export", tmp_path / "model.h5", "--packed", "--bits", 3, "-o", packed) == 0
    assert f"{packed.stat().st_size:,} bytes" in capsys.readouterr().out
    assert call("evaluate", packed, "--data", "digits") == 0
    assert call("export", tmp_path / "model.h5", "--packed", "-o", packed) == 1
