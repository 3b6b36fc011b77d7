# %% [markdown]
# # Echo
#
# The neurons of a field receive each other's signals one delay later. What they emit thus returns as an echo,
# multiplied by the echo gain rho(a Phi). Below 1 the field settles at a constant, which the places of the neurons
# sustain. At 1 it grows by the same amount, above 1 by the same factor with every delay, however small the steps are.

# %%
import matplotlib.pyplot as plt
import numpy as np

from dynsim.engine import configure, echo_gain, solve
from dynsim.engine.presets import preset_config

GAINS = (0.8, 1.0, 1.25)

# %%
figure, axes = plt.subplots(figsize=(6, 4), layout="constrained")
growth = {}
for gain in GAINS:
    ready = configure(preset_config("echo") | {"echo_gain": gain, "run": {"until": 4.0}})
    solution = solve(ready.system, ready.span, **ready.options)
    size = np.linalg.norm(solution.E[..., 0], axis=1)
    axes.semilogy(solution.t, size, label=f"rho(a Phi) = {echo_gain(ready.system):.2f}")
    late = solution.t > 2.0
    growth[gain] = np.exp(np.polyfit(solution.t[late], np.log(size[late]), 1)[0] * ready.system.delay)
axes.set(xlabel="time (a delay is 0.1)", ylabel="size of what is emitted", title="Below 1 it settles, above 1 it grows")
axes.legend()
figure.savefig("echo.png", dpi=90)
print("Growth per delay:", {gain: round(float(factor), 3) for gain, factor in growth.items()})
