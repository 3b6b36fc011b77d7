"""Sums by trees against the sums of all pairs: below the accuracy wherever neurons stand, and the same bits."""

import numba
import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from dynsim.kernels import Kernel, TreeProduct, _tree_sums, pair_force, pair_sum
from dynsim.kernels._cluster_tree import build_tree, chebyshev, interpolation_points, moments, ranges_of_leaves

KERNELS = [Kernel(softening=1e-3), Kernel("gaussian", length=0.7)]


def places(arrangement, n, d, generator):
    """Places (n, d), arranged in a way that trees may find hard."""
    q = generator.random((n, d))
    if arrangement == "clustered":
        centers = 10 * generator.normal(size=(20, d))
        sizes = np.exp(3 * generator.normal(size=20) - 4)
        which = generator.integers(20, size=n)
        return centers[which] + sizes[which, None] * generator.normal(size=(n, d))
    if arrangement == "planar":
        q[:, -1] = 0.3
    elif arrangement == "line":
        q[:, 1:] = -2.0
    elif arrangement == "offset":
        q += 1e6
    elif arrangement == "tailed":
        q = generator.standard_cauchy((n, d))
    elif arrangement == "repeated":
        q = np.repeat(q[: -(-n // 50)], 50, axis=0)[:n]
    return q


@pytest.fixture
def always(monkeypatch):
    """Trees however few pairs they save."""
    monkeypatch.setattr(_tree_sums, "WORTH", np.inf)


@settings(
    max_examples=60,
    deadline=None,
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    arrangement=st.sampled_from(["uniform", "clustered", "planar", "line", "offset", "tailed", "repeated"]),
    kernel=st.sampled_from(KERNELS),
    d=st.integers(1, 3),
    n=st.sampled_from([1, 2, 37, 800, 5000]),
    digits=st.integers(1, 9),
    signed=st.booleans(),
    seed=st.integers(0, 2**32 - 1),
)
def test_the_error_is_below_the_accuracy(always, arrangement, kernel, d, n, digits, signed, seed):
    generator = np.random.default_rng(seed)
    q = places(arrangement, n, d, generator)
    x = generator.normal(size=n)
    x = x if signed else np.abs(x)
    accuracy = 10.0**-digits
    product = TreeProduct(kernel, q, q, accuracy=accuracy, exclude_self=True)
    y, exact = product.forward(x), pair_sum(kernel, q, q, x, exclude_self=True, backend="numba")
    assert y.shape == exact.shape
    # Far from 0 and for repeated places sums are rounded by themselves: 1e-10 of 1e6, relative to the distances.
    rounding = 1e-9 if arrangement == "offset" else 1e-12
    assert np.linalg.norm(y - exact) <= (accuracy + rounding) * np.linalg.norm(exact)
    assert product.report.error <= accuracy


@pytest.mark.parametrize("d", [1, 2, 3])
@pytest.mark.parametrize("own", [True, False])
def test_forces(always, d, own):
    g, kernel = np.random.default_rng(d), KERNELS[0]
    q, p = g.normal(size=(6000, d)), g.normal(size=(6000 if own else 900, d))
    x, y = g.normal(size=6000), g.normal(size=len(p))
    product = TreeProduct(kernel, q, q if own else p, accuracy=1e-5, exclude_self=own)
    found = product.forces(x, y)
    exact = pair_force(kernel, q, q if own else p, x, y, exclude_self=own, backend="numba")
    assert product.report.degree is not None
    assert np.linalg.norm(found - exact) <= 1e-5 * np.linalg.norm(exact)


@pytest.mark.parametrize("d", [1, 2, 3])
def test_sources_elsewhere_than_their_targets(always, d):
    """With a delay the sources are the neurons' earlier places: each one's own is left out wherever it is."""
    g = np.random.default_rng(0)
    q = g.normal(size=(5000, d))
    past, x = q + 0.5 * g.normal(size=q.shape), g.normal(size=5000)
    kernel = Kernel("gaussian", length=0.7)
    product = TreeProduct(kernel, past, q, accuracy=1e-7, exclude_self=True)
    exact = pair_sum(kernel, past, q, x, exclude_self=True)
    assert np.linalg.norm(product.forward(x) - exact) <= 1e-7 * np.linalg.norm(exact)
    assert product.report.degree is not None


def test_more_signals_than_are_summed_at_once(always):
    g = np.random.default_rng(7)
    q, x, y = (g.normal(size=(3000, columns)) for columns in (1, 5, 5))
    product = TreeProduct(KERNELS[1], q, q, accuracy=1e-6, exclude_self=True)
    exact = pair_sum(KERNELS[1], q, q, x, exclude_self=True)
    assert np.linalg.norm(product.forward(x) - exact) <= 1e-6 * np.linalg.norm(exact)
    assert product.report.degree is not None
    exact = pair_force(KERNELS[1], q, q, x, y, exclude_self=True)
    np.testing.assert_allclose(product.forces(x, y), exact, rtol=0, atol=1e-12 * np.abs(exact).max())
    assert product.report.degree is None  # of so many signals all pairs are summed


def test_each_signal_has_the_accuracy(always):
    g = np.random.default_rng(8)
    q = g.normal(size=(20_000, 1))
    x = np.stack([np.full(20_000, 1e4), g.normal(size=20_000)], axis=1)
    y, exact = TreeProduct(KERNELS[0], q, q, accuracy=1e-5).forward(x), pair_sum(KERNELS[0], q, q, x)
    assert (np.linalg.norm(y - exact, axis=0) <= 1e-5 * np.linalg.norm(exact, axis=0)).all()


def test_what_is_infinite_or_as_large_as_numbers_is_as_without_a_tree(always):
    g = np.random.default_rng(9)
    q, x = g.normal(size=(3000, 1)), np.ones(3000)
    q[1] = q[0]
    singular = Kernel()
    found, exact = (pair_sum(singular, q, q, x, exclude_self=True, accuracy=a) for a in (1e-3, None))
    np.testing.assert_array_equal(np.isinf(found), np.isinf(exact))
    large = 1e307 * g.uniform(1, 9, size=(300, 1))
    found, exact = (
        pair_sum(KERNELS[1], large, large, np.ones(300), exclude_self=True, accuracy=a) for a in (1e-3, None)
    )
    np.testing.assert_array_equal(found, exact)


def test_single_precision(always):
    g = np.random.default_rng(1)
    q, x = g.normal(size=(5000, 3)).astype(np.float32), g.normal(size=5000).astype(np.float32)
    product = TreeProduct(KERNELS[1], q, q, accuracy=1e-4, exclude_self=True)
    y = product.forward(x)
    assert y.dtype == np.float32 and product.report.degree is not None
    exact = pair_sum(KERNELS[1], *(a.astype(float) for a in (q, q, x)), exclude_self=True)
    assert np.linalg.norm(y - exact) <= 1e-4 * np.linalg.norm(exact)


def test_the_same_bits_on_any_number_of_threads(always):
    g = np.random.default_rng(2)
    q, x = g.normal(size=(20_000, 3)), g.normal(size=20_000)
    found = []
    for threads in range(1, numba.config.NUMBA_NUM_THREADS + 1):
        numba.set_num_threads(threads)
        product = TreeProduct(Kernel(softening=0.01), q, q, accuracy=1e-4, exclude_self=True)
        found.append((product.forward(x).tobytes(), product.forces(x, x).tobytes(), product.report))
    assert len(set(found)) == 1


def test_the_tree_is_that_of_its_description():
    g = np.random.default_rng(3)
    q = g.normal(size=(999, 3))
    tree = build_tree(q, 50)
    assert np.array_equal(np.sort(tree.order), np.arange(999))
    for node in range(len(tree.begin)):
        some = q[tree.order[tree.begin[node] : tree.end[node]]]
        assert np.array_equal(tree.low[node], some.min(axis=0)) and np.array_equal(tree.high[node], some.max(axis=0))
        if tree.child[node]:
            left = tree.child[node]
            assert tree.begin[left] == tree.begin[node] and tree.end[left] == tree.begin[left + 1]
            assert tree.end[left + 1] == tree.end[node]
    assert max(tree.end[leaf] - tree.begin[leaf] for leaf in tree.leaves) <= 50


@pytest.mark.parametrize("d", [1, 2, 3])
def test_moments_reproduce_polynomials(d):
    """Points with these strengths have the sources' sums of every polynomial up to the degree, in all nodes."""
    g = np.random.default_rng(4)
    q, x, degree = g.normal(size=(600, d)), g.normal(size=(2, 600)), 3
    tree = build_tree(q, 40)
    points = interpolation_points(tree, degree)
    charges = moments(
        tree, np.ascontiguousarray(q[tree.order].T), np.ascontiguousarray(x[:, tree.order]), points, degree
    )
    K = (degree + 1) ** d
    for node in range(len(tree.begin)):
        own = tree.order[tree.begin[node] : tree.end[node]]
        for powers in np.ndindex(*[degree + 1] * d):
            there = np.prod(points[:, node * K : (node + 1) * K].T ** np.array(powers), axis=1)
            exact = x[:, own] @ np.prod(q[own] ** np.array(powers), axis=1)
            # a few hundred terms of at most 4^9
            np.testing.assert_allclose(charges[:, node * K : (node + 1) * K] @ there, exact, rtol=0, atol=1e-9)
    assert np.array_equal(chebyshev(2)[0].round(15), [1.0, 0.0, -1.0])


def test_every_source_acts_once():
    g = np.random.default_rng(5)
    q = g.normal(size=(3000, 2))
    tree, K = build_tree(q, 25), 25
    starts, begin, end = ranges_of_leaves(tree, tree, K, 0.6, own=True)
    for leaf in range(len(tree.leaves)):
        covered = np.zeros(3000, int)
        for first, stop in zip(
            begin[starts[leaf] : starts[leaf + 1]], end[starts[leaf] : starts[leaf + 1]], strict=True
        ):
            if first < 3000:
                covered[first:stop] += 1
            else:
                for node in range((first - 3000) // K, (stop - 3000) // K):
                    covered[tree.begin[node] : tree.end[node]] += 1
        assert (covered == 1).all()


def test_pair_sums_take_a_tree_for_an_accuracy_only():
    g = np.random.default_rng(6)
    q, x = g.normal(size=(20_000, 1)), g.normal(size=20_000)
    kernel = KERNELS[1]
    exact = pair_sum(kernel, q, q, x)
    assert np.array_equal(pair_sum(kernel, q, q, x, method="direct", accuracy=1e-3), exact)
    for y in (pair_sum(kernel, q, q, x, accuracy=1e-8), pair_sum(kernel, q, q, x, method="tree", accuracy=1e-8)):
        assert not np.array_equal(y, exact) and np.linalg.norm(y - exact) <= 1e-8 * np.linalg.norm(exact)
    pull = pair_force(kernel, q, q, x, x)
    assert np.linalg.norm(pair_force(kernel, q, q, x, x, accuracy=1e-8) - pull) <= 1e-8 * np.linalg.norm(pull)
    l1 = Kernel("gaussian", "l1")
    assert np.array_equal(pair_sum(l1, q, q, x, accuracy=1e-3), pair_sum(l1, q, q, x))  # no tree: exact


def test_refusals():
    q, x = np.zeros((3, 3)), np.zeros(3)
    with pytest.raises(ValueError, match="accuracy: got none; expected the relative error"):
        pair_sum(Kernel(), q, q, x, method="tree")
    with pytest.raises(ValueError, match="kernel of l2 distances in 1 to 3 dimensions"):
        pair_sum(Kernel("linear", "l1"), q, q, x, method="tree", accuracy=1e-3)
    with pytest.raises(ValueError, match="1e-12 to below 1"):
        pair_sum(Kernel(), q, q, x, accuracy=1.0)
    with pytest.raises(ValueError, match="above 0"):
        pair_sum(Kernel(), q, q, x, accuracy=-1e-3)
    with pytest.raises(ValueError, match="'sorted' for forces"):
        pair_force(Kernel(), q, q, x, x, method="sorted")
    with pytest.raises(ValueError, match="above 0"):
        pair_sum(Kernel("linear", "l1"), *np.zeros((2, 3000, 1)), np.zeros(3000), accuracy=-5)
    for part in (3, (0,)):
        with pytest.raises(TypeError, match="two whole numbers, begin and end"):
            pair_sum(Kernel(), q, q, x, part=part)
    with pytest.raises(ValueError, match="x: got shape"):
        TreeProduct(Kernel(), q, q, accuracy=0.1).forward(np.zeros(4))


@pytest.mark.parametrize("n", [0, 1, 2])
def test_few_neurons(n):
    q = np.zeros((n, 2))
    product = TreeProduct(Kernel("linear"), q, q, accuracy=0.1, exclude_self=True)
    assert product.forward(np.ones(n)).shape == (n,) and product.forces(np.ones(n), np.ones(n)).shape == (n, 2)
    assert TreeProduct(Kernel("linear"), q, np.ones((4, 2)), accuracy=0.1).forward(np.ones((n, 0))).shape == (4, 0)
