"""What noise on the stored numbers does: places and weights side by side, absolute and relative to their size."""

import sys
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

import dynsim

DELTAS = (0.003, 0.01, 0.03, 0.1, 0.3)


def main(folder, epochs=15, draws=5):
    data = dynsim.datasets.load("digits")
    figure = Figure(figsize=(9, 3.6), layout="constrained")
    panels = figure.subplots(1, 2, sharey=True)
    for name, weights in (("places", False), ("weights", True)):
        model = dynsim.models.mlp(widths=(64, 32, 10), copies=4, dim=4, weights=weights, seed=0)
        dynsim.train(model, data, epochs=epochs, batch=64, rate=0.05)
        for axes, relative in zip(panels, (False, True), strict=True):
            found = [
                dynsim.evaluate(
                    model, data.test_images, labels=data.test_labels, delta=delta, draws=draws, relative=relative
                )
                for delta in DELTAS
            ]
            means, deviations = np.array([[entry["mean"], entry["deviation"]] for entry in found]).T
            axes.errorbar(DELTAS, means, deviations, marker="o", capsize=2, label=name)
    for axes, unit in zip(panels, ("absolute", "in units of each array's root mean square"), strict=True):
        axes.set(xscale="log", xlabel=f"delta, {unit}")
        axes.legend()
    panels[0].set(ylabel="test accuracy, %", ylim=(0, 102))
    figure.suptitle("Uniform noise on everything that is stored, digits, 5 draws")
    figure.savefig(folder / "noise.png", dpi=90)


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "."))
