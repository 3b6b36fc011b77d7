"""Sorted sums for the l1 linear kernel against the matrix that they avoid."""

import os
import subprocess
import sys

import numba
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from dynsim.kernels import Kernel, SortedProduct, _sorted_columns, pair_matrix, pair_sum, relation_forces

EXACT = np.finfo(float).eps

# Few distinct numbers: ties and equal places are the rule.
places = st.tuples(st.integers(0, 12), st.integers(0, 12), st.integers(1, 4), st.integers(1, 35)).flatmap(
    lambda n: st.tuples(
        arrays.arrays(float, (n[0], n[2]), elements=st.integers(-3, 3).map(float)),
        arrays.arrays(float, (n[1], n[2]), elements=st.integers(-3, 3).map(float)),
        arrays.arrays(float, (n[0], n[3]), elements=st.floats(-10, 10)),
        arrays.arrays(float, (n[1], n[3]), elements=st.floats(-10, 10)),
    )
)


def matrix(sources, targets, scale=1.0):
    return scale * np.abs(targets[:, None] - sources).sum(axis=2)


def bound(sources, targets, x):
    """Rounding of sums over m terms of |q| |x|, with |q| counted twice (the terms that cancel)."""
    reach = 1 + np.abs(sources).max(initial=0) + np.abs(targets).max(initial=0)
    return 8 * EXACT * (len(x) + 4) * reach * sources.shape[1] * (1 + np.abs(x).sum(axis=0))


@settings(max_examples=150, deadline=None)
@given(places)
def test_products_and_forces_equal_the_matrix(drawn):
    sources, targets, x, y = drawn
    product = SortedProduct(sources, targets, scale=-1.5)
    W = matrix(sources, targets, -1.5)
    assert product.shape == W.shape
    assert np.all(np.abs(product.forward(x) - W @ x) <= bound(sources, targets, x))
    assert np.all(np.abs(product.transposed(y) - W.T @ y) <= bound(sources, targets, y))
    assert np.all(np.abs(product.forward(x[:, 0]) - W @ x[:, 0]) <= bound(sources, targets, x)[0])
    signs = -1.5 * np.sign(targets[:, None] - sources)
    exchange = y @ x.T
    on_sources, on_targets = product.forces(x, y)
    tolerance = 64 * EXACT * (1 + np.abs(y).sum() * np.abs(x).sum())
    np.testing.assert_allclose(on_targets, np.einsum("oi,oik->ok", exchange, signs), rtol=0, atol=tolerance)
    np.testing.assert_allclose(on_sources, -np.einsum("oi,oik->ik", exchange, signs), rtol=0, atol=tolerance)


@pytest.mark.parametrize("d", [1, 3, 12])
@pytest.mark.parametrize(("m", "n"), [(1, 1), (4095, 3), (4096, 5), (4097, 4097), (9000, 2)])
def test_sizes_about_the_pieces_edges(m, n, d):
    g = np.random.default_rng(m + n)
    sources, targets, x = g.normal(size=(m, d)), g.normal(size=(n, d)), g.normal(size=(m, 17))
    W = pair_matrix(Kernel("linear", "l1"), sources, targets)
    product = SortedProduct(sources, targets)
    np.testing.assert_allclose(product.forward(x), W @ x, rtol=0, atol=bound(sources, targets, x).max())
    np.testing.assert_allclose(product.forward(x[:, 3]), W @ x[:, 3], rtol=0, atol=bound(sources, targets, x).max())


def test_forces_are_central_differences():
    g = np.random.default_rng(1)
    sources, targets, x, y = (g.normal(size=shape) for shape in ((7, 2), (5, 2), (7, 3), (5, 3)))
    on_sources, on_targets = SortedProduct(sources, targets).forces(x, y)
    for moved, force in ((sources, on_sources), (targets, on_targets)):
        for index in np.ndindex(moved.shape):
            kept, sides = moved[index], []
            for step in (1e-6, -1e-6):
                moved[index] = kept + step
                sides.append(np.sum(y * SortedProduct(sources, targets).forward(x)))
            moved[index] = kept
            # piecewise linear: no error of the difference but rounding, eps |f| / h with |f| < 100
            assert force[index] == pytest.approx((sides[0] - sides[1]) / 2e-6, abs=100 * EXACT / 1e-6)


def test_gradients_are_those_of_the_dense_layer():
    g = np.random.default_rng(6)
    sources, targets = g.normal(size=(9, 3)).round(1), g.normal(size=(8, 3)).round(1)
    x, y, strength = g.normal(size=(9, 4)), g.normal(size=(8, 4)), 0.7
    gradient = (y @ x.T)[None, None]  # dL/dW for L = sum y . W x
    dense = relation_forces(Kernel("linear", "l1"), sources[None, None], targets[None, None], [[[strength]]], gradient)
    product = SortedProduct(sources, targets, scale=strength)
    on_sources, on_targets = product.forces(x, y)
    np.testing.assert_allclose(on_sources, dense[0][0, 0], rtol=0, atol=1e3 * EXACT)
    np.testing.assert_allclose(on_targets, dense[1][0, 0], rtol=0, atol=1e3 * EXACT)
    # to the strength: the product itself, over the strength; to the input: the transposed product
    np.testing.assert_allclose(np.sum(y * product.forward(x)) / strength, dense[2].item(), rtol=1e-12)
    W = strength * pair_matrix(Kernel("linear", "l1"), sources, targets)
    np.testing.assert_allclose(product.transposed(y), W.T @ y, rtol=0, atol=1e3 * EXACT)


def test_moved_places_are_sorted_again_as_from_scratch():
    g = np.random.default_rng(2)
    sources, targets, x = g.normal(size=(500, 3)).round(1), g.normal(size=(400, 3)).round(1), g.normal(size=(500, 4))
    product = SortedProduct(sources, targets)
    for size in (1e-3, 0.1, 10.0):  # a few swaps, many, and all of them
        sources = (sources + g.normal(size=sources.shape) * size).round(1)
        targets = (targets + g.normal(size=targets.shape) * size).round(1)
        product.update(sources, targets)
        fresh = SortedProduct(sources, targets)
        assert np.array_equal(product.forward(x), fresh.forward(x))
        assert np.array_equal(product.forward(x[:, 0]), fresh.forward(x[:, 0]))
        assert all(map(np.array_equal, product.forces(x, x[:400]), fresh.forces(x, x[:400])))
    product.update(sources[:100], targets)
    assert product.shape == (400, 100)


@pytest.mark.parametrize("columns", [None, 3])
def test_a_million_neurons_in_float32_keep_six_digits(columns):
    g = np.random.default_rng(3)
    sources = (g.normal(size=(10**6, 2)) + 100).astype(np.float32)  # far from the origin
    targets = (g.normal(size=(50, 2)) + 100).astype(np.float32)
    x = g.normal(size=10**6 if columns is None else (10**6, columns)).astype(np.float32)
    W = np.abs(targets[:, None].astype(float) - sources).sum(axis=2)
    y = SortedProduct(sources, targets).forward(x)
    assert y.dtype == np.float32
    # relative to the size of such a sum, |W| |x| / sqrt(m): the sum itself cancels
    scale = np.linalg.norm(W[0]) * 1.0
    assert np.abs(y - W @ x.astype(float)).max() < 1e-6 * scale


def test_float32_and_positions_of_any_layout():
    g = np.random.default_rng(4)
    sources, targets = g.normal(size=(3, 40)).astype(np.float32).T, g.normal(size=(60, 3)).astype(np.float32)[::2]
    x = g.normal(size=(40, 6)).astype(np.float32)[:, ::2]
    for array in (sources, targets, x):
        array.setflags(write=False)
    y = SortedProduct(sources, targets).forward(x)
    assert y.dtype == np.float32
    np.testing.assert_allclose(y, matrix(sources.astype(float), targets) @ x, rtol=0, atol=1e-4)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("count", "columns"), [(0, 3), (1, 2), (63, 16), (64, 17), (200, 40)])
def test_signals_that_lie_column_by_column_give_the_same_bits(count, columns, dtype):
    generator = np.random.default_rng(count)
    sources, targets = generator.random((count, 3), dtype), generator.random((70, 3), dtype)
    x = generator.standard_normal((count, columns)).astype(dtype)
    product = SortedProduct(sources, targets)
    y, other = product.forward(x), product.forward(np.asfortranarray(x))
    assert y.tobytes() == other.tobytes() and y.flags.c_contiguous
    assert other.T.flags.c_contiguous or count < 2  # as the signals were


def test_signals_of_any_layout_take_the_same_loops():
    if numba.config.DISABLE_JIT:
        pytest.skip("nothing is compiled")
    generator = np.random.default_rng(0)
    product = SortedProduct(generator.random((50, 3)), generator.random((40, 3)))
    x = generator.random((100, 40))
    product.forward(x[:50])
    compiled = len(_sorted_columns._sum_columns.signatures)
    for layout in (x[::2], x[:50, ::2], x[:50, :1], x[:50, 3]):
        assert product.forward(layout).tobytes() == product.forward(layout.copy()).tobytes()
    assert len(_sorted_columns._sum_columns.signatures) == compiled
    assert product.forward(x[::2]).flags.c_contiguous


def test_wrong_input_is_named():
    product = SortedProduct(np.zeros((3, 2)), np.zeros((4, 2)))
    with pytest.raises(ValueError, match=r"x: got shape \(4,\); expected \(3,\) or \(3, s\)"):
        product.forward(np.zeros(4))
    with pytest.raises(ValueError, match=r"x: entry \(1,\) is nan"):
        product.forward([1.0, np.nan, 0.0])
    with pytest.raises(ValueError, match=r"x: entry \(2, 1\) is inf"):
        product.forward([[1.0, 0.0], [1.0, 0.0], [0.0, np.inf]])
    # no entry is wrong, but their sum is too large: that is said by the result
    assert not np.isfinite(SortedProduct([[0.0], [9.0]], [[5.0]]).forward([1e308, 1e308])).any()
    with pytest.raises(ValueError, match="y: got shape"):
        product.forces(np.zeros((3, 2)), np.zeros((4, 1)))
    with pytest.raises(ValueError, match="sources: entry"):
        SortedProduct([[np.nan]], [[0.0]])
    with pytest.raises(ValueError, match="targets: got shape"):
        SortedProduct(np.zeros((3, 2)), np.zeros((4, 3)))


def test_pair_sums_take_the_short_way_and_say_the_same():
    g = np.random.default_rng(5)
    q, E = g.normal(size=(6000, 3)), g.normal(size=(6000, 2))
    kernel = Kernel("linear", "l1", scale=0.5)
    direct = pair_sum(kernel, q, q, E, exclude_self=True, method="direct")
    tolerance = bound(q, q, E).max()
    for method in ("sorted", "auto"):
        y = pair_sum(kernel, q, q, E, exclude_self=True, method=method)
        np.testing.assert_allclose(y, direct, rtol=0, atol=tolerance)
    with pytest.raises(ValueError, match="method: got 'sorted' for Kernel"):
        pair_sum(Kernel("linear", "l1", softening=0.1), q, q, E, method="sorted")
    with pytest.raises(ValueError, match="method: got 'quick'"):
        pair_sum(kernel, q, q, E, method="quick")


def test_same_bits_on_any_number_of_threads():
    code = (
        "import numpy as np, hashlib\nfrom dynsim.kernels import ExponentialProduct, SortedProduct\n"
        "g = np.random.default_rng(0)\n"
        "p = SortedProduct(g.normal(size=(9000, 3)), g.normal(size=(7000, 3)))\n"
        "x, y = g.normal(size=(9000, 40)), g.normal(size=(7000, 40))\n"
        "line = g.normal(size=(9000, 1)), g.normal(size=(7000, 1))\n"
        "e = ExponentialProduct(*line, rates=[1.0, 2.0, 9.0], weights=[1.0, 2.0, 3.0])\n"
        "out = [e.forward(x), *e.forces(x, y), p.forward(x[:, 0]), p.transposed(y), *p.forces(x, y)]\n"
        "print(hashlib.sha256(b''.join(np.ascontiguousarray(a).tobytes() for a in out)).hexdigest())"
    )
    digests = {
        subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "NUMBA_NUM_THREADS": str(threads)},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for threads in (1, 2, 4)
    }
    assert len(digests) == 1
