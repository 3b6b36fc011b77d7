"""The entropy of distances against plain NumPy, and what it does not depend on."""

from itertools import combinations

import numpy as np
import pytest

from dynsim.kernels import distance_entropy


def plain(places, bins, largest=None):
    """Written out: pair by pair, bin by bin."""
    copies = places if places.ndim == 3 else places[None]
    lengths = [
        np.sqrt(((copy[i] - copy[j]) ** 2).sum()) for copy in copies for i, j in combinations(range(len(copy)), 2)
    ]
    end, counts = largest or max(lengths), np.zeros(bins)
    for length in lengths:
        counts[min(int(length / end * bins), bins - 1)] += 1
    return -sum(n / len(lengths) * np.log2(n / len(lengths)) for n in counts if n)


@pytest.mark.parametrize("shape", [(3, 1), (20, 3), (2, 7, 4)])
@pytest.mark.parametrize(("bins", "largest"), [(2, None), (32, None), (10, 1.5)])
def test_it_is_what_plain_numpy_gives(shape, bins, largest):
    places = np.random.default_rng(0).normal(size=shape)
    # The same counts; sums of at most 32 numbers.
    assert distance_entropy(places, bins=bins, largest=largest) == pytest.approx(
        plain(places, bins, largest), abs=1e-13
    )


def test_limits():
    assert distance_entropy(np.zeros((4, 2))) == 0.0
    assert distance_entropy([[1.0, 0, 0], [0, 1.0, 0], [0, 0, 1.0]]) == 0.0  # all distances alike
    apart = [[0.0], [1.2], [3.0]]  # 1.2, 1.8 and 3 in bins of 0.75: one each
    assert distance_entropy(apart, bins=4) == pytest.approx(np.log2(3), abs=1e-15)
    assert np.isnan(distance_entropy([[0.0], [np.inf], [1.0]])) and np.isnan(distance_entropy([[0.0], [np.nan], [1.0]]))


def test_it_does_not_depend_on_unit_or_order():
    places = np.random.default_rng(1).normal(size=(12, 3))
    found = distance_entropy(places)
    for other in (places * 2.0**900, places * 2.0**-900, places[::-1]):
        assert distance_entropy(other) == found
    assert distance_entropy(places * 2.0**900, largest=3.0 * 2.0**900) == distance_entropy(places, largest=3.0)


@pytest.mark.parametrize(
    ("places", "options", "message"),
    [
        (np.zeros((2, 3)), {}, r"places: got shape \(2, 3\); expected \(n, d\) or \(H, n, d\), n of 3 or more"),
        (np.zeros((3, 3)), {"bins": 10_001}, r"bins: got 10001; expected 2 to 10000"),
        (np.zeros((3, 3)), {"largest": 0.0}, r"largest: got 0"),
    ],
)
def test_refusals(places, options, message):
    with pytest.raises(ValueError, match=message):
        distance_entropy(places, **options)
