"""Neurons move while they learn: a network of particles trained on digits, and the paths of its neurons."""

import sys
from pathlib import Path

from matplotlib.figure import Figure

import dynsim
from dynsim.trajectory import Trajectory


def main(folder, epochs=20):
    data = dynsim.datasets.load("digits")
    model = dynsim.models.mlp(widths=(64, 32, 10), copies=2, dim=3, seed=0)
    result = dynsim.train(model, data, epochs=epochs, batch=64, rate=0.05, trajectory=folder / "digits.h5")
    with Trajectory(folder / "digits.h5") as trajectory:
        q, groups = trajectory.q[:], trajectory.groups

    figure = Figure(figsize=(9, 3.4), layout="constrained")
    names = ("64 pixels", "32 hidden neurons", "10 digits")
    for group, (name, axes) in enumerate(zip(names, figure.subplots(1, 3, sharex=True, sharey=True), strict=True)):
        paths = q[:, groups == group, :2]
        axes.plot(paths[..., 0], paths[..., 1], color=f"C{group}", linewidth=0.5, alpha=0.7)
        axes.plot(*paths[0].T, ".", color="0.7", markersize=3)
        axes.plot(*paths[-1].T, ".", color=f"C{group}", markersize=5)
        axes.set_title(f"{name}, 2 places each")
        axes.set_aspect("equal")
    figure.suptitle(f"{epochs} epochs by forces on places: {result.test_accuracy:.1f} % of digits never seen before")
    figure.savefig(folder / "digits.png", dpi=90)
    return result.test_accuracy


if __name__ == "__main__":
    print(main(Path(sys.argv[1] if len(sys.argv) > 1 else ".")))
