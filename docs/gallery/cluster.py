"""Sixty neurons gather in clusters: paths of a simulation, coloured by time, and a film of it."""

import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
from matplotlib.animation import FuncAnimation, PillowWriter
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure

from dynsim.engine import solve
from dynsim.engine.presets import preset


def main(folder, frames=60):
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
    film(solution, folder / "cluster.gif", frames)


def film(solution, path, frames, tail=12):
    """Dots with a tail of the last frames, evenly spaced in time."""
    times = np.linspace(solution.t[0], 0.45 * solution.t[-1], frames)
    q = np.array([solution.q[np.searchsorted(solution.t, time)] for time in times])
    corner = q[-1, :, :2] > q[-1, :, :2].mean(axis=0)
    colours = np.array(["#0072B2", "#D55E00", "#009E73", "#CC79A7"])[corner @ [1, 2]]

    figure = Figure(figsize=(4.6, 3.4), layout="constrained")
    axes = figure.subplots()
    reach = 1.08 * np.abs(q[..., :2]).max()
    axes.set(xlim=(-reach, reach), ylim=(-reach, reach), xticks=[], yticks=[])
    tails = axes.add_collection(LineCollection([], linewidths=0.9, colors=colours, alpha=0.5))
    dots = axes.scatter(*q[0, :, :2].T, s=14, c=colours)

    def draw(k):
        dots.set_offsets(q[k, :, :2])
        tails.set_segments(q[max(0, k - tail) : k + 1, :, :2].swapaxes(0, 1))
        axes.set_title(f"sixty neurons, t = {times[k]:.1f}", fontsize=9)

    FuncAnimation(figure, draw, frames=frames).save(path, PillowWriter(fps=15), dpi=90)


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "."))
