"""A system of one's own, with an event: a neuron circles between two clamped ones, its crossings of x = 0 are found."""

import sys
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

import dynsim


def crossing(t, q):
    return q[2, 0]  # the first coordinate of the free neuron


def main(folder):
    places = np.array([[-1.0, 0.0], [1.0, 0.0], [-2.0, 0.6]])
    system = dynsim.System(
        places,
        kernel=dynsim.Kernel("gaussian", length=0.8),
        operators=dynsim.Operators(
            D=[
                np.zeros((2, 1)),
                np.zeros((2, 1)),
                np.array([[0.0], [-0.6]]),
            ],  # only the third is moved by what it hears
            F=[np.zeros((2, 2)), np.zeros((2, 2)), np.array([[0.0, -1.0], [1.0, 0.0]])],  # and turns about the origin
        ),
        groups=[0, 0, 1],
        clamped={0: lambda t: np.cos(3 * t)},
    )
    solution = dynsim.solve(system, (0.0, 20.0), rtol=1e-8, atol=1e-10, events=crossing)
    crossings, where = solution.t_events[0], np.array(solution.q_events[0])

    figure = Figure(figsize=(6, 5), layout="constrained")
    axes = figure.subplots()
    axes.plot(*solution.q[:, 2].T, linewidth=0.8, label="free neuron")
    axes.plot(*places[:2].T, "ks", label="clamped neurons")
    axes.plot(where[:, 2, 0], where[:, 2, 1], "o", color="crimson", markersize=4, label=f"{len(crossings)} crossings")
    axes.axvline(0, color="0.7", linestyle=":", zorder=0)
    axes.set(xlabel="x", ylabel="y", title="Events are found within a step", aspect="equal")
    axes.legend(loc="upper right")
    figure.savefig(folder / "events.png", dpi=90)
    return where


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "."))
