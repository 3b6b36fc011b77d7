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
WEIGHTS = 2_000  # sources and targets of the relations whose weights are all kept


def measure(rounds, full, backend="numba", native=False):
    """d = 3 and 9; `full` also 2 and 16. `backend` of ours, as for `pair_sum`; `native` against loops in C as well."""
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
    return {"rows": rows + (_beside_native(rounds, range(1, 10) if full else (1, 3, 9)) if native else [])}


def _beside_native(rounds, dimensions):
    """Ours and the loops in C: sums, forces and weights in both precisions."""
    rows = []
    for kind, n in (("sums", N), ("forces", N), ("weights", WEIGHTS)):
        for dtype in ("float32", "float64"):
            for d in dimensions:
                work = {"d": d, "dtype": dtype, "kind": kind, "n": n}
                contestants = {
                    "ours": (__name__, "ours", work),
                    "native": (f"{__package__}.native_loops", "native", work),
                }
                found = rounds_of(contestants, rounds)
                pairs = {f"{name}_pairs_per_second": n * n / one["seconds"] for name, one in found.items()}
                slower = ratio(found["ours"], found["native"])
                rows.append({"of": kind, "dtype": dtype, "d": d, "n": n, **found, **pairs, "over_native": slower})
    return rows


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

        sources, targets, x = (array[:8] for array in data(d))
        with redirect_stdout(io.StringIO()) as printed:
            pair_sum(Kernel(), sources, targets, x)
        text = printed.getvalue()
    # The block with most reciprocal roots is the loop over the sources, four targets side by side.
    block = max(re.split(r"\n(?=\.LBB)", text), key=lambda part: len(re.findall(r"\tvrsqrt\w*ps", part)))
    roots = len(re.findall(r"\tvrsqrt\w*ps", block))
    found = len(re.findall(r"\t(?:vsubps|vmulps|vfn?m(?:add|sub)\w*ps|vrsqrt\w*ps)", block))
    return {"operations": found / roots if roots else 0.0, "lanes": 16 if "%zmm" in block else 8}


def data(d, dtype="float32", n=None):
    """Sources, targets and strengths; on two grids, so that no two neurons meet."""
    generator, n = np.random.default_rng(0), N if n is None else n
    grid = 2.0**16
    sources, targets, x = (generator.standard_normal(shape) for shape in ((n, d), (n, d), (n,)))
    sources, targets = np.round(sources * grid) / grid, (np.round(targets * grid) + 0.5) / grid
    return [array.astype(dtype) for array in (sources, targets, x)]


def outcome(seconds, y):
    """The seconds, and a number by which the results of two contestants can be compared."""
    return {"seconds": seconds, "checksum": float(np.sum(y, dtype=np.float64))}


def ours(d, backend="numba", dtype="float32", kind="sums", n=None):
    """`pair_sum`, `pair_force` or `relation`; on a card, with the arrays' way there and back."""
    from dynsim.kernels import Kernel, pair_force, pair_sum, relation
    from dynsim.layers import median_seconds

    sources, targets, x = data(d, dtype, n)
    ones = np.ones(len(targets), dtype)
    product = {
        "sums": lambda: pair_sum(Kernel(), sources, targets, x, backend=backend),
        "forces": lambda: pair_force(Kernel(), sources, targets, x, ones, backend=backend),
        "weights": lambda: relation(Kernel(), sources[None, None], targets[None, None], ones[None, None, :1]),
    }[kind]
    y = product()
    return outcome(median_seconds(product, 5), y)


def keops(d):
    """A LazyTensor of pykeops on the processor."""
    from pykeops.numpy import LazyTensor

    from dynsim.layers import median_seconds

    sources, targets, x = data(d)
    q_i, q_j, x_j = LazyTensor(targets[:, None]), LazyTensor(sources[None]), LazyTensor(x[None, :, None])
    product = (((q_i - q_j) ** 2).sum(-1).rsqrt() * x_j).sum(axis=1, call=False)
    y = product()
    return outcome(median_seconds(product, 2, warm=0), y)


def matrix(d):
    """NumPy, in slices of targets that fit the cache, with |a - b|^2 = |a|^2 - 2 a b + |b|^2 by BLAS."""
    from dynsim.layers import median_seconds

    sources, targets, x = data(d)
    squares = (sources**2).sum(axis=1)

    def product():
        y = np.empty(N, np.float32)
        for start in range(0, N, 250):
            some = targets[start : start + 250]
            r2 = (some**2).sum(axis=1)[:, None] - 2 * some @ sources.T + squares
            y[start : start + 250] = (1 / np.sqrt(np.maximum(r2, 1e-12))) @ x
        return y

    return outcome(median_seconds(product, 2), product())
