# %% [markdown]
# # A pulse with a delay
#
# Six layers of eight neurons stand one behind the other. There are no weights: the distances of the neurons determine
# how strongly a layer acts on the next one. A signal needs one delay, here 1, from layer to layer.

# %%
import matplotlib.pyplot as plt
import numpy as np

from dynsim.engine import solve
from dynsim.engine.presets import preset

SEED = 0

# %%
system, span, options = preset("pulse", seed=SEED)
solution = solve(system, span, **options)

# %%
figure, layers = plt.subplots(6, sharex=True, figsize=(6, 5), layout="constrained")
arrivals = []
for layer, axes in enumerate(layers):
    emitted = solution.E[:, system.groups == layer, 0]
    axes.plot(solution.t, emitted, color=f"C{layer}", linewidth=0.8)
    axes.set_ylabel(f"layer {layer}")
    arrivals.append(solution.t[np.abs(emitted).sum(axis=1).argmax()])
    axes.axvline(1.0 + layer * system.delay, color="0.7", linestyle=":", zorder=0)
layers[0].set_title("What each layer emits, and when the pulse is due (dotted)")
layers[-1].set_xlabel("time")
figure.savefig("pulse.png", dpi=90)
print("The pulse is largest at t =", *[f"{time:.2f}" for time in arrivals])
