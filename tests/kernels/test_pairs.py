"""Pair sums, matrices, forces and relations against plain NumPy in float64."""

import numba
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dynsim.kernels import (
    METRICS,
    PROFILES,
    Kernel,
    pair_force,
    pair_matrix,
    pair_sum,
    relation,
    relation_forces,
    shared_relation,
    shared_relation_forces,
)

KERNELS = [Kernel(p, m, 1.3, 0.0, 0.8) for p in PROFILES for m in METRICS] + [Kernel("inverse", softening=0.2)]
PAPER, SORTABLE = Kernel("inverse"), Kernel("linear", "l1")


def reference(kernel, sources, targets, exclude_self=False):
    """phi by the formula of the docstring, broadcast in float64."""
    difference = np.asarray(targets, np.float64)[:, None] - np.asarray(sources, np.float64)[None]
    rho = np.abs(difference).sum(-1) if kernel.metric == "l1" else np.sqrt((difference**2).sum(-1))
    matrix = kernel.value(rho)
    if exclude_self:
        np.fill_diagonal(matrix, 0)
    return matrix


@pytest.mark.parametrize("kernel", KERNELS, ids=str)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_parity(kernel, dtype):
    generator = np.random.default_rng(0)
    # Each dimension is compiled on its own, so the others than 3 are tried with one kernel in either precision.
    all_sizes = kernel.profile == "linear" and (kernel.metric == "l1") == (dtype == np.float32)
    for d, n in ((1, 5), (3, 513), (9, 64), (12, 33)) if all_sizes else ((3, 513),):
        q = generator.normal(size=(n, d)).astype(dtype)
        signals = generator.normal(size=(n, 2)).astype(dtype)
        expected = reference(kernel, q, q, True)
        # Each term carries a few roundings of r^2, amplified by at most 2 d/dlog r of the profile (exponentials: r).
        roundings = (8 + d) * np.finfo(dtype).eps * np.maximum(1, 4 * np.abs(q).sum(1).max())
        bound = roundings * 8 * (np.abs(expected) @ np.abs(signals)) * np.sqrt(n)
        got = pair_sum(kernel, q, q, signals, exclude_self=True)
        assert got.dtype == dtype and got.shape == (n, 2)
        assert (np.abs(got - expected @ signals) <= bound).all()
        matrix = pair_matrix(kernel, q, q, exclude_self=True)
        assert matrix.dtype == dtype
        # cancellation in q_j - q_i is exact for stored places, so the matrix is relatively accurate
        error = 64 * roundings * np.abs(expected) + 64 * np.finfo(dtype).tiny  # below tiny: flushed to zero
        assert (np.abs(matrix - expected) <= error).all()


@pytest.mark.parametrize("kernel", KERNELS, ids=str)
def test_force_is_the_central_difference(kernel):
    generator = np.random.default_rng(1)
    sources, targets = generator.normal(size=(7, 3)), generator.normal(size=(5, 3))
    given_, taken = generator.normal(size=(7, 2)), generator.normal(size=(5, 2))

    def energy(places):
        return float((taken * (reference(kernel, sources, places) @ given_)).sum())

    force, step = pair_force(kernel, sources, targets, given_, taken), 1e-6
    for index in np.ndindex(targets.shape):
        moved = np.zeros_like(targets)
        moved[index] = step
        numeric = (energy(targets + moved) - energy(targets - moved)) / (2 * step)
        # central difference: h^2 f'''/6 + eps |f| / h, with f''' up to 1e4 at these distances
        assert force[index] == pytest.approx(numeric, rel=1e-6, abs=1e-7 * max(1, np.abs(force).max()))


@pytest.mark.parametrize(
    "kernel", [PAPER, SORTABLE, Kernel("gaussian", softening=0.2), Kernel("linear", "l1", softening=0.5)], ids=str
)
def test_relation_and_its_forces(kernel):
    generator = np.random.default_rng(2)
    sources, targets = generator.normal(size=(2, 3, 6, 3)), generator.normal(size=(3, 3, 5, 3))
    strengths, gradient = generator.normal(size=(3, 2, 3)), generator.normal(size=(3, 2, 5, 6))

    def weights(sources, targets, strengths):
        w = np.zeros((3, 2, 5, 6))
        for t, s, h in np.ndindex(3, 2, 3):
            w[t, s] += strengths[t, s, h] * reference(kernel, sources[s, h], targets[t, h])
        return w

    arrays = (sources, targets, strengths)
    np.testing.assert_allclose(relation(kernel, *arrays), weights(*arrays), rtol=1e-12, atol=1e-12)
    for which, got in enumerate(relation_forces(kernel, *arrays, gradient)):
        for index in list(np.ndindex(arrays[which].shape))[::5]:
            sides = []
            for sign in (1, -1):
                moved = [a.copy() for a in arrays]
                moved[which][index] += sign * 1e-6
                sides.append(float((weights(*moved) * gradient).sum()))
            scale = 1e-7 * max(1, np.abs(got).max())
            assert got[index] == pytest.approx((sides[0] - sides[1]) / 2e-6, rel=1e-6, abs=scale)


@pytest.mark.parametrize("together", [1, 70, 2**16])  # values in memory: 1 copy, 2 of 30 pairs, all
@pytest.mark.parametrize("kernel", [PAPER, Kernel("cos(r)", softening=0.1), Kernel("linear", "l1")], ids=str)
@pytest.mark.parametrize("d", [2, 12])
def test_relations_that_share_their_neurons(kernel, d, together, monkeypatch):
    from dynsim.kernels import _shared_relation

    monkeypatch.setattr(_shared_relation, "TOGETHER", together)
    generator = np.random.default_rng(2)
    sources, targets = generator.normal(size=(5, 6, d)), generator.normal(size=(5, 5, d))
    strengths, gradient = generator.normal(size=(9, 5)), generator.normal(size=(9, 5, 6))
    each = np.stack([reference(kernel, *places) for places in zip(sources, targets, strict=True)])
    weights = shared_relation(kernel, sources, targets, strengths)
    np.testing.assert_allclose(weights, np.einsum("rh,hoi->roi", strengths, each), rtol=1e-12, atol=1e-12)
    # Relations one by one, whose forces are checked by differences, have the same places for all lambdas.
    alike = np.broadcast_to(targets, (9, *targets.shape))
    expected = relation_forces(kernel, sources[None], alike, strengths[:, None], gradient[:, None])
    expected = expected[0][0], expected[1].sum(axis=0), expected[2][:, 0]
    for got, wanted in zip(
        shared_relation_forces(kernel, sources, targets, strengths, gradient), expected, strict=True
    ):
        # sums of at most 9 x 6 products in another order
        np.testing.assert_allclose(got, wanted, rtol=1e-12, atol=1e-12 * np.abs(wanted).max())


def test_shared_relations_of_nothing():
    none = np.zeros((0, 3, 2)), np.zeros((0, 4, 2)), np.zeros((2, 0))
    np.testing.assert_array_equal(shared_relation(PAPER, *none), np.zeros((2, 4, 3)))
    found = shared_relation_forces(PAPER, *none, np.ones((2, 4, 3)))
    assert [force.shape for force in found] == [(0, 3, 2), (0, 4, 2), (2, 0)]
    with pytest.raises(ValueError, match=r"strengths: got shape \(2, 3\); expected \(R, 5\)"):
        shared_relation(PAPER, np.zeros((5, 1, 2)), np.zeros((5, 1, 2)), np.zeros((2, 3)))


@settings(max_examples=15, deadline=None)
@given(st.integers(1, 70), st.integers(1, 70), st.sampled_from([1, 3, 12]))
def test_any_shape(n, m, d):
    generator = np.random.default_rng(n * 1000 + m)
    sources, targets = generator.normal(size=(n, d)), generator.normal(size=(m, d))
    strengths = generator.normal(size=n)
    expected = reference(PAPER, sources, targets)
    bound = 1e-13 * (np.abs(expected) @ np.abs(strengths)) * (d + n)
    assert (np.abs(pair_sum(PAPER, sources, targets, strengths) - expected @ strengths) <= bound).all()


def test_layout_and_read_only():
    generator = np.random.default_rng(3)
    q = generator.normal(size=(3, 40)).T[::2]
    q.flags.writeable = False
    kernel = Kernel("linear")
    np.testing.assert_array_equal(
        pair_sum(kernel, q, q, np.ones(20)), pair_sum(kernel, q.copy(), q.copy(), np.ones(20))
    )


def test_same_bits_on_any_number_of_threads():
    generator = np.random.default_rng(4)
    q, signals = (generator.normal(size=(700, 3)).astype(np.float32), generator.normal(size=700).astype(np.float32))
    # 25 relations of 34 copies: large enough for BLAS to divide sums among its threads, if it were asked.
    shared = [generator.normal(size=size).astype(np.float32) for size in ((34, 51, 3), (34, 44, 3), (25, 34))]
    gradient = generator.normal(size=(25, 44, 51)).astype(np.float32)
    most, results = numba.get_num_threads(), []
    try:
        for threads in sorted({1, min(2, most), most}):
            numba.set_num_threads(threads)
            results.append(
                (
                    pair_sum(PAPER, q, q, signals, exclude_self=True),
                    pair_force(PAPER, q, q, signals, signals),
                    shared_relation(PAPER, *shared),
                    *shared_relation_forces(PAPER, *shared, gradient),
                )
            )
    finally:
        numba.set_num_threads(most)
    for other in results[1:]:
        for one, again in zip(results[0], other, strict=True):
            np.testing.assert_array_equal(one, again)


def test_meeting_neurons():
    q = np.zeros((2, 3))
    assert pair_sum(Kernel("inverse"), q, q, np.ones(2), exclude_self=True)[0] == np.inf
    assert (pair_force(Kernel("inverse"), q, q, np.ones(2), np.ones(2)) == 0).all()
    np.testing.assert_array_equal(pair_sum(Kernel(softening=0.5), q, q, np.ones(2), exclude_self=True), [2.0, 2.0])


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (([[np.nan]], [[0.0]], [1.0]), "finite"),
        (([[0.0]], [[0.0, 1.0]], [1.0]), "dimension"),
        (([[0.0]], [[1.0]], [1.0, 2.0]), "expected"),
        (("places", [[1.0]], [1.0]), "array of real numbers"),
    ],
)
def test_nonsense_is_refused(arguments, words):
    with pytest.raises((ValueError, TypeError), match=words):
        pair_sum(Kernel(), *arguments)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("n", [1, 2, 3, 4, 5, 7, 8, 2047, 2048, 2053])
def test_one_signal_about_the_edges_of_groups_and_blocks(n, dtype):
    generator = np.random.default_rng(n)
    q = generator.normal(size=(n, 3)).astype(dtype)
    signal = generator.normal(size=n).astype(dtype)
    others = generator.normal(size=(max(1, n - 3), 3)).astype(dtype)
    for targets, own in ((q, True), (q, False), (others, False)):
        kernel = Kernel("inverse", softening=0.0 if own else 0.1)
        expected = reference(kernel, q, targets, own)
        # As in the parity test; 1 / r doubles the relative error of r^2.
        bound = 64 * 11 * np.finfo(dtype).eps * 16 * (np.abs(expected) @ np.abs(signal)) + np.finfo(dtype).tiny
        got = pair_sum(kernel, q, targets, signal, exclude_self=own)
        assert got.shape == (len(targets),) and got.dtype == dtype
        assert (np.abs(got - expected @ signal) <= bound).all()
    if n == 1:
        assert pair_sum(PAPER, q, q, signal, exclude_self=True) == 0.0


def test_any_number_of_neurons_and_of_signals():
    # Sources fill blocks and vectors or do not; targets go together in fours and twos, or are left over.
    generator, kernel = np.random.default_rng(3), Kernel(softening=0.1)
    for n, m, columns in (
        (0, 3, 2),
        (3, 0, 2),
        (3, 3, 0),
        (1, 1, 2),
        (2, 5, 5),
        (33, 66, 2),
        (2050, 5, 5),
        (2050, 7, 2),
    ):
        sources, targets = generator.normal(size=(n, 3)), generator.normal(size=(m, 3))
        given_, taken = generator.normal(size=(n, columns)), generator.normal(size=(m, columns))
        for alone in {False, n == m}:
            expected = reference(kernel, sources, targets, alone) @ given_
            got = pair_sum(kernel, sources, targets, given_, exclude_self=alone)
            # phi is at most 10; some roundings for each term.
            assert (np.abs(got - expected) <= 10 * 16 * np.finfo(float).eps * np.abs(given_).sum(axis=0)).all()
            force = pair_force(kernel, sources, targets, given_, taken, exclude_self=alone)
            distances = targets[:, None] - sources[None]
            slopes = -(((distances**2).sum(axis=-1) + 0.01) ** -1.5) * (taken @ given_.T)
            if alone:
                np.fill_diagonal(slopes, 0.0)
            size = np.abs(slopes[..., None] * distances).sum(axis=(0, 1), initial=0.0)
            assert (
                np.abs(force - (slopes[..., None] * distances).sum(axis=1)) <= 64 * np.finfo(float).eps * size
            ).all()
