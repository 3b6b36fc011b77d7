"""Seconds of an evaluation in a simulation against the number of neurons: every pair, trees of sums, sorted sums."""

from __future__ import annotations

import resource

import numpy as np

from ._contestants import isolated

ACCURACY = 1e-5
LABELS = {"direct": "every pair, 1/r", "tree": f"tree, 1/r to {ACCURACY:g}", "sorted": "sorted, l1 linear"}
SIZES = {
    "direct": (1_000, 3_000, 10_000, 30_000, 100_000),
    "tree": (10_000, 30_000, 100_000, 300_000, 1_000_000),
    "sorted": (1_000, 10_000, 100_000, 1_000_000),
}
LARGEST = {"direct": 1_000_000, "tree": 10_000_000, "sorted": 10_000_000}  # with `full`
CHECKED = 1_000  # neurons whose sums by a tree are compared with direct ones


def measure(rounds, full):
    """Direct up to 10^5 neurons, trees and sorted sums to 10^6; `full` ten times as many. No peer, so no rounds."""
    rows = []
    for method, sizes in SIZES.items():
        sizes = (*sizes, LARGEST[method]) if full else sizes
        rows += [{"method": method, "n": n, **isolated(__name__, "ours", n=n, method=method)} for n in sizes]
    seconds = {(row["method"], row["n"]): row["seconds"] for row in rows}
    both = [n for method, n in seconds if method == "tree" and ("direct", n) in seconds]
    faster = {n: seconds["direct", n] / seconds["tree", n] for n in both}
    return {"rows": rows, "slopes": {method: _slope(rows, method) for method in SIZES}, "tree_times_faster": faster}


def _slope(rows, method):
    """Exponent of growth over the larger half of the sizes."""
    points = [(row["n"], row["seconds"]) for row in rows if row["method"] == method][-3:]
    return float(np.polyfit(*np.log(np.array(points)).T, 1)[0])


def ours(n, method):
    """Steps of Euler's method of N neurons in three dimensions, float64; trees and orders are made anew in each."""
    from dynsim.engine import LastOnly, Operators, System, solve
    from dynsim.kernels import Kernel

    kernel = Kernel("linear", "l1") if method == "sorted" else Kernel(softening=1e-3)
    accuracy = ACCURACY if method == "tree" else None

    def run(n, steps):
        q = np.random.default_rng(0).standard_normal((n, 3))
        operators = Operators(B=[[1.0, 0.5, 0.2]], D=np.full((3, 1), -1e-3 / n), F=-0.1)
        system = System(q, kernel=kernel, operators=operators, accuracy=accuracy)
        return solve(system, (0.0, 0.1 * steps), method="euler", dt=0.1, record=LastOnly())

    run(min(n, 2_000 if method != "tree" else 20_000), 1)  # compiles
    solution = run(n, 1 if n >= 10**6 else 2)
    # A step is one evaluation; at the start there is one more.
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    found = {"seconds": solution.wall_time / solution.nfev, "peak_gib": peak}
    return found if accuracy is None else {**found, **_error(kernel, solution.q[-1], solution.E[-1])}


def _error(kernel, q, E):
    """The error of a tree at the last places, as it estimates it and as neurons drawn otherwise show it."""
    from dynsim.kernels import TreeProduct, pair_sum

    product = TreeProduct(kernel, q, q, accuracy=ACCURACY, exclude_self=True)
    drawn = np.random.default_rng(1).choice(len(q), min(CHECKED, len(q)), replace=False)
    found = product.forward(E)[drawn]
    exact = pair_sum(kernel, q, q[drawn], E) - E[drawn] / kernel.softening  # without each one itself, at distance 0
    error = float(np.linalg.norm(found - exact) / np.linalg.norm(exact))
    report = product.report
    return {"error": error, "estimated": report.error, "degree": report.degree, "pairs": report.pairs}


def draw(found, output):
    """Draw time per evaluation against N and save it; `found` is what `measure` returned."""
    from dynsim.plots import compare, save

    series = {}
    for method, label in LABELS.items():
        points = [(row["n"], row["seconds"]) for row in found["rows"] if row["method"] == method]
        series[f"{label}, N^{found['slopes'][method]:.2f}"] = points
    title = "An evaluation in a simulation, d = 3, float64"
    drawn = compare(series, x="neurons", y="seconds per evaluation", logarithmic=True, lines=True, title=title)
    drawn.axes[0].set_yscale("log")
    return save(drawn, output)
