"""What a product says of its error holds where sums go wrong: offsets, clusters, ties, wide ranges, cancellation."""

import numpy as np
import pytest

from dynsim.kernels import ExponentialProduct, InverseProduct, Kernel, SlicedProduct, SortedProduct, weight_free
from dynsim.kernels._exponential_sums import inverse_as_exponentials

LONG = np.longdouble
EXACT = float(np.finfo(LONG).eps)  # of the sums that are compared with, a few hundred terms long
M, N = 240, 180


def two_clusters(g, n, d):
    return np.where(np.arange(n)[:, None] % 2, 1e6, -1e6) + 1e-2 * g.normal(size=(n, d))


PLACES = {
    "about the origin": lambda g, n, d: g.normal(size=(n, d)),
    "far from the origin": lambda g, n, d: 1e6 + g.normal(size=(n, d)),
    "two clusters far apart": two_clusters,
    "one outlier": lambda g, n, d: np.where(np.arange(n)[:, None] == 3, 1e7, g.normal(size=(n, d))),
    "ties": lambda g, n, d: g.integers(-4, 5, (n, d)) * 0.5,
    "from tiny to large": lambda g, n, d: 10.0 ** g.uniform(-6, 3, (n, d)),
    "very small": lambda g, n, d: 1e-12 * g.normal(size=(n, d)),
}
SIGNALS = {
    "random": lambda g, n: g.normal(size=(n, 3)),
    "cancelling": lambda g, n: np.where(np.arange(n)[:, None] % 2, 1.0, -1.0) + 1e-7 * g.normal(size=(n, 3)),
    "one large": lambda g, n: np.where(np.arange(n)[:, None] == 5, 1e6, 1e-3 * g.normal(size=(n, 3))),
}  # fmt: skip
CASES = [(places, signals, dtype) for places in PLACES for signals in SIGNALS for dtype in ("float32", "float64")]


@pytest.fixture(params=CASES, ids=lambda case: ", ".join(case))
def case(request):
    """Places and signals of both sides on a line, and in space, in a type."""
    places, signals, dtype = request.param

    def draw(d):
        g = np.random.default_rng(3)
        sides = [PLACES[places](g, n, d).astype(dtype) for n in (M, N)]
        return [*sides, *(SIGNALS[signals](g, n).astype(dtype) for n in (M, N))]

    return draw


def expect_within(found, exact, allowed):
    """Every number within its bound, and the sums that are compared with within their own."""
    wrong = np.abs(found.astype(LONG) - exact)
    allowed = np.broadcast_to(allowed, wrong.shape)
    assert np.all(wrong <= allowed), f"{float((wrong / np.where(allowed > 0, allowed, 1)).max()):.3g} times the bound"


def compare(product, W, slopes, sizes, slope_sizes, x, y):
    """W (n, m) of long floats and slopes (n, m, d) against a product; sizes are what its error is relative to."""
    bound, (x_long, y_long) = product.error + 2 * (M + N) * EXACT, (x.astype(LONG), y.astype(LONG))
    x_size, y_size = np.abs(x_long), np.abs(y_long)
    expect_within(product.forward(x), W @ x_long, bound * (sizes @ x_size))
    expect_within(product.forward(x[:, 0]), W @ x_long[:, 0], bound * (sizes @ x_size[:, 0]))
    expect_within(product.transposed(y), W.T @ y_long, bound * (sizes.T @ y_size))
    on_sources, on_targets = product.forces(x, y)
    exchange, size = y_long @ x_long.T, (y_size @ x_size.T) * slope_sizes * bound
    expect_within(on_targets, np.einsum("oi,oik->ok", exchange, slopes), size.sum(axis=1)[:, None])
    expect_within(on_sources, -np.einsum("oi,oik->ik", exchange, slopes), size.sum(axis=0)[:, None])


@pytest.mark.parametrize("error", [1e-2, 1e-6, 1e-10])
def test_the_inverse_on_a_line(case, error):
    sources, targets, x, y = case(1)
    difference = targets.astype(LONG) - sources.astype(LONG).T
    r = np.abs(difference)
    inverse = np.where(r > 0, -2 / np.where(r > 0, r, 1), 0)
    slopes = -np.sign(difference) * np.where(r > 0, -2 / np.where(r > 0, r, 1) ** 2, 0)
    if error < 6e-8 and sources.dtype == np.float32:
        with pytest.raises(ValueError, match=r"error: got 1e-10; expected at least 6\..e-08, .*float64"):
            InverseProduct(sources, targets, error=error)
        return
    product = InverseProduct(sources, targets, scale=-2.0, error=error)
    assert product.error <= error
    compare(product, inverse, slopes[..., None], np.abs(inverse), np.abs(slopes), x, y)


def test_sums_of_exponentials(case):
    sources, targets, x, y = case(1)
    rates, weights = np.array([0.3, 1.0, 7.0]), np.array([1.0, -2.0, 0.5])
    product = ExponentialProduct(sources, targets, rates=rates, weights=weights)
    difference = targets.astype(LONG) - sources.astype(LONG).T
    powers = np.exp(-np.abs(difference)[..., None] * rates.astype(LONG))
    W, slopes = powers @ weights, -np.sign(difference) * (powers @ (rates * weights))
    assert 0 < product.error < (1e-7 if x.dtype == np.float32 else 1e-12)
    size, slope_size = np.abs(weights).sum(), (rates * np.abs(weights)).sum()
    compare(product, W, slopes[..., None], np.full(W.shape, size), np.full(W.shape, slope_size), x, y)


@pytest.mark.parametrize("d", [1, 3])
def test_sorted_sums(case, d):
    sources, targets, x, y = case(d)
    product = SortedProduct(sources, targets, scale=-1.5)
    difference = targets.astype(LONG)[:, None] - sources.astype(LONG)
    W, slopes = -1.5 * np.abs(difference).sum(axis=2), -1.5 * np.sign(difference)
    places = np.concatenate([sources, targets]).astype(LONG)
    box = 1.5 * np.ptp(places, axis=0).sum()
    assert 0 < product.error < (1e-5 if x.dtype == np.float32 else 1e-12)
    compare(product, W, slopes, np.full(W.shape, box), np.full(W.shape, 1.5), x, y)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("places", [name for name in PLACES if name != "from tiny to large"])
def test_sliced_distances(places, dtype):
    g = np.random.default_rng(4)
    sources, targets = (PLACES[places](g, n, 3).astype(dtype) for n in (M, N))
    product = SlicedProduct(sources, targets, directions=48)
    difference = targets.astype(float)[:, None] - sources.astype(float)
    r = np.linalg.norm(difference, axis=2)
    apart = r > 0
    # Double precision from here on, so that what is compared is the slices' error and not that of their sums.
    sliced = SlicedProduct(sources, targets, directions=48).forward(np.eye(M))
    wrong = np.sqrt(np.mean(np.square(sliced[apart] / r[apart] - 1)))
    # In a box of 2e6 the sums have 24 bits for distances of 1e-2: their rounding, not the slices, is what is seen.
    rounded = dtype == "float32" and places in ("two clusters far apart", "one outlier")
    assert product.error == pytest.approx(wrong, rel=0.25) or rounded  # 4,096 pairs of correlated errors
    turned = []
    for i in range(M):
        x = np.zeros(M)
        x[i] = 1.0
        turned.append(product.forces(x, np.ones(N))[1])
    unit = difference / np.where(apart, r, 1)[..., None]
    errors = np.sum(np.square(np.stack(turned, axis=1) - unit), axis=2)[apart]
    assert product.force_error == pytest.approx(np.sqrt(np.mean(errors)), rel=0.25)
    assert product.force_error > product.error
    assert f"of forces {product.force_error:.1e}" in repr(product)


def test_an_offset_costs_slices_nothing():
    g = np.random.default_rng(5)
    sources, targets = (g.integers(-8, 9, (n, 3)).astype(np.float32) for n in (90, 80))
    near, far = (SlicedProduct(sources + shift, targets + shift, directions=60) for shift in (0, np.float32(2**20)))
    # These places are exact in float32 also with the offset, so both are the same distances.
    assert np.array_equal(near.forward(np.ones(90, np.float32)), far.forward(np.ones(90, np.float32)))
    assert near.error == far.error


@pytest.mark.parametrize("error", [0.1, 3e-3, 1e-5, 1e-8, 1e-12])
@pytest.mark.parametrize(("nearest", "farthest"), [(1.0, 1.0), (1e-9, 1e9), (1e-140, 1e140), (3.0, 4.0)])
def test_the_bound_of_the_formula_is_one_for_the_slope_too(nearest, farthest, error):
    rates, weights, bound = inverse_as_exponentials(nearest, farthest, error)
    assert bound <= error
    r = np.geomspace(nearest, farthest, 400).astype(LONG)
    with np.errstate(under="ignore"):
        powers = np.exp(-r[:, None] * rates) * (weights * r[:, None])
        value, slope = powers.sum(axis=1), (powers * (rates * r[:, None])).sum(axis=1)
    rounding = 1e3 * np.finfo(float).eps  # the nodes u, up to 400, are float64
    assert np.abs(value - 1).max() <= bound + rounding and np.abs(slope - 1).max() <= bound + rounding
    assert bound / 200 < max(np.abs(value - 1).max(), np.abs(slope - 1).max()) + rounding  # the bound says something


def test_what_no_sum_of_exponentials_can_hold_is_refused():
    for places in ([[0.0], [1e-200]], [[0.0], [1e200]], [[-1e308], [1e308]]):
        with pytest.raises(ValueError, match=r"places: got distances .*measure them in another unit"):
            InverseProduct(places, [[0.5e-200]] if places[1][0] == 1e-200 else [[0.0]])
    many = np.arange(2.0**14)[:, None]
    with pytest.raises(ValueError, match=r"error: got 1e-12; expected at least .* so many places"):
        InverseProduct(many, many, error=1e-12)
    assert InverseProduct(many, many, error=1e-10).error <= 1e-10
    line = np.float32([[0.0], [1.0]]), np.float32([[0.5]])
    with pytest.raises(ValueError, match="give the places as float64"):
        weight_free(Kernel(), *line, error=1e-9)
    assert 6e-8 < weight_free(Kernel(), *line, error=1e-7).error <= 1e-7
