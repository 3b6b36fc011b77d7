"""Pair sums, phi = 1 / r, float32, N sources on N other targets: pairs a second."""

from __future__ import annotations

import io
import os
import re
import tempfile
from contextlib import redirect_stdout

import numpy as np

from ._contestants import clock_rate, isolated, ratio, rounds_of

N = 20_000


def measure(rounds, full, backend="numba"):
    """d = 3 and 9; `full` also 2 and 16. `backend` of ours, as for `pair_sum`."""
    from dynsim.kernels import find_backend

    backend, rows = find_backend(backend).name, []
    for d in (2, 3, 9, 16) if full else (3, 9):
        contestants = {name: (__name__, name, {"d": d}) for name in ("ours", "keops", "matrix")}
        contestants["ours"] = (__name__, "ours", {"d": d, "backend": backend})
        found = rounds_of(contestants, rounds)
        rows.append(
            {
                "d": d,
                "n": N,
                "backend": backend,
                **found,
                "pairs_per_second": N * N / found["ours"]["seconds"],
                "times_faster_than_keops": ratio(found["keops"], found["ours"]),
                "times_faster_than_numpy": ratio(found["matrix"], found["ours"]),
                **(_limit(d, N * N / found["ours"]["seconds"]) if backend == "numba" else {}),
            }
        )
    return {"rows": rows}


def _limit(d, pairs_per_second):
    """How near we come to what the units for vectors could do: two operations a cycle and core, all of them busy."""
    counted, hertz = isolated(__name__, "operations", d=d), clock_rate()
    if not counted["operations"] or hertz is None:
        return {}
    limit = len(os.sched_getaffinity(0)) * hertz * 2 * counted["lanes"] / counted["operations"]
    return {"vector_operations": counted["operations"], "lanes": counted["lanes"], "clock_hertz": hertz,
            "share_of_limit": pairs_per_second / limit}  # fmt: skip


def operations(d):
    """Vector operations of the compiled inner loop for one vector of pairs, counted in its assembly, and its lanes."""
    with tempfile.TemporaryDirectory() as folder:
        # Numba prints the assembly of what it compiles; what comes from a cache has none.
        os.environ |= {"NUMBA_CACHE_DIR": folder, "NUMBA_DUMP_ASSEMBLY": "1"}
        from dynsim.kernels import Kernel, pair_sum

        sources, targets, x = (array[:8] for array in _data(d))
        with redirect_stdout(io.StringIO()) as printed:
            pair_sum(Kernel(), sources, targets, x)
        text = printed.getvalue()
    # The block with most reciprocal roots is the loop over the sources, four targets side by side.
    block = max(re.split(r"\n(?=\.LBB)", text), key=lambda part: len(re.findall(r"\tvrsqrt\w*ps", part)))
    roots = len(re.findall(r"\tvrsqrt\w*ps", block))
    found = len(re.findall(r"\t(?:vsubps|vmulps|vfn?m(?:add|sub)\w*ps|vrsqrt\w*ps)", block))
    return {"operations": found / roots if roots else 0.0, "lanes": 16 if "%zmm" in block else 8}


def _data(d):
    generator = np.random.default_rng(0)
    return [generator.standard_normal(shape).astype(np.float32) for shape in ((N, d), (N, d), (N,))]


def _result(seconds, y):
    return {"seconds": seconds, "checksum": float(np.sum(y, dtype=np.float64))}


def ours(d, backend="numba"):
    """`pair_sum`; on a card, with the arrays' way there and back."""
    from dynsim.kernels import Kernel, pair_sum
    from dynsim.layers import median_seconds

    sources, targets, x = _data(d)
    y = pair_sum(Kernel(), sources, targets, x, backend=backend)
    return _result(median_seconds(lambda: pair_sum(Kernel(), sources, targets, x, backend=backend), 5), y)


def keops(d):
    """A LazyTensor of pykeops on the processor."""
    from pykeops.numpy import LazyTensor

    from dynsim.layers import median_seconds

    sources, targets, x = _data(d)
    q_i, q_j, x_j = LazyTensor(targets[:, None]), LazyTensor(sources[None]), LazyTensor(x[None, :, None])
    product = (((q_i - q_j) ** 2).sum(-1).rsqrt() * x_j).sum(axis=1, call=False)
    y = product()
    return _result(median_seconds(product, 2, warm=0), y)


def matrix(d):
    """NumPy, in slices of targets that fit the cache, with |a - b|^2 = |a|^2 - 2 a b + |b|^2 by BLAS."""
    from dynsim.layers import median_seconds

    sources, targets, x = _data(d)
    squares = (sources**2).sum(axis=1)

    def product():
        y = np.empty(N, np.float32)
        for start in range(0, N, 250):
            some = targets[start : start + 250]
            r2 = (some**2).sum(axis=1)[:, None] - 2 * some @ sources.T + squares
            y[start : start + 250] = (1 / np.sqrt(np.maximum(r2, 1e-12))) @ x
        return y

    return _result(median_seconds(product, 2), product())
