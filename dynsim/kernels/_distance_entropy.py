"""The entropy of distances: how evenly the distances of all pairs are spread."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.spatial.distance import pdist

from dynsim._check import as_array, as_count, as_number, refusal


def distance_entropy(places: npt.ArrayLike, *, bins: int = 32, largest: float | None = None) -> float:
    """Shannon entropy in bits of the histogram of the Euclidean distances of all pairs of places.

    -sum_b p_b log2 p_b, where p_b is the share of the distances in bin b; the bins divide 0 to `largest` evenly. It is
    0 where all fall into one bin, as where all distances are alike, and log2(bins) where they spread evenly.

    Parameters
    ----------
    places : array_like, (n, d) or (H, n, d)
        Three or more; with H copies, the distances within each copy are counted together.
    bins : int
        2 to 10,000.
    largest : float, optional
        End of the last bin, which larger distances are counted in, too; default the largest distance, with which the
        entropy does not depend on the unit of length. To compare places, give one for all.

    Returns
    -------
    float
        NaN where a place is not finite, as the last ones of a diverged run.

    Raises
    ------
    ValueError, TypeError
        If there are fewer than three places, or an argument is not what it should be.

    References
    ----------
    Shannon, A mathematical theory of communication, Bell System Technical Journal 27 (1948) 379.

    Examples
    --------
    >>> corners = [[0.0], [1.0], [3.0]]  # distances 1, 2, 3 in bins (0, 1.5) and (1.5, 3)
    >>> round(distance_entropy(corners, bins=2), 4)
    0.9183
    """
    places = as_array(places, "places", dtype=np.float64, finite=False)
    if places.ndim not in (2, 3) or 0 in places.shape or places.shape[-2] < 3:
        raise refusal("places", f"shape {places.shape}", "(n, d) or (H, n, d), n of 3 or more: two have one distance")
    if as_count(bins, "bins", minimum=2) > 10_000:
        raise refusal("bins", bins, "2 to 10000")
    largest = None if largest is None else as_number(largest, "largest", above=0)
    if not np.isfinite(places).all():
        return float("nan")
    # A power of two changes no digit of the distances, and squares of no size overflow.
    unit = 2.0 ** np.frexp(np.abs(places).max())[1] if places.any() else 1.0
    lengths = np.concatenate([pdist(copy / unit) for copy in places.reshape(-1, *places.shape[-2:])])
    end = lengths.max() if largest is None else largest / unit
    share = np.histogram(np.minimum(lengths, end), bins, (0.0, end or 1.0))[0] / lengths.size
    share = share[share > 0]
    return float(abs(-np.sum(share * np.log2(share))))  # abs: -1 log 1 is -0
