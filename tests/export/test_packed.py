"""Packed models: real bytes, the same predictions."""

import json
from pathlib import Path

import numpy as np
import pytest

import dynsim
from dynsim.cli import main
from dynsim.errors import DataError, FileError
from dynsim.kernels import Kernel
from dynsim.learning import Quantiser, accuracy, stored_bits, train
from dynsim.models import compact, count, lenet5, mlp, vit

pytest.importorskip("safetensors", reason="needs safetensors: pip install 'dynsim[export]'")
from dynsim.export import load_packed, model_form, packed_bits, packed_bytes, rounded, save_packed


@pytest.fixture(scope="module")
def digits():
    return dynsim.datasets.load("digits")


def pruned(model, share=0.9):
    """The model with the smallest of its larger arrays of weights set to 0."""
    for parameter in model.parameters.values():
        if parameter.kind == "weights" and parameter.value.size > 200:
            size = np.abs(parameter.value)
            parameter.prune(size > np.quantile(size, share))
    return model


FAMILIES = {
    "particles": lambda: mlp((64, 20, 10), copies=3, dim=3),
    "without norm": lambda: mlp((64, 20, 10), copies=3, dim=3, norm=False),
    "weights": lambda: mlp((64, 20, 10), weights=True),
    "low rank": lambda: mlp((64, 20, 10), weights=True, rank=4),
    "pruned": lambda: pruned(mlp((64, 20, 10), weights=True)),
    "half sets": lambda: lenet5(1, 1, dim=3),
    "full sets": lambda: lenet5(1, 1, dim=3, sets="full", classes=7),
    "convolutions": lambda: lenet5(weights=True),
    "pruned convolutions": lambda: pruned(lenet5(weights=True)),
    "low-rank convolutions": lambda: lenet5(weights=True, rank=3),
    "another kernel": lambda: mlp((64, 10), copies=2, dim=3, kernel=Kernel("linear", "l1")),
    "compact": lambda: compact(8, 4, sets="half"),
    "compact, separable": lambda: compact(8, 4, form="separable", populations=9),
    "compact, pruned": lambda: pruned(compact(8, weights=True)),
    "transformer": lambda: vit(image=8, patch=2, width=8, depth=1, heads=2, hidden=12, copies=2, dim=3),
}


@pytest.fixture(params=FAMILIES)
def network(request):
    """Of every family, with norms and biases away from the start."""
    model, generator = FAMILIES[request.param](), np.random.default_rng(2)
    for array in model.arrays.values():
        moved = array != 0 if array.ndim > 1 else slice(None)  # what is pruned stays 0
        array[moved] += 0.1 * generator.random(array.shape).astype(array.dtype)[moved]
    return model


@pytest.mark.parametrize("bits", [1, 2, 3, 4, 6, 8, 12, 16])
def test_a_file_holds_what_rounding_gives(network, bits, tmp_path):
    images = np.random.default_rng(1).random((5, *network.image), dtype=np.float32)
    size = save_packed(network, tmp_path / "m.safetensors", bits=bits)
    assert size == (tmp_path / "m.safetensors").stat().st_size == packed_bytes(network, bits=bits)
    again, copy = load_packed(tmp_path / "m.safetensors"), rounded(network, bits=bits)
    assert {**again.config, "seed": 0} == {**network.config, "seed": 0} == {**copy.config, "seed": 0}
    assert all(np.array_equal(again.arrays[name], copy.arrays[name]) for name in network.arrays)
    np.testing.assert_array_equal(again.scores(images), copy.scores(images))
    # What lies on its grid already stays as it is.
    for name, parameter in rounded(again, bits=bits).parameters.items():
        if parameter.kind in ("places", "weights"):
            np.testing.assert_array_equal(parameter.value, again.parameters[name].value)


def test_many_bits_are_close_to_the_model(network):
    images = np.random.default_rng(1).random((5, *network.image), dtype=np.float32)
    scores, expected = rounded(network, bits=12).scores(images), network.scores(images)
    # 12 bits of places beside float16 (11 bits); a scores' sum of several layers, through the slope of 1 / r
    assert np.abs(scores - expected).max() < 0.05 * np.abs(expected).max()
    assert np.isfinite(rounded(network, bits=1).scores(images)).all()


@pytest.mark.parametrize("bits", [1, 3, 4, 5, 8])
@pytest.mark.parametrize("family", ["particles", "weights", "low rank"])
def test_a_model_on_a_grid_is_packed_exactly(digits, family, bits, tmp_path):
    model = FAMILIES[family]()
    train(model, digits, epochs=3, batch=64, rate=0.05, bits=bits, seed=bits)
    kept = {name: p.value for name, p in model.parameters.items() if p.kind in ("places", "weights", "strengths")}
    values = {name: value for name, value in kept.items() if stored_bits(model.parameters[name].kind, value.size, bits)}
    assert all(len(np.unique(value)) <= 2**bits for name, value in values.items() if "strengths" not in name)
    size = save_packed(model, tmp_path / "m.safetensors", bits=bits)
    numbers = sum(value.size for value in values.values())
    # The places or weights at `bits` bits, at most 2 bytes for each of all other numbers, grids, and a header.
    assert size <= numbers * bits / 8 + 2 * (count(model)["stored_floats"] - numbers) + 300
    again = load_packed(tmp_path / "m.safetensors")
    for name, value in values.items():
        np.testing.assert_array_equal(again.parameters[name].value, value)
    scores, expected = again.scores(digits.test_images), model.scores(digits.test_images)
    # Two layers of norms with 8 bits between their least and their largest number: 2^-9 of their range each.
    assert np.abs(scores - expected).max() < 0.05 * np.abs(expected).max()
    assert np.mean(scores.argmax(1) == expected.argmax(1)) > 0.97


def test_zeros_of_a_pruned_network_stay_and_take_little(digits):
    model = pruned(mlp((64, 40, 10), weights=True))
    first = model.layers[1].weights
    where = first.value == 0
    train(model, digits, epochs=2, batch=64, rate=0.05, bits=3)
    assert (first.value[where] == 0).all() and 0.05 < (first.value != 0).mean() <= 0.1
    again = rounded(model, bits=3)
    np.testing.assert_array_equal(again.layers[1].weights.value, first.value)
    # A tenth is not 0: 0.47 bits a weight say which, and 3 bits for each of these; 960 bytes at 3 bits each.
    assert packed_bytes(model, bits=3) < packed_bytes(mlp((64, 40, 10), weights=True), bits=3) - 400
    plain = mlp((64, 40, 10), weights=True)
    plain.layers[1].weights.value[where] = 0.0  # without a mask, as read from a file
    assert (rounded(plain, bits=4).layers[1].weights.value[where] == 0).all()


@pytest.mark.parametrize("bits", [1, 3, 8, 12, 16])
def test_what_is_pruned_stays_so(bits, tmp_path):
    model = pruned(mlp((64, 40, 10), weights=True))
    model.layers[1].weights.value[0, 0] = 0.0  # by chance
    model.layers[1].bias.value[:] = -1e-9  # less than float16 has
    save_packed(model, tmp_path / "m.safetensors", bits=bits)
    again = load_packed(tmp_path / "m.safetensors")
    for name, parameter in model.parameters.items():
        left = again.parameters[name].mask
        assert (parameter.mask is None) == (left is None)
        if left is not None:
            assert (left == 0)[parameter.mask == 0].all() and not again.parameters[name].value[left == 0].any()
            # Of the rest only what is stored as 0 as well.
            assert again.parameters[name].value[left != 0].all()
    assert count(again)["stored_floats"] <= count(model)["stored_floats"]
    assert packed_bytes(again, bits=bits) == (tmp_path / "m.safetensors").stat().st_size


@pytest.mark.parametrize("weights", [False, True])
def test_a_trained_network_is_trained_on_with_few_bits(digits, weights):
    model = mlp((64, 32, 10), copies=4, dim=4, weights=weights)
    train(model, digits, epochs=6, batch=64, rate=0.05)
    float_accuracy = accuracy(model, digits.test_images, labels=digits.test_labels)
    result = train(model, digits, epochs=3, batch=64, rate=0.01, bits=4)
    assert result.test_accuracy > float_accuracy - 6  # of 360 images; 2 deviations of the difference are 4 %
    copy = rounded(model, bits=4)
    packed = accuracy(copy, digits.test_images, labels=digits.test_labels)
    assert packed == pytest.approx(result.test_accuracy, abs=1.5)  # norms at 8 bits decide over few images


def test_few_bytes_beside_the_codes():
    """The file of a network of 3,000 bytes of places, 4,096 bytes in all: headers, grids, norms and lambdas."""
    model = lenet5(2, 1, dim=6)
    numbers = sum(p.value.size for p in model.parameters.values() if p.kind in ("places", "weights"))
    others = 2 * (6 + 16 + 120 + 84) + 10 + 25 + 3 * 2 * 2  # norms, the last biases and lambdas, float16 for pairs
    arrays = 7 + 8 + 1 + 1
    assert packed_bytes(model, bits=3) <= numbers * 3 / 8 + others + 4 * arrays + 216
    assert packed_bytes(model, bits=3) <= 4096


def test_the_first_format_is_read():
    path = Path(__file__).with_name("packed_1.safetensors")  # of version 1.0.0, 3 bits, mlp((8, 6, 4), copies=2, dim=2)
    model = load_packed(path)
    assert model_form(path) == "packed" and packed_bits(path) == 3 and model.config["widths"] == [8, 6, 4]
    images = np.random.default_rng(1).random((3, 1, 2, 4), dtype=np.float32)
    expected = [
        [1.0462495, 0.30746233, 0.38129297, 0.3320065],
        [0.42758211, 0.1745919, 0.14368477, 0.18108684],
        [1.0609481, 0.3369486, 0.38516545, 0.3356976],
    ]
    np.testing.assert_allclose(model.scores(images), expected, rtol=1e-5)  # float32 sums in another order
    # Its places are on grids, which the new format keeps to a few percent of a step.
    again = rounded(model, bits=3)
    for name, parameter in model.parameters.items():
        if parameter.kind == "places":
            step = np.diff(np.unique(parameter.value)).min()
            assert np.abs(again.parameters[name].value - parameter.value).max() < 0.06 * step


def test_forces_move_the_exact_places():
    model = mlp((64, 10), copies=1, dim=2)
    quantiser = Quantiser(model, 2)
    quantiser.to_grid()
    before = model.layers[1].places_in.value.copy()
    for _ in range(2):  # too small a move to reach the next value: only their sum may
        quantiser.to_exact()
        model.layers[1].places_in.value += 0.3 * quantiser.grids[0].step
        quantiser.moved()
        quantiser.to_grid()
    moved = (model.layers[1].places_in.value != before).mean()
    assert 0.3 < moved < 0.8  # 0.6 steps of a uniform phase, less those at the grid's ends


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
    save_packed(model, path, bits=4)
    whole = path.read_bytes()
    for size in (0, 5, 50, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:size])
        with pytest.raises((FileError, DataError)):
            load_packed(path)
    # A configuration that asks for another, or for an enormous, network.
    assert b"[8,4]" in whole
    for new in (b"[9,4]", b"[8,9]"):
        path.write_bytes(whole.replace(b"[8,4]", new))
        with pytest.raises(FileError, match="damaged"):
            load_packed(path)
    from safetensors.numpy import save_file

    save_file({"a": np.zeros(2)}, str(path))
    with pytest.raises(DataError, match="is not a packed model"):
        load_packed(path)
    config = json.dumps({"model": "mlp", "widths": [10**6, 10**6], "copies": 9, "dim": 9})
    first = {"places": np.zeros(1, np.uint8), "grids": np.zeros((2, 2), np.float32), "rest": np.zeros(1, np.float16)}
    for number, tensors in ((1, first), (2, {"codes": np.frombuffer(b"a123", np.uint8)})):
        save_file(tensors, str(path), {"format": f"dynsim packed {number}", "bits": "4", "config": config})
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


@pytest.mark.parametrize(("kind", "size"), [("places", np.nan), ("places", np.inf), ("strengths", 1e6)])
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
    empty = {"codes": np.zeros(0, np.uint8)} if bits == "0" else {}
    with pytest.raises(FileError, match=r"m\.safetensors is damaged \(.* bits a coordinate, not 1 to 16") as caught:
        load_packed(changed(path, path, empty, bits=bits))
    assert len(str(caught.value)) < 200 + len(str(path))


@pytest.mark.parametrize("name", ["places", "grids", "rest"])
def test_tensors_of_the_first_format_that_make_no_sense_are_damage(tmp_path, name):
    from safetensors.numpy import load_file

    path = Path(__file__).with_name("packed_1.safetensors")
    stored = load_file(str(path))[name]
    wrong = [stored.astype(kind) for kind in (bool, np.int8, np.float64)]
    if name != "places":
        wrong += [np.full_like(stored, value) for value in (np.nan, np.inf, -np.inf)]
    for tensor in wrong:
        with pytest.raises(FileError, match=rf"is damaged \(its {name} are not finite numbers of type"):
            load_packed(changed(path, tmp_path / path.name, {name: tensor}))
    if name == "grids":
        with pytest.raises(FileError, match=r"is damaged \(its grids lead beyond float32"):
            load_packed(changed(path, tmp_path / path.name, {name: np.full_like(stored, 3e38)}))


@pytest.mark.parametrize("family", ["particles", "pruned convolutions"])
def test_codes_that_make_no_sense_are_damage(tmp_path, family):
    """With a digest that fits, so that it is the reader who sees it."""
    from safetensors.numpy import load_file

    path = tmp_path / "m.safetensors"
    save_packed(FAMILIES[family](), path, bits=4)
    codes = load_file(str(path))["codes"]
    assert bytes(codes[:1]) == (b"b" if family == "particles" else b"a")
    wrong = [
        codes.astype(np.int8),
        codes.astype(np.float32),
        codes[None],
        codes[:0],
        codes[:1],
        codes[: len(codes) // 9],
    ]
    wrong += [np.append(codes, codes), np.append(np.uint8(120), codes[1:])]
    if (
        family == "particles"
    ):  # bits: of the other coding a byte more or less may be other codes, which the digest tells
        wrong += [codes[:-1], np.append(codes, np.uint8(0))]
    for tensor in wrong:
        with pytest.raises(FileError, match="is damaged"):
            load_packed(changed(path, tmp_path / "wrong.safetensors", {"codes": tensor}))
    infinite = codes.copy()
    infinite[1:3] = 0x80, 0x7F  # the step of the first grid
    with pytest.raises(FileError, match=r"is damaged \(it holds numbers that are not finite"):
        load_packed(changed(path, tmp_path / "wrong.safetensors", {"codes": infinite}))
    for config in ("[]", "{", "{'model':'mlp2'}", "{'model':'mlp','widths':[64,20,10],'copies':3,'dim':4}"):
        with pytest.raises(FileError, match="damaged"):
            load_packed(changed(path, tmp_path / "wrong.safetensors", config=config))


def test_a_short_file_cannot_ask_for_much_memory(tmp_path):
    path = tmp_path / "m.safetensors"
    save_packed(pruned(mlp((64, 20, 10), weights=True)), path, bits=4)
    config = "{'model':'mlp','widths':[20000,20000],'weights':true}"  # 1.6 GB
    with pytest.raises(FileError, match="asks for"):
        load_packed(changed(path, tmp_path / "wrong.safetensors", config=config))


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
