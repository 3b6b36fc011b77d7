"""Grids of few values: the nearest values, the least error, and arrays that lie on a grid already."""

import numpy as np
import pytest

from dynsim.learning import Grid, Quantiser, find_grid, stored_bits
from dynsim.models import mlp

BITS = (1, 2, 3, 4, 5, 8, 10, 12, 16)


def normal(number, seed=0, mean=0.0):
    return (np.random.default_rng(seed).standard_normal(number) + mean).astype(np.float32)


@pytest.mark.parametrize("bits", BITS)
@pytest.mark.parametrize("mean", [0.0, 1.0, -100.0])
def test_the_error_is_that_of_the_step(bits, mean):
    values = normal(3000, seed=bits, mean=mean)
    grid = find_grid(values, bits)
    every = grid.values(np.arange(2**bits))
    np.testing.assert_allclose(np.diff(every), grid.step, rtol=1e-9)
    nearest = every[np.abs(every[:, None] - values[:100]).argmin(axis=0)]
    found = grid.nearest(values)
    np.testing.assert_allclose(found[:100], nearest, rtol=1e-6, atol=1e-6)
    # Uniform quantisers of a normal variable err by this much (Max, IRE Trans. IT-6, 7, 1960); those with more bits by
    # a step / sqrt(12), where the step is at least 1/2000 of the largest value up to 8 bits. 15 % for the search,
    # and as much for the end of a long grid, which moves by 2^-9 of its length as the step is rounded.
    least = {1: 0.603, 2: 0.345, 3: 0.193, 4: 0.107, 5: 0.0591}.get(bits, grid.step / np.sqrt(12))
    assert np.sqrt(np.mean((found.astype(float) - values) ** 2)) < (1.15 if bits <= 8 else 1.3) * least
    assert grid.step <= max(9 / (2**bits - 1), np.abs(values).max() * grid.parts / 31_000)


@pytest.mark.parametrize("bits", BITS[:-1])  # with 16 bits values are not exact in float32
@pytest.mark.parametrize("number", [2, 3, 7, 100, 3000])
def test_what_lies_on_a_grid_stays(bits, number):
    for seed in range(5):
        grid = find_grid(normal(500, seed), bits)
        values = grid.nearest(normal(number, seed + 10, mean=0.3 * seed))
        if len(np.unique(values)) > 1:
            np.testing.assert_array_equal(find_grid(values, bits).nearest(values), values)


def test_one_value_is_kept_as_well_as_float16_would():
    for value in (0.0, 1.0, -0.999995, 1e-3, 12345.678):
        values = np.full(5, value, np.float32)
        np.testing.assert_allclose(find_grid(values, 8).nearest(values), values, rtol=2**-12)


@pytest.mark.parametrize("bits", BITS)
def test_zeros_are_exact(bits):
    values = normal(1000, mean=0.2)
    values[np.abs(values) < 1.5] = 0
    grid = find_grid(values, bits)
    assert (grid.nearest(values)[values == 0] == 0).all() and grid.offset % grid.parts == 0
    assert grid.values(np.array(grid.zero)) == 0


@pytest.mark.parametrize("scale", [1e-38, 1e-20, 1e20, 1e37])
def test_numbers_of_any_size_have_a_grid(scale):
    values = (normal(1000) * scale).astype(np.float32)
    for bits in (1, 4, 8):
        found = find_grid(values, bits).nearest(values)
        assert np.isfinite(found).all()
        if scale > 1e-38:  # whose step is not a normal number
            assert np.abs(found.astype(float) - values).mean() < scale


def test_values_are_those_of_the_stored_step_and_offset():
    """16 bits each, and exact in float32, so that every machine has the same numbers."""
    for bits in BITS:
        for mean in (0.0, 5.0, -1000.0):
            grid = find_grid(normal(200, mean=mean), bits)
            assert -(2**15) <= grid.offset < 2**15
            assert int(np.float32(grid.step).view(np.uint32)) % 2**16 == 0 and np.float32(grid.step) == grid.step
            if bits <= 8:
                every = grid.values(np.arange(2**bits))
                np.testing.assert_array_equal(every.astype(np.float32), every)
                np.testing.assert_array_equal(grid.codes(every.astype(np.float32)), np.arange(2**bits))


def test_few_numbers_are_stored_as_float16():
    assert [stored_bits("places", 100, bits) for bits in (1, 8, 15)] == [1, 8, 15]
    assert [stored_bits(kind, 100, 3) for kind in ("weights", "strengths", "bias", "norm")] == [3, 8, 8, 8]
    assert stored_bits("norm", 100, 9) is None and stored_bits("strengths", 4, 8) is None
    for kind in ("weights", "norm"):
        for size in range(1, 12):
            width = stored_bits(kind, size, 4)
            assert (width is None) == (2 * size <= size * (4 if kind == "weights" else 8) / 8 + 4)


@pytest.mark.parametrize("options", [{}, {"weights": True}, {"weights": True, "rank": 5}])
@pytest.mark.parametrize("bits", [1, 3, 8])
def test_a_model_computes_with_the_nearest_numbers(options, bits):
    model = mlp((64, 20, 10), copies=8, dim=3, **options)
    before = {name: array.copy() for name, array in model.arrays.items()}
    quantiser = Quantiser(model, bits)
    quantiser.to_grid()
    kinds = [p.kind for p in quantiser.parameters]
    assert kinds.count("weights" if options else "places") == {0: 3, 1: 2, 2: 4}[len(options)]
    assert kinds.count("strengths") == (0 if options else 2)
    for parameter, grid in zip(quantiser.parameters, quantiser.grids, strict=True):
        assert len(np.unique(parameter.value)) <= 2**grid.bits
    quantiser.to_exact()
    assert all(np.array_equal(before[name], array) for name, array in model.arrays.items())


def test_values_beyond_the_grid_take_its_last_ones():
    grid = Grid(0.25, 8, 3)
    assert grid.nearest(np.array([-1e30, 1e30, -5.0, 0.1])).tolist() == [-0.125, 1.625, -0.125, 0.125]


def test_grids_follow_numbers_that_grow():
    model = mlp((64, 10), weights=True)
    quantiser = Quantiser(model, 3)
    before = quantiser.grids[0].step
    quantiser.exact[0] *= 4
    quantiser.to_grid()
    assert quantiser.grids[0].step == before
    quantiser.renew()
    assert quantiser.grids[0].step == 4 * before
    state = quantiser.state()
    other = Quantiser(mlp((64, 10), weights=True, seed=1), 3)
    other.restore(state)
    assert other.grids == quantiser.grids and np.array_equal(other.exact[0], quantiser.exact[0])
    with pytest.raises(ValueError, match="checkpoint: got one with other numbers on grids"):
        Quantiser(mlp((64, 11), weights=True), 3).restore(state)


@pytest.mark.parametrize("bits", [3, 4, 6, 8])
def test_zeros_stay_zero_whatever_grid_is_recognised(bits):
    generator = np.random.default_rng(bits)
    for _ in range(50):
        step = np.float32(generator.uniform(0.01, 1))
        values = generator.integers(-(2 ** (bits - 1)), 2 ** (bits - 1), 200).astype(np.float32) * step
        values[generator.random(200) < 0.5] = 0
        found = find_grid(values, bits).nearest(values)
        assert (found[values == 0] == 0).all()


@pytest.mark.parametrize("bits", (12, 13, 14, 15, 16))
def test_grids_reach_the_ends_of_the_values(bits):
    values = np.random.default_rng(bits).standard_normal(2**16)
    grid = find_grid(values, bits)
    # With so many values it never pays to leave the ends out.
    assert np.abs(grid.nearest(values) - values).max() <= grid.step * 0.51 + 1e-6
