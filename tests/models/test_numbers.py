"""The numbers that inference needs, counted by hand."""

import h5py
import numpy as np
import pytest

from dynsim._files import seal
from dynsim.errors import FileError
from dynsim.layers import BatchNorm
from dynsim.models import count, lenet5, load_model, materialize, mlp, numbers, vit

# Six and sixteen channels, and 120 and 84 neurons, have a norm: a factor and an offset each.
NORMS = 2 * (6 + 16 + 120 + 84)


def test_lenet5_of_weights():
    weights = 25 * 6 + 25 * 6 * 16 + 400 * 120 + 120 * 84 + 84 * 10
    assert numbers(lenet5(weights=True)) == weights + NORMS + 10  # the biases of the last layer alone


def test_lenet5_of_particles():
    neurons_conv, neurons_fc = 5 * (6 + 16), 400 + 120 + 84 + 10  # shared by neighbouring layers
    places = 9 * (3 * neurons_conv + 2 * neurons_fc)
    assert numbers(lenet5()) == 25 * 6 + places + 25 * 3 + 3 * 2 + NORMS + 10


@pytest.mark.parametrize("model", [mlp((9, 4, 3), copies=2, dim=2), mlp((9, 4, 3), norm=False), lenet5(), vit()])
def test_what_is_left_out_are_averages_and_biases_before_norms(model):
    norms = [k for k, layer in enumerate(model.layers) if isinstance(layer, BatchNorm)]
    absent = sum(2 * model.layers[k].scale.value.size + model.layers[k - 1].bias.value.size for k in norms)
    assert numbers(model) == count(model)["numbers"] == count(model)["stored_floats"] - absent


def test_pruned_weights_do_not_count():
    model = mlp((9, 4, 3), weights=True)
    before = numbers(model)
    model.layers[1].weights.prune(np.arange(36).reshape(4, 9) < 5)
    assert before - numbers(model) == 31


def test_pruned_weights_stay_pruned_in_a_file(tmp_path):
    path = tmp_path / "model.h5"
    model = mlp((9, 4, 3), weights=True)
    model.layers[1].weights.prune(np.arange(36).reshape(4, 9) < 5)
    model.save(path)
    again = load_model(path)
    assert numbers(again) == numbers(model) and again.layers[-1].weights.mask is None
    layer = again.layers[1]
    layer.weights.add(np.ones((4, 9)))
    assert np.count_nonzero(layer.weights.gradient) == 5  # nothing moves what is pruned


@pytest.mark.parametrize("make", [lambda: mlp((9, 4, 3), weights=True), lambda: vit(image=8, patch=4, weights=True)])
def test_the_ordinary_form_keeps_all_that_is_pruned(make):
    model = make()
    for parameter in model.parameters.values():
        parameter.prune(np.arange(parameter.value.size).reshape(parameter.value.shape) % 3 < 2)
    again = materialize(model)
    for name, parameter in model.parameters.items():
        np.testing.assert_array_equal(again.parameters[name].mask, parameter.mask)
        np.testing.assert_array_equal(again.parameters[name].value, parameter.value)
    assert numbers(again) == numbers(model)


@pytest.mark.parametrize(
    ("name", "mask"),
    [
        ("1.nothing", np.ones((4, 9), np.uint8)),
        ("1.weights", np.ones((9, 4), np.uint8)),
        ("1.weights", np.full((4, 9), 2, np.uint8)),
        ("1.weights", np.zeros((4, 9), np.uint8)),
        ("1.weights", np.ones((4, 9))),
    ],
)
def test_masks_that_do_not_fit_are_refused(tmp_path, name, mask):
    path = tmp_path / "model.h5"
    mlp((9, 4, 3), weights=True).save(path)
    with h5py.File(path, "a") as file:
        seal(file.create_dataset(f"masks/{name}", data=mask))
        file["masks"].attrs["names"] = f'["{name}"]'
        seal(file["masks"])
    with pytest.raises(FileError, match="damaged"):
        load_model(path)


def test_a_mask_that_is_missing_is_noticed(tmp_path):
    path = tmp_path / "model.h5"
    model = mlp((9, 4, 3), weights=True)
    for layer in (model.layers[1], model.layers[-1]):
        layer.weights.prune(layer.weights.value > 0)
    model.save(path)
    assert numbers(load_model(path)) == numbers(model)
    with h5py.File(path, "a") as file:
        del file["masks/1.weights"]
    with pytest.raises(FileError, match="something is missing"):
        load_model(path)
