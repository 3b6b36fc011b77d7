"""Small symmetric systems against NumPy's solutions in float64."""

import numpy as np
import pytest

from dynsim.learning._block_factors import factor_blocks, solve_blocks


def systems(size, dtype=np.float64, count=3):
    generator = np.random.default_rng(size)
    jacobian = generator.normal(size=(count, 2 * size, size))
    return (jacobian.swapaxes(1, 2) @ jacobian).astype(dtype), generator.normal(size=(count, 4, size)).astype(dtype)


@pytest.mark.parametrize("size", [1, 2, 7, 31, 70])
def test_solutions_are_those_of_numpy(size):
    blocks, rows = systems(size)
    exact = np.linalg.solve(blocks, rows.swapaxes(1, 2)).swapaxes(1, 2)
    # condition numbers are below (1 + sqrt(1/2))^2 / (1 - sqrt(1/2))^2 = 34 for large blocks, a few thousand for small
    np.testing.assert_allclose(solve_blocks(factor_blocks(blocks.copy()), rows), exact, rtol=1e-9, atol=1e-12)


def test_working_precision_is_that_of_the_blocks():
    blocks, rows = systems(40, np.float32)
    found = solve_blocks(factor_blocks(blocks.copy()), rows)
    assert found.dtype == np.float32
    exact = np.linalg.solve(blocks.astype(float), rows.astype(float).swapaxes(1, 2)).swapaxes(1, 2)
    # 40 roundings of 6e-8, times a condition number below 100
    np.testing.assert_allclose(found, exact, rtol=0, atol=3e-4 * np.abs(exact).max())


def test_unknowns_on_which_nothing_depends_stay_zero():
    blocks, rows = systems(5)
    blocks[0] = 0.0  # all of them
    blocks[1, 3] = blocks[1, :, 3] = 0.0  # one of them
    blocks[2, 4] = blocks[2, 1]  # one that is another one
    blocks[2, :, 4] = blocks[2, :, 1]
    found = solve_blocks(factor_blocks(blocks.copy()), rows)
    assert np.isfinite(found).all()
    assert not found[0].any()
    assert not found[1, :, 3].any()
    kept = [0, 1, 2, 4]
    np.testing.assert_allclose(
        found[1][:, kept], np.linalg.solve(blocks[1][np.ix_(kept, kept)], rows[1][:, kept].T).T, rtol=1e-9
    )
    assert not found[2, :, 4].any()


def test_what_is_not_finite_is_seen():
    blocks, rows = systems(4)
    blocks[0, 2, 2] = np.nan
    found = solve_blocks(factor_blocks(blocks), rows)
    assert np.isnan(found[0]).any()
    assert np.isfinite(found[1:]).all()
