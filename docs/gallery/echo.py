"""The echo gain decides whether a delayed field settles or grows: three gains, one picture."""

import sys
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from dynsim.engine import configure, echo_gain, solve
from dynsim.engine.presets import preset_config


def main(folder):
    figure = Figure(figsize=(6, 4), layout="constrained")
    axes = figure.subplots()
    growth = {}
    for gain in (0.8, 1.0, 1.25):
        config = preset_config("echo") | {"echo_gain": gain, "run": {"until": 4.0}}
        ready = configure(config)
        solution = solve(ready.system, ready.span, **ready.options)
        size = np.linalg.norm(solution.E[..., 0], axis=1)
        axes.semilogy(solution.t, size, label=f"rho(a Phi) = {echo_gain(ready.system):.2f}")
        late = solution.t > 2.0
        growth[gain] = np.exp(np.polyfit(solution.t[late], np.log(size[late]), 1)[0] * ready.system.delay)
    axes.set(
        xlabel="time (a delay is 0.1)", ylabel="size of what is emitted", title="Below 1 it settles, above 1 it grows"
    )
    axes.legend()
    figure.savefig(folder / "echo.png", dpi=90)
    return growth


if __name__ == "__main__":
    print(main(Path(sys.argv[1] if len(sys.argv) > 1 else ".")))
