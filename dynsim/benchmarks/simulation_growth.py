"""Seconds of a step of Euler's method against the number of neurons: every pair, and sorted sums."""

from __future__ import annotations

import resource

import numpy as np

from ._contestants import isolated

DIRECT = (1_000, 3_000, 10_000, 30_000, 100_000)
SORTED = (1_000, 10_000, 100_000, 1_000_000)


def measure(rounds, full):
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
    """Steps of N neurons that move in three dimensions under the l1 linear kernel, float64, each sorted anew."""
    from dynsim.engine import LastOnly, Operators, System, solve
    from dynsim.kernels import Kernel

    def run(n):
        q = np.random.default_rng(0).standard_normal((n, 3))
        # A softening far below any distance changes no number, but a softened sum cannot be sorted.
        kernel = Kernel("linear", "l1", softening=1e-12 if method == "direct" else 0.0)
        operators = Operators(B=[[1.0, 0.5, 0.2]], D=np.full((3, 1), -1e-3 / n), F=-0.1)
        return solve(
            System(q, kernel=kernel, operators=operators), (0.0, 0.2), method="euler", dt=0.1, record=LastOnly()
        )

    run(2_000)  # compiles
    solution = run(n)
    # A step is one evaluation; at the start there is one more.
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    return {"seconds": solution.wall_time / solution.nfev, "peak_gib": peak}


def draw(found, output):
    """Draw time per step against N and save it; `found` is what `measure` returned."""
    from dynsim.plots import compare, save

    series = {}
    for method in ("direct", "sorted"):
        points = [(row["n"], row["seconds"]) for row in found["rows"] if row["method"] == method]
        slope = found["slopes"][method]
        series[f"{'every pair' if method == 'direct' else 'sorted'}, N^{slope:.2f}"] = points
    title = "A step under the l1 linear kernel, d = 3, float64"
    drawn = compare(series, x="neurons", y="seconds per step", logarithmic=True, lines=True, title=title)
    drawn.axes[0].set_yscale("log")
    return save(drawn, output)
