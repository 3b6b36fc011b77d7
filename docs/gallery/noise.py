# %% [markdown]
# # Noise on what is stored
#
# Two networks of the same widths are trained on the digits. One stores places and lambdas, the other weights. Uniform
# noise is added to every stored number: of the same absolute size, and relative to the size of the numbers.

# %%
import matplotlib.pyplot as plt
import numpy as np

import dynsim

DELTAS = (0.003, 0.01, 0.03, 0.1, 0.3)
EPOCHS = 15
DRAWS = 5

# %%
data = dynsim.datasets.load("digits")
figure, panels = plt.subplots(1, 2, sharey=True, figsize=(9, 3.6), layout="constrained")
accuracies = {}
for name, weights in (("places", False), ("weights", True)):
    model = dynsim.models.mlp(widths=(64, 32, 10), copies=4, dim=4, weights=weights, seed=0)
    dynsim.train(model, data, epochs=EPOCHS, batch=64, rate=0.05)
    for axes, relative in zip(panels, (False, True), strict=True):
        noise = {"draws": DRAWS, "relative": relative}
        found = [
            dynsim.evaluate(model, data.test_images, labels=data.test_labels, delta=delta, **noise) for delta in DELTAS
        ]
        means, deviations = np.array([[entry["mean"], entry["deviation"]] for entry in found]).T
        axes.errorbar(DELTAS, means, deviations, marker="o", capsize=2, label=name)
        accuracies[name, relative] = means
for axes, unit in zip(panels, ("absolute", "in units of each array's root mean square"), strict=True):
    axes.set(xscale="log", xlabel=f"delta, {unit}")
    axes.legend()
panels[0].set(ylabel="test accuracy, %", ylim=(0, 102))
figure.suptitle(f"Uniform noise on everything that is stored, digits, {DRAWS} draws")
figure.savefig("noise.png", dpi=90)
