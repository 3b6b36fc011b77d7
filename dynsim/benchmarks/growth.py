"""Seconds of one evaluation of R against the number of neurons: every pair, and sorted sums."""

from __future__ import annotations

import resource

import numpy as np

from ._measure import isolated, median_seconds

DIRECT = (1_000, 3_000, 10_000, 30_000, 100_000)
SORTED = (1_000, 10_000, 100_000, 1_000_000)


def run(rounds, full):
    """Direct up to 10^5 neurons, sorted up to 10^6; `full` up to 10^7. No peer, so no rounds."""
    rows = []
    for method, sizes in (("direct", DIRECT), ("sorted", (*SORTED, 10_000_000) if full else SORTED)):
        rows += [{"method": method, "n": n, **isolated(__name__, "ours", n=n, method=method)} for n in sizes]
    return {"rows": rows, "slopes": {method: _slope(rows, method) for method in ("direct", "sorted")}}


def _slope(rows, method):
    """Exponent of growth over the larger half of the sizes."""
    points = [(row["n"], row["seconds"]) for row in rows if row["method"] == method][-3:]
    return float(np.polyfit(*np.log(np.array(points)).T, 1)[0])


def ours(n, method):
    """One pair sum of N neurons in three dimensions, float64, with the sorting that moved neurons need."""
    from dynsim.kernels import Kernel, pair_sum

    generator = np.random.default_rng(0)
    q, E = generator.standard_normal((n, 3)), generator.standard_normal(n)
    kernel = Kernel("linear", "l1")
    repeats = 1 if n >= 100_000 else 3
    warm = generator.standard_normal((100, 3))
    pair_sum(kernel, warm, warm, warm[:, 0], method=method)
    seconds = median_seconds(lambda: pair_sum(kernel, q, q, E, exclude_self=True, method=method), repeats, warm=0)
    return {"seconds": seconds, "peak_gib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20}
