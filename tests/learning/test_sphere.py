"""Places that keep their distance from the origin."""

import numpy as np
import pytest

import dynsim
from dynsim.layers import Parameter, places_on_sphere
from dynsim.learning import MOTIONS, train
from dynsim.models import mlp


@pytest.mark.parametrize("motion", list(MOTIONS))
def test_every_motion_stays_on_the_sphere(motion):
    g = np.random.default_rng(0)
    places, free = Parameter(g.normal(size=(2, 5, 3)), "places"), Parameter(g.normal(size=4), "bias")
    places.value[0, 0] = 0  # a place at the origin has no direction to keep
    start = free.value.copy()
    radii, before = np.linalg.norm(places.value, axis=-1), places.value.copy()
    moving = MOTIONS[motion]([places, free], sphere=True)
    for _ in range(5):
        places.gradient[...], free.gradient[...] = g.normal(size=(2, 5, 3)), 1.0
        moving.step(0.1)
    np.testing.assert_allclose(np.linalg.norm(places.value, axis=-1), radii, rtol=1e-12)
    assert np.abs(places.value - before)[radii > 0].min() > 0
    assert (free.value < start).all()  # what is no place moves freely


def test_a_radial_force_moves_nothing():
    places = Parameter(np.random.default_rng(1).normal(size=(1, 4, 3)), "places")
    before = places.value.copy()
    places.gradient[...] = 2.5 * places.value
    MOTIONS["overdamped"]([places], sphere=True).step(0.3)
    np.testing.assert_allclose(places.value, before, rtol=1e-12)


@pytest.mark.parametrize("motion", list(MOTIONS))
def test_only_the_part_of_a_force_along_the_sphere_moves_a_place(motion):
    g = np.random.default_rng(4)
    start = 3.0 * g.normal(size=(2, 4, 3))  # radii that are not their squares
    forces = g.normal(size=start.shape)
    moved = []
    for radial in (0.0, 1.7):
        places = Parameter(start.copy(), "places")
        moving = MOTIONS[motion]([places], sphere=True)
        for _ in range(3):
            towards = places.value / np.linalg.norm(places.value, axis=-1, keepdims=True)
            along = forces - towards * np.sum(forces * towards, axis=-1, keepdims=True)
            places.gradient[...] = along + radial * places.value
            moving.step(0.2)
        moved.append(places.value)
    np.testing.assert_allclose(moved[1], moved[0], rtol=1e-10)
    assert np.abs(moved[0] - start).min(axis=-1).max() > 0


def test_places_start_everywhere_on_the_sphere():
    places = places_on_sphere(np.random.default_rng(2), 4000, 3, dtype=float)
    np.testing.assert_allclose(np.sum(places**2, axis=-1), 3.0, rtol=1e-12)
    # A coordinate of a uniform direction has mean 0 and variance 1; five deviations of the mean of 4000.
    assert np.abs(places.mean(axis=0)).max() < 5 / np.sqrt(4000)


def test_training_on_the_sphere_learns_and_goes_on_bit_for_bit(tmp_path):
    data, options = dynsim.datasets.load("digits"), {"epochs": 4, "batch": 64, "sphere": True, "seed": 2}
    whole = mlp((64, 24, 10), copies=6, dim=4)
    assert train(whole, data, **options).test_accuracy > 80

    def stop(done, total, epoch, **_):
        if epoch == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(mlp((64, 24, 10), copies=6, dim=4), data, checkpoint=tmp_path / "c", progress=stop, **options)
    model = mlp((64, 24, 10), copies=6, dim=4)
    train(model, data, checkpoint=tmp_path / "c", resume=True, **options)
    assert all(np.array_equal(whole.arrays[name], model.arrays[name]) for name in whole.arrays)
    for parameter in model.parameters.values():
        if parameter.kind == "places":  # a rounding of the radius in each of about 100 steps, in float32
            np.testing.assert_allclose(np.sum(parameter.value**2, axis=-1), 4.0, rtol=1e-4)
