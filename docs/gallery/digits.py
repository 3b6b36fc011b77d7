# %% [markdown]
# # Neurons move while they learn
#
# A network without weights is trained on handwritten digits, which are part of the package. Every neuron has two
# places in three dimensions; the error moves them as a force. Their places over the epochs are stored as a trajectory.

# %%
import matplotlib.pyplot as plt

import dynsim
from dynsim.trajectory import Trajectory

EPOCHS = 20

# %%
data = dynsim.datasets.load("digits")
model = dynsim.models.mlp(widths=(64, 32, 10), copies=2, dim=3, seed=0)
result = dynsim.train(model, data, epochs=EPOCHS, batch=64, rate=0.05, trajectory="digits.h5")
print(f"{result.test_accuracy:.1f} % of the test digits are classified correctly.")

# %%
with Trajectory("digits.h5") as trajectory:
    q, groups = trajectory.q[:], trajectory.groups

figure, panels = plt.subplots(1, 3, sharex=True, sharey=True, figsize=(9, 3.4), layout="constrained")
for group, (name, axes) in enumerate(zip(("64 pixels", "32 hidden neurons", "10 digits"), panels, strict=True)):
    paths = q[:, groups == group, :2]
    axes.plot(paths[..., 0], paths[..., 1], color=f"C{group}", linewidth=0.5, alpha=0.7)
    axes.plot(*paths[0].T, ".", color="0.7", markersize=3)
    axes.plot(*paths[-1].T, ".", color=f"C{group}", markersize=5)
    axes.set(title=f"{name}, 2 places each", aspect="equal")
figure.suptitle(f"{EPOCHS} epochs by forces on places: {result.test_accuracy:.1f} % of digits never seen before")
figure.savefig("digits.png", dpi=90)
