"""Sums by trees against the sums of all pairs: below the accuracy wherever neurons stand, and the same bits."""

import numba
import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from dynsim.kernels import Kernel, TreeProduct, _tree_sums, pair_force, pair_sum
from dynsim.kernels._cluster_pairs import meet
from dynsim.kernels._cluster_points import chebyshev, interpolate_down, moments, points_of
from dynsim.kernels._cluster_tree import build_tree, moved_tree, with_ancestors

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
@pytest.mark.parametrize("signals", [(), (2,)])
def test_forces(always, d, own, signals):
    g, kernel = np.random.default_rng(d), KERNELS[0]
    q, p = g.normal(size=(6000, d)), g.normal(size=(6000 if own else 900, d))
    x, y = g.normal(size=(6000, *signals)), g.normal(size=(len(p), *signals))
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
    exact = pair_force(kernel, past, q, x, x, exclude_self=True)
    assert np.linalg.norm(product.forces(x, x) - exact) <= 1e-7 * np.linalg.norm(exact)
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


def some_points(d, arrangement="clustered"):
    g = np.random.default_rng(4)
    q = places(arrangement, 3000, d, g)
    tree = build_tree(q, 40)
    points = points_of(tree, 3, 0.5)
    return g, tree, points, np.ascontiguousarray(q[tree.order].T)


@pytest.mark.parametrize("d", [1, 2, 3])
def test_points(d):
    """Clusters with more places than points have some: the ends of a side among them, fewer along shorter sides."""
    _, tree, points, _ = some_points(d)
    assert points.sizes[0] > 0
    for node in np.flatnonzero(points.sizes):
        some = points.places[:, points.starts[node] : points.starts[node + 1]]
        assert points.sizes[node] == points.counts[node].prod() < tree.end[node] - tree.begin[node]
        longest = np.argmax(tree.high[node] - tree.low[node])
        assert points.counts[node, longest] == points.counts[node].max() == 4
        many = points.counts[node] > 1
        np.testing.assert_allclose(some.min(axis=1)[many], tree.low[node][many], rtol=1e-12, atol=1e-12)
        np.testing.assert_allclose(some.max(axis=1)[many], tree.high[node][many], rtol=1e-12, atol=1e-12)
        assert len(np.unique(some, axis=1).T) == points.sizes[node]
        assert node == 0 or points.sizes[(node - 1) // 2]
    flat = np.tile([[2.0], [0.0], [-1.0]], 200)
    flat[1] = np.arange(200)
    line = build_tree(flat.T.copy(), 40)
    assert (points_of(line, 3, 0.5).counts == [1, 4, 1]).all()
    assert np.array_equal(chebyshev(3)[0].round(15), [1.0, 0.0, -1.0]) and chebyshev(1)[0] == 0


def polynomials(d, counts):
    """Powers, one for each axis, of all polynomials that so many points along the axes reproduce."""
    return list(np.ndindex(*np.minimum(counts, 4))), lambda places, powers: np.prod(places ** np.array(powers), axis=-1)


@pytest.mark.parametrize("d", [1, 2, 3])
def test_moments_reproduce_polynomials(d):
    """Points with these strengths have the sources' sums of every polynomial up to the degree, in all nodes.

    A node's polynomials are those of its descendants, too, where these have no fewer points along an axis.
    """
    g, tree, points, sources = some_points(d, "uniform")
    x = g.normal(size=(2, sources.shape[1]))
    charges = moments(tree, points, sources, x)
    for node in np.flatnonzero(points.sizes):
        below = np.zeros(len(tree.begin), bool)
        below[node] = True
        for other in range(node + 1, len(below)):
            below[other] = below[(other - 1) // 2]
        counts = points.counts[below & (points.sizes > 0)].min(axis=0)
        some, value = polynomials(d, counts)
        own, its = slice(tree.begin[node], tree.end[node]), slice(points.starts[node], points.starts[node + 1])
        for powers in some:
            exact = x[:, own] @ value(sources[:, own].T, powers)
            # thousands of terms of at most 1, each with some roundings
            found = charges[:, its] @ value(points.places[:, its].T, powers)
            np.testing.assert_allclose(found, exact, rtol=0, atol=1e-9)


@pytest.mark.parametrize("arrangement", ["uniform", "clustered", "planar", "line"])
@pytest.mark.parametrize("d", [1, 2, 3])
def test_to_interpolate_down_is_the_transpose_of_moments(d, arrangement):
    """sum of field times moments(x) = sum of interpolated field times x, for all fields and strengths x."""
    g, tree, points, sources = some_points(d, arrangement)
    x, field = g.normal(size=(2, sources.shape[1])), g.normal(size=(points.starts[-1], 1))
    charges, out = moments(tree, points, sources, x), np.zeros((sources.shape[1], 1))
    interpolate_down(tree, points, field.copy(), sources, np.ones(len(tree.begin), bool), out)
    # sums of thousands of products of normal numbers, in another order
    np.testing.assert_allclose(charges @ field, x @ out, rtol=0, atol=1e-9)
    leaf = tree.leaves[len(tree.leaves) // 3]
    part = np.zeros_like(out)
    interpolate_down(tree, points, field.copy(), sources, with_ancestors(tree, [leaf]), part)
    own = slice(tree.begin[leaf], tree.end[leaf])
    assert np.array_equal(part[own], out[own])


def test_moments_and_interpolation_are_those_of_numpy():
    """Each node's part of both, against the products of Lagrange polynomials written out."""
    g, tree, points, sources = some_points(2)
    x, field = g.normal(size=(1, sources.shape[1])), g.normal(size=(points.starts[-1], 1))
    charges, expected = np.zeros(points.starts[-1]), field.copy()
    out = np.zeros((sources.shape[1], 1))

    def basis(node, places):
        """L_k(places), (places, points of the node), from the definition."""
        rows = []
        for k in range(2):
            nodes, _ = chebyshev(points.counts[node, k])
            middle, half = (tree.low[node, k] + tree.high[node, k]) / 2, (tree.high[node, k] - tree.low[node, k]) / 2
            at = (places[k][:, None] - middle) / half
            parts = [(at - np.delete(nodes, i)) / (one - np.delete(nodes, i)) for i, one in enumerate(nodes)]
            rows.append(np.stack([part.prod(axis=1) for part in parts], axis=1))
        return (rows[0][:, :, None] * rows[1][:, None, :]).reshape(len(places[0]), -1)

    def pieces(node):
        """The places that a node gives to and takes from: points of its children, or their neurons."""
        children = [tree.child[node], tree.child[node] + 1] if tree.child[node] else [node]
        for child in children:
            if child != node and points.sizes[child]:
                yield points.places, charges, expected, slice(points.starts[child], points.starts[child + 1])
            else:
                yield sources, x[0], out, slice(tree.begin[child], tree.end[child])

    with_points = np.flatnonzero(points.sizes)
    for node in with_points[::-1]:
        its = slice(points.starts[node], points.starts[node + 1])
        for where, strengths, _, some in pieces(node):
            charges[its] += strengths[some] @ basis(node, where[:, some])
    for node in with_points:
        its = slice(points.starts[node], points.starts[node + 1])
        for where, _, values, some in pieces(node):
            values[some] += basis(node, where[:, some]) @ expected[its]
    np.testing.assert_allclose(moments(tree, points, sources, x)[0], charges, rtol=0, atol=1e-9)
    found = np.zeros_like(out)
    interpolate_down(tree, points, field, sources, np.ones(len(tree.begin), bool), found)
    np.testing.assert_allclose(found, out, rtol=0, atol=1e-9)


@pytest.mark.parametrize("own", [True, False])
@pytest.mark.parametrize("delayed", [True, False])
def test_every_source_acts_once(own, delayed):
    """On each target every source acts once, by itself or a cluster, directly or on a cluster of the target's."""
    g = np.random.default_rng(5)
    q = g.normal(size=(3000, 2))
    tree = build_tree(q, 12)
    others = q + 0.3 * g.normal(size=q.shape) if delayed else q
    groups = moved_tree(tree, others) if own else build_tree(others, 12)
    points, at = (points_of(some, 3, 0.5) for some in (tree, groups))
    owner = np.repeat(np.arange(len(tree.begin)), points.sizes)
    acted = np.zeros((3000, 3000), int)  # [target, source], in the orders of their trees
    for ranges, some in zip(meet(tree, points, groups, at, 0.5, own), (at.sizes > 0, groups.child == 0), strict=True):
        assert some[ranges.nodes].all()
        for i, node in enumerate(ranges.nodes):
            rows = slice(groups.begin[node], groups.end[node])
            for each in range(ranges.starts[i], ranges.starts[i + 1]):
                first, stop = ranges.begin[each], ranges.end[each]
                if first < 3000:
                    acted[rows, first:stop] += 1
                    continue
                for source in np.unique(owner[first - 3000 : stop - 3000]):
                    columns = slice(tree.begin[source], tree.end[source])
                    acted[rows, columns] += 1
                    assert not own or rows.stop <= columns.start or columns.stop <= rows.start
    assert (acted == 1).all()


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
