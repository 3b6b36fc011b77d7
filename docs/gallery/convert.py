# %% [markdown]
# # A trained network becomes particles
#
# A small PyTorch network is trained on the digits in the ordinary way. `dynsim.torch.convert` then fits places to its
# weights: at most half as many numbers, from which the weights are computed. It needs `pip install 'dynsim[torch]'`.

# %%
import matplotlib.pyplot as plt
import torch
from torch import nn

from dynsim.datasets import load
from dynsim.torch import convert

EPOCHS = 60
BUDGET = 0.5  # floats of the particles, as a share of the weights
STEPS = 60  # of every fit

# %%
torch.manual_seed(0)
data = load("digits")
images = torch.tensor(data.train_images, dtype=torch.float32).flatten(1)
labels = torch.tensor(data.train_labels, dtype=torch.long)
network = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10))
optimiser = torch.optim.Adam(network.parameters(), lr=0.003, weight_decay=1e-3)
for _ in range(EPOCHS):
    for batch in torch.randperm(len(images)).split(64):
        optimiser.zero_grad()
        nn.functional.cross_entropy(network(images[batch]), labels[batch]).backward()
        optimiser.step()

# %%
module, report = convert(network, budget=BUDGET, data=[images[:512]], steps=STEPS)
print(report)


def accuracy(net):
    tested = torch.tensor(data.test_images, dtype=torch.float32).flatten(1)
    with torch.no_grad():
        answers = net(tested).argmax(1).numpy()
    return 100 * (answers == data.test_labels).mean()


# %% [markdown]
# The layer is still an `nn.Linear`; its weight is computed from places whenever they have moved.

# %%
before, after = (net[0].weight.detach().numpy() for net in (network, module))
limit = abs(before).max()
figure, panels = plt.subplots(1, 3, figsize=(10, 3.8), layout="constrained", sharey=True)
titles = (
    f"Trained: {before.size:,} weights,\n{accuracy(network):.1f} % of the test digits",
    f"From places: {report.layers[0].floats:,} numbers,\n{accuracy(module):.1f} % of the test digits",
    "Difference",
)
for axes, values, title in zip(panels, (before, after, before - after), titles, strict=True):
    shown = axes.imshow(values, cmap="RdBu", vmin=-limit, vmax=limit, interpolation="nearest")
    axes.set_xlabel("pixel")
    axes.set_title(title, fontsize=10)
panels[0].set_ylabel("hidden neuron")
figure.colorbar(shown, ax=panels, label="weight of the first layer")
figure.savefig("convert.png", dpi=90)
