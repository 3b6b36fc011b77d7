"""Sixty neurons gather in clusters: paths of a simulation, coloured by time."""

import sys
from itertools import pairwise
from pathlib import Path

from matplotlib.collections import LineCollection
from matplotlib.figure import Figure

from dynsim.engine import solve
from dynsim.engine.presets import preset


def main(folder):
    system, span, options = preset("cluster", seed=0)
    solution = solve(system, span, **options)
    q, t = solution.q, solution.t

    figure = Figure(figsize=(6, 5), layout="constrained")
    axes = figure.subplots()
    for k in range(system.neurons):
        points = q[:, k, :2]
        segments = list(pairwise(points))
        paths = axes.add_collection(LineCollection(segments, array=t[:-1], cmap="viridis", linewidths=0.8))
    axes.plot(*q[0, :, :2].T, "o", color="0.6", markersize=3, label="start")
    axes.plot(*q[-1, :, :2].T, "o", color="crimson", markersize=4, label="end")
    axes.set(xlabel="first coordinate", ylabel="second coordinate", title="Sixty neurons find their corners")
    axes.legend()
    figure.colorbar(paths, label="time")
    figure.savefig(folder / "cluster.png", dpi=90)


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "."))
