"""Where fits begin: near the truncated SVD, whatever the kernel."""

import numpy as np
import pytest

from dynsim.kernels import Kernel, relation
from dynsim.learning import fit_start, fit_weights, singular_factors

KERNELS = [
    Kernel("gaussian", scale=0.01, length=6.0),
    Kernel("inverse", softening=0.1),
    Kernel("linear", "l1"),
    Kernel("1 / (1 + r ** 2)"),
]


def tails(weights):
    """Share of |W|^2 beyond each rank."""
    t, s, n, m = weights.shape
    flat = weights.transpose(0, 2, 1, 3).reshape(t * n, s * m).astype(np.float64)
    squares = np.linalg.svd(flat, compute_uv=False) ** 2
    return np.append(squares[::-1].cumsum()[::-1], 0.0) / squares.sum()


@pytest.mark.parametrize("shape", [(1, 1, 9, 14), (3, 2, 6, 5), (2, 3, 4, 11)])
@pytest.mark.parametrize("rank", [1, 4, 99])
def test_factors_are_the_truncated_svd(shape, rank):
    weights = np.random.default_rng(0).normal(size=shape)
    left, right = singular_factors(weights, rank)
    rest = weights - np.einsum("tor,rsi->tsoi", left, right)
    share = np.sum(rest**2) / np.sum(weights**2)
    # Singular values come from the Gram matrix: those below 1e-8 of the largest are noise, their squares 1e-16 of it.
    assert share == pytest.approx(tails(weights)[min(rank, len(tails(weights)) - 1)], abs=1e-12)


@pytest.mark.parametrize("kernel", KERNELS, ids=lambda kernel: f"{kernel.profile} {kernel.metric}")
def test_no_fit_is_worse_than_the_svd_of_as_many_numbers(kernel):
    """Structureless weights, where places at random stay on the plateau of no weights at all."""
    weights = np.random.default_rng(1).normal(size=(1, 1, 150, 200)).astype(np.float32)
    fitted = fit_weights(weights, kernel, copies=2, dim=10, steps=20)
    assert fitted.error < tails(weights)[20]


@pytest.mark.parametrize("copies", [2, 3, 4, 5])
def test_to_first_order_the_start_is_the_svd(copies):
    """Places far smaller than the length: what the relation is beyond the SVD is constant along rows or columns."""
    weights = np.random.default_rng(2).normal(size=(1, 1, 30, 40))
    kernel = Kernel("1 - r ** 2")  # |p|^2 + |q|^2 - 2 p q without higher orders
    sources, targets, strengths = fit_start(kernel, weights, copies=copies, dim=3, generator=np.random.default_rng(3))
    assert abs(strengths.sum()) < 1e-12 * np.abs(strengths).sum()
    made = relation(kernel, sources, targets, strengths)[0, 0]
    left, right = singular_factors(weights, 3 * copies)
    svd = left[0] @ right[:, 0]
    centred = [a - a.mean(0) - a.mean(1)[:, None] + a.mean() for a in (made, svd)]
    factor = np.vdot(*centred) / np.vdot(centred[1], centred[1])
    np.testing.assert_allclose(centred[0], factor * centred[1], atol=1e-9)
    assert factor > 0


def test_the_second_half_is_what_targets_do_to_sources():
    """Blocks (T, S) of the first half are those of the weights, of the second with both subsystems exchanged."""
    weights = np.random.default_rng(6).normal(size=(2, 2, 9, 9))
    weights[[0, 1], [0, 1]] = 0
    x = fit_start(Kernel("1 - r ** 2"), weights, copies=3, dim=3, halves=2, generator=np.random.default_rng(7))
    rest = weights
    for half in (x[:3], x[3:]):  # each as above the SVD, the second of what the first leaves
        made = relation(Kernel("1 - r ** 2"), *half)
        left, right = singular_factors(np.ascontiguousarray(rest), 9)
        svd = np.einsum("tor,rsi->tsoi", left, right)
        centred = [a - a.mean(2, keepdims=True) - a.mean(3, keepdims=True) + a.mean((2, 3), keepdims=True)
                   for a in (made, svd)]  # fmt: skip
        factor = np.vdot(*centred) / np.vdot(centred[1], centred[1])
        np.testing.assert_allclose(centred[0], factor * centred[1], atol=1e-9)
        assert factor > 0
        rest = (rest - made).swapaxes(0, 1)


@pytest.mark.parametrize("halves", [1, 2])
def test_another_try_begins_elsewhere(halves):
    weights = np.random.default_rng(4).normal(size=(2, 2, 6, 7))
    starts = [
        fit_start(
            KERNELS[0],
            weights,
            copies=2,
            dim=3,
            rank=1,
            halves=halves,
            generator=np.random.default_rng(5),
            rotate=rotate,
        )
        for rotate in (False, True)
    ]
    assert [a.shape for a in starts[0]] == [a.shape for a in starts[1]] and len(starts[0]) == 3 * halves + 2
    assert not np.allclose(starts[0][0], starts[1][0])


@pytest.mark.parametrize("copies", [1, 2])
def test_weights_of_zero_and_dimensions_beyond_their_rank(copies):
    zero = fit_weights(np.zeros((1, 1, 4, 3), np.float32), KERNELS[0], copies=copies, dim=10, steps=2)
    assert zero.error == 0 and all(np.isfinite(a).all() for a in (zero.sources, zero.targets, zero.strengths))
    one = fit_weights(np.ones((1, 1, 4, 3), np.float32), KERNELS[0], copies=copies, dim=10, steps=20)
    assert one.error < (0.1 if copies == 1 else 1e-4)  # one copy begins at random
