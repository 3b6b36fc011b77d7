"""Products without weights against BLAS on the full float32 matrix: time and memory."""

from __future__ import annotations

import itertools
import math
import resource
from functools import partial

import numpy as np

from ._contestants import ratio, rounds_of

PUBLISHED = (36_864, 32_768)  # sources, targets: a layer of Indyk & Silwal's size
SIZES = ((400, 120), (1_000, 1_000), (4_000, 4_000), (12_000, 12_000), PUBLISHED)
# Kernels beside the l1 linear one: profile, metric, dimension, relative error that is allowed.
OTHERS = (("exponential", "l2", 1, None), ("inverse", "l2", 1, 1e-6), ("linear", "l2", 3, 0.05))
OTHERS_SIZE = 12_000
LARGEST = 10**7


def measure(rounds, full):
    """One vector and 256, from LeNet-5's sizes to the published one; other kernels; `full`: also 10^7 neurons."""
    rows = []
    for m, n in SIZES:
        for columns in (1, 256):
            rows.append(_row({"m": m, "n": n, "d": 3, "columns": columns}, rounds))
    for profile, metric, d, error in OTHERS:
        size = {"m": OTHERS_SIZE, "n": OTHERS_SIZE, "d": d, "columns": 1}
        rows.append(_row({**size, "profile": profile, "metric": metric, "error": error}, rounds))
    found = {"rows": rows, "break_even": {columns: break_even(rows, columns) for columns in (1, 256)}}
    if full:
        arguments = {"m": LARGEST, "n": LARGEST, "d": 3, "columns": 1}
        rows.append({**arguments, **rounds_of({"ours": (__name__, "ours", arguments)}, 1)})
    return found


def break_even(rows, columns):
    """Size sqrt(m n) from which the l1 product without weights is the faster one, between two sizes of the sweep.

    Between them both times are taken as powers of the size. None where one of the two is always faster.

    >>> row = {"columns": 1, "ours": {"seconds": 2.0}}
    >>> break_even([{**row, "m": n, "n": n, "blas": {"seconds": s}} for n, s in ((10, 1.0), (1000, 4.0))], 1)
    100
    """
    line = [
        (math.sqrt(row["m"] * row["n"]), row["blas"]["seconds"] / row["ours"]["seconds"])
        for row in rows
        if row["columns"] == columns and "profile" not in row and "blas" in row
    ]
    for (small, before), (large, after) in itertools.pairwise(line):
        if before < 1 <= after:
            return round(small * (large / small) ** (math.log(before) / (math.log(before) - math.log(after))))
    return None


def draw(found, output):
    """Draw time and memory against size and save it; `found` is what `measure` returned."""
    from dynsim.plots import product_figure, save

    return save(product_figure(found["rows"], found["break_even"]), output)


def _row(arguments, rounds):
    names = ["ours", "blas"] if "profile" in arguments else ["ours", "layer", "blas"]
    found = rounds_of({name: (__name__, name, arguments) for name in names}, rounds)
    difference = abs(found["ours"]["norm"] / found["blas"]["norm"] - 1)
    through = {} if "profile" in arguments else {"times_faster_through_a_layer": ratio(found["blas"], found["layer"])}
    return {
        **arguments,
        **found,
        "times_faster_than_blas": ratio(found["blas"], found["ours"]),
        **through,
        # 1 / r is infinite in the matrix where two places are one, and left out by ours: there is nothing to compare.
        "relative_difference": difference if math.isfinite(difference) else None,
    }


def _data(m, n, d, columns):
    generator = np.random.default_rng(0)
    shapes = ((m, d), (n, d), (m,) if columns == 1 else (m, columns))
    return [generator.random(shape, dtype=np.float32) for shape in shapes]


def _kernel(profile, metric):
    from dynsim.kernels import Kernel

    return Kernel(profile, metric)


def _result(seconds, y, **more):
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    return {"seconds": seconds, "norm": float(np.linalg.norm(y.astype(np.float64))), "peak_gib": peak, **more}


def ours(m, n, d, columns, profile="linear", metric="l1", error=None):
    """The product without weights; the sorting, needed when places move, is timed beside it."""
    from dynsim.kernels import weight_free
    from dynsim.layers import median_seconds

    sources, targets, x = _data(m, n, d, columns)
    kernel = _kernel(profile, metric)
    product = weight_free(kernel, sources, targets, error=error)
    times, warm = (3, 1) if m < 10**6 else (1, 0)
    sort = partial(weight_free, kernel, sources, targets, error=error)
    more = {"sorting_seconds": median_seconds(sort, times, warm=warm)}
    if hasattr(product, "update"):
        more["resorting_seconds"] = median_seconds(lambda: product.update(sources, targets), times, warm=warm)
    else:
        more["stated_error"] = product.error
    repeats = 50 if m * columns < 10**6 else 5
    seconds = median_seconds(lambda: product.forward(x), repeats, warm=3)
    return _result(seconds, product.forward(x), **more)


def layer(m, n, d, columns):
    """The same through a full layer that was prepared, for signals (batch, m) as they come from elsewhere."""
    from dynsim.layers import Full, median_seconds

    sources, targets, x = _data(m, n, d, columns)
    prepared = Full(sources[None], targets[None], [1.0], _kernel("linear", "l1")).prepare("weight-free")
    signals = np.ascontiguousarray(x.reshape(m, columns).T)
    repeats = 50 if m * columns < 10**6 else 5
    return _result(median_seconds(lambda: prepared(signals), repeats, warm=3), prepared(signals))


def blas(m, n, d, columns, profile="linear", metric="l1", error=None):
    """The matrix made once, then GEMV or GEMM."""
    from dynsim.kernels import pair_matrix
    from dynsim.layers import median_seconds

    sources, targets, x = _data(m, n, d, columns)
    W = pair_matrix(_kernel(profile, metric), sources, targets)
    return _result(median_seconds(lambda: W @ x, 50 if W.size * columns < 10**9 else 5, warm=3), W @ x)
