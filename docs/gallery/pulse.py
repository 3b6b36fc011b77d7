"""A pulse goes through six layers, one delay a layer: what each layer emits, one panel over the other."""

import sys
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from dynsim.engine import solve
from dynsim.engine.presets import preset


def main(folder):
    system, span, options = preset("pulse", seed=0)
    solution = solve(system, span, **options)

    figure = Figure(figsize=(6, 5), layout="constrained")
    layers = figure.subplots(6, sharex=True)
    arrivals = []
    for layer, axes in enumerate(layers):
        emitted = solution.E[:, system.groups == layer, 0]
        axes.plot(solution.t, emitted, color=f"C{layer}", linewidth=0.8)
        axes.set_ylabel(f"layer {layer}")
        arrivals.append(solution.t[np.abs(emitted).sum(axis=1).argmax()])
        axes.axvline(1.0 + layer * system.delay, color="0.7", linestyle=":", zorder=0)
    layers[0].set_title("A pulse, and when it is due in each layer (dotted)")
    layers[-1].set_xlabel("time")
    figure.savefig(folder / "pulse.png", dpi=90)
    return arrivals


if __name__ == "__main__":
    print(main(Path(sys.argv[1] if len(sys.argv) > 1 else ".")))
