"""Products that never form the pairs, for kernels other than the l1 linear one, against the matrix."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from dynsim.kernels import (
    ExponentialProduct,
    InverseProduct,
    Kernel,
    SlicedProduct,
    SortedProduct,
    find_backend,
    weight_free,
)
from dynsim.kernels._exponential_sums import inverse_as_exponentials

EXACT = np.finfo(float).eps
RATES, WEIGHTS = np.array([0.3, 1.0, 7.0, 0.3, 2.5]), np.array([1.0, -2.0, 0.5, 3.0, 1.0])

# Few distinct numbers, so that ties and equal places are the rule; sides may be empty.
lines = st.tuples(st.integers(0, 9), st.integers(0, 9), st.integers(1, 3)).flatmap(
    lambda n: st.tuples(
        arrays.arrays(float, (n[0], 1), elements=st.sampled_from([-300.0, -1.0, 0.0, 0.25, 0.5, 1000.0])),
        arrays.arrays(float, (n[1], 1), elements=st.sampled_from([-300.0, -1.0, 0.0, 0.25, 0.75, 1000.0])),
        arrays.arrays(float, (n[0], n[2]), elements=st.floats(-10, 10)),
        arrays.arrays(float, (n[1], n[2]), elements=st.floats(-10, 10)),
    )
)


def exponentials(sources, targets):
    r = np.abs(targets - sources.T)
    return np.tensordot(np.exp(-r[..., None] * RATES), WEIGHTS, 1)


@settings(max_examples=100, deadline=None)
@given(lines)
def test_sums_of_exponentials_equal_the_matrix(drawn):
    sources, targets, x, y = drawn
    product, W = ExponentialProduct(sources, targets, rates=RATES, weights=WEIGHTS), exponentials(sources, targets)
    # Every factor is below one, of a few roundings each, and so is each term's share of the sum of the weights' sizes;
    # the exponent -s r has a rounding of its own, as large as it is, but then the term is small: r e^-r < 1.
    size = 32 * EXACT * (4 + len(x) + len(y)) * np.abs(WEIGHTS).sum()
    assert np.all(np.abs(product.forward(x) - W @ x) <= size * (1 + np.abs(x).sum()))
    assert np.all(np.abs(product.transposed(y[:, 0]) - W.T @ y[:, 0]) <= size * (1 + np.abs(y).sum()))
    r = targets - sources.T
    slopes = -np.sign(r) * np.tensordot(np.exp(-np.abs(r)[..., None] * RATES), RATES * WEIGHTS, 1)
    exchange = (y @ x.T) * slopes
    on_sources, on_targets = product.forces(x, y)
    size *= RATES.max() * (1 + np.abs(x).sum() * np.abs(y).sum())
    np.testing.assert_allclose(on_targets, exchange.sum(axis=1)[:, None], rtol=0, atol=size)
    np.testing.assert_allclose(on_sources, -exchange.sum(axis=0)[:, None], rtol=0, atol=size)


def test_forces_are_central_differences():
    g = np.random.default_rng(0)
    for make, d in (
        (lambda s, t: ExponentialProduct(s, t, rates=RATES, weights=WEIGHTS), 1),
        (lambda s, t: SlicedProduct(s, t, scale=0.5, directions=12), 3),
    ):
        sources, targets, x, y = (g.normal(size=shape) for shape in ((6, d), (5, d), (6, 2), (5, 2)))
        forces = make(sources, targets).forces(x, y)
        for moved, force in zip((sources, targets), forces, strict=True):
            for index in np.ndindex(moved.shape):
                kept, sides = moved[index], []
                for step in (1e-5, -1e-5):
                    moved[index] = kept + step
                    sides.append(np.sum(y * make(sources, targets).forward(x)))
                moved[index] = kept
                # h^2 times a third derivative of about 7^3, and rounding over h
                assert force[index] == pytest.approx((sides[0] - sides[1]) / 2e-5, abs=1e-6)


@pytest.mark.parametrize("error", [1e-2, 1e-6, 1e-10])
def test_the_inverse_keeps_the_error_that_it_states(error):
    nearest, farthest = 1e-4, 50.0
    rates, weights, bound = inverse_as_exponentials(nearest, farthest, error)
    r = np.geomspace(nearest, farthest, 5000)
    found = np.abs(r * (np.exp(-r[:, None] * rates) @ weights) - 1).max()
    assert found <= bound + 100 * EXACT and bound <= error
    assert found > bound / 100  # the bound says something
    g = np.random.default_rng(1)
    sources, targets = g.normal(size=(300, 1)), g.normal(size=(200, 1))
    targets[:5] = sources[:5]  # these meet: left out
    x = g.normal(size=(300, 3))
    product = InverseProduct(sources, targets, scale=-2.0, error=error)
    r = np.abs(targets - sources.T)
    W = np.where(r > 0, -2.0 / np.where(r > 0, r, 1), 0)
    # each pair is wrong by its error at most; rounding of the recursions beside it
    allowed = (product.error + 1000 * EXACT) * (np.abs(W) @ np.abs(x)) + 1000 * EXACT * np.abs(W).max()
    assert np.all(np.abs(product.forward(x) - W @ x) <= allowed) and product.error <= error
    assert f"{product.error:.1e}" in repr(product)


def test_sliced_distances_are_unbiased_and_know_their_error():
    g = np.random.default_rng(2)
    sources, targets, x = g.normal(size=(400, 5)), g.normal(size=(300, 5)), g.random(400)
    W = np.linalg.norm(targets[:, None] - sources, axis=2)
    errors = []
    for directions in (10, 1000):
        product = SlicedProduct(sources, targets, directions=directions)
        sliced = product.forward(np.eye(400))
        actual = np.sqrt(np.mean(np.square(sliced / W - 1)))
        assert product.error == pytest.approx(actual, rel=0.2)  # 4,096 pairs of correlated errors
        np.testing.assert_allclose(product.forward(x), W @ x, rtol=5 * actual)
        errors.append(actual)
    assert errors[1] < errors[0] / 5  # 1 / sqrt(100), and directions that avoid each other
    exact = SlicedProduct(sources[:, :1], targets[:, :1], directions=3)
    assert exact.error < 1e-14
    np.testing.assert_allclose(exact.forward(x), np.abs(targets[:, :1] - sources[:, :1].T) @ x, rtol=1e-12)


def test_the_kernel_says_which_product():
    g = np.random.default_rng(3)
    line, space = (g.normal(size=(8, 1)), g.normal(size=(7, 1))), (g.normal(size=(8, 3)), g.normal(size=(7, 3)))
    assert isinstance(weight_free(Kernel("linear", "l1"), *space), SortedProduct)
    assert isinstance(weight_free(Kernel("linear"), *line), SortedProduct)
    product = weight_free(Kernel("exponential", scale=3.0, length=0.5), *line)
    np.testing.assert_allclose(
        product.forward(np.ones(8)), 3 * np.exp(-np.abs(line[1] - line[0].T) / 0.5).sum(axis=1), rtol=1e-12
    )
    assert weight_free(Kernel(), *line, error=1e-5).error <= 1e-5
    assert weight_free(Kernel("linear"), *space, error=0.05).error <= 0.05
    for kernel, places, message in (
        (Kernel("exponential", "l1"), space, "does not split into a term for each axis"),
        (Kernel("linear", "l1", softening=0.1), space, "softening"),
        (Kernel(), line, "error: got None .*expected the relative error"),
        (Kernel(), space, "expected linear .*use tiled"),
        (Kernel("gaussian"), line, "expected linear .*use tiled"),
    ):
        with pytest.raises(ValueError, match=message):
            weight_free(kernel, *places)
    with pytest.raises(ValueError, match="use tiled, which is exact"):
        weight_free(Kernel("linear"), *space, error=1e-6)


def test_a_device_is_asked_for_by_name():
    arguments = Kernel("linear", "l1"), [[0.0]], [[1.0]]
    with pytest.raises(ValueError, match="expected one of numba, cupy"):
        weight_free(*arguments, backend="quantum")
    with pytest.raises(ValueError, match=r"backend: got 'cupy' .*expected numba"):
        weight_free(Kernel("exponential"), [[0.0]], [[1.0]], backend="cupy")
    if find_backend().name != "cupy":
        with pytest.raises(ValueError, match=r"backend: got 'cupy', but .*or backend='numba'"):
            weight_free(*arguments, backend="cupy")


@pytest.mark.gpu
@pytest.mark.skipif(find_backend().name != "cupy", reason=f"needs a CUDA card and CuPy: {find_backend().reason}")
@pytest.mark.parametrize("columns", [None, 3])
def test_a_device_says_the_same(columns):
    g = np.random.default_rng(5)
    sources, targets = g.normal(size=(900, 3)).round(1), g.normal(size=(700, 3)).round(1)
    x, y = (g.normal(size=n if columns is None else (n, columns)) for n in (900, 700))
    here, there = (weight_free(Kernel("linear", "l1"), sources, targets, backend=name) for name in ("numba", "cupy"))
    pairs = [(here.forward(x), there.forward(x)), (here.transposed(y), there.transposed(y))]
    for ours, theirs in [*pairs, *zip(here.forces(x, y), there.forces(x, y), strict=True)]:
        # sums of a few thousand terms of size about ten, in float64
        np.testing.assert_allclose(theirs, ours, rtol=0, atol=1e4 * 10 * EXACT * max(1, np.abs(ours).max()))


def test_wrong_input_is_named():
    with pytest.raises(ValueError, match="expected 1 for sums"):
        ExponentialProduct(np.zeros((2, 2)), np.zeros((2, 2)), rates=[1.0], weights=[1.0])
    with pytest.raises(ValueError, match="rates: got -1"):
        ExponentialProduct([[0.0]], [[0.0]], rates=[-1.0], weights=[1.0])
    with pytest.raises(ValueError, match="error: got 0"):
        InverseProduct([[0.0]], [[1.0]], error=0)
    with pytest.raises(ValueError, match="sources: entry"):
        ExponentialProduct([[math.nan]], [[0.0]], rates=[1.0], weights=[1.0])
    product = ExponentialProduct(np.zeros((2, 1)), np.ones((3, 1)), rates=[1.0], weights=[1.0])
    with pytest.raises(ValueError, match=r"x: got shape \(3,\)"):
        product.forward(np.zeros(3))
    with pytest.raises(ValueError, match=r"y: got shape \(3, 2\); expected \(3, 1\)"):
        product.forces(np.zeros((2, 1)), np.zeros((3, 2)))
    with pytest.raises(ValueError, match="x: entry"):
        product.forward([1.0, np.inf])
