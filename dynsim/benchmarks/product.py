"""Products with the l1 linear kernel: sorted sums against BLAS on the full float32 matrix."""

from __future__ import annotations

import resource

import numpy as np

from ._measure import median_seconds, ratio, rounds_of

PUBLISHED = (36_864, 32_768)  # sources, targets: a layer of Indyk & Silwal's size
SIZES = ((400, 120), (1_000, 1_000), (4_000, 4_000), (12_000, 12_000), PUBLISHED)


def run(rounds, full):
    """One vector and 256, from the sizes of LeNet-5 to the published one; `full` also 10^7 neurons."""
    rows = []
    for m, n in SIZES:
        for columns in (1, 256):
            arguments = {"m": m, "n": n, "d": 3, "columns": columns}
            found = rounds_of({name: (__name__, name, arguments) for name in ("ours", "blas")}, rounds)
            rows.append({**arguments, **found, "times_faster_than_blas": ratio(found["blas"], found["ours"])})
            rows[-1]["relative_difference"] = abs(found["ours"]["norm"] / found["blas"]["norm"] - 1)
    if full:
        arguments = {"m": 10**7, "n": 10**7, "d": 3, "columns": 1}
        rows.append({**arguments, **rounds_of({"ours": (__name__, "ours", arguments)}, 1)})
    return {"rows": rows}


def _data(m, n, d, columns):
    generator = np.random.default_rng(0)
    shapes = ((m, d), (n, d), (m,) if columns == 1 else (m, columns))
    return [generator.random(shape, dtype=np.float32) for shape in shapes]


def _result(seconds, y, **more):
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    return {"seconds": seconds, "norm": float(np.linalg.norm(y.astype(np.float64))), "peak_gib": peak, **more}


def ours(m, n, d, columns):
    """`SortedProduct`; the sorting, needed when places move, is timed beside it."""
    from dynsim.kernels import SortedProduct

    sources, targets, x = _data(m, n, d, columns)
    product = SortedProduct(sources, targets)
    sorting = median_seconds(lambda: SortedProduct(sources, targets), 3)
    repairing = median_seconds(lambda: product.update(sources, targets), 3)
    repeats = 20 if m * columns < 10**6 else 5
    seconds = median_seconds(lambda: product.forward(x), repeats, warm=3)
    return _result(seconds, product.forward(x), sorting_seconds=sorting, resorting_seconds=repairing)


def blas(m, n, d, columns):
    """The matrix made once, then GEMV or GEMM."""
    from dynsim.kernels import Kernel, pair_matrix

    sources, targets, x = _data(m, n, d, columns)
    W = pair_matrix(Kernel("linear", "l1"), sources, targets)
    return _result(median_seconds(lambda: W @ x, 3), W @ x)
