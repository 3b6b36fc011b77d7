# %% [markdown]
# # Sixty neurons gather in clusters
#
# Sixty neurons emit signals that saturate (tanh). The velocity of each follows from the signal that it emits, which
# depends on its own place and on what it receives from its neighbours.

# %%
from itertools import pairwise

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.animation import FuncAnimation, PillowWriter
from matplotlib.collections import LineCollection

from dynsim.engine import solve
from dynsim.engine.presets import preset

FRAMES = 60  # of the film
TAIL = 12  # frames over which the film shows where a neuron comes from

# %%
system, span, options = preset("cluster", seed=0)
solution = solve(system, span, **options)
q, t = solution.q, solution.t

# %%
figure, axes = plt.subplots(figsize=(6, 5), layout="constrained")
for k in range(system.neurons):
    segments = list(pairwise(q[:, k, :2]))
    paths = axes.add_collection(LineCollection(segments, array=t[:-1], cmap="viridis", linewidths=0.8))
axes.plot(*q[0, :, :2].T, "o", color="0.6", markersize=3, label="start")
axes.plot(*q[-1, :, :2].T, "o", color="crimson", markersize=4, label="end")
axes.set(xlabel="first coordinate", ylabel="second coordinate", title="Sixty neurons find their corners")
axes.legend()
figure.colorbar(paths, label="time")
figure.savefig("cluster.png", dpi=90)

# %% [markdown]
# The same run as a film: dots with a tail, at evenly spaced times. (`dynsim animate` makes films without a program.)

# %%
times = np.linspace(t[0], 0.45 * t[-1], FRAMES)
shown = np.array([q[np.searchsorted(t, time)] for time in times])
corner = shown[-1, :, :2] > shown[-1, :, :2].mean(axis=0)
colours = np.array(["#0072B2", "#D55E00", "#009E73", "#CC79A7"])[corner @ [1, 2]]
reach = 1.08 * np.abs(shown[..., :2]).max()

film, axes = plt.subplots(figsize=(4.6, 3.4), layout="constrained")
axes.set(xlim=(-reach, reach), ylim=(-reach, reach), xticks=[], yticks=[])
tails = axes.add_collection(LineCollection([], linewidths=0.9, colors=colours, alpha=0.5))
dots = axes.scatter(*shown[0, :, :2].T, s=14, c=colours)


def draw(k):
    dots.set_offsets(shown[k, :, :2])
    tails.set_segments(shown[max(0, k - TAIL) : k + 1, :, :2].swapaxes(0, 1))
    axes.set_title(f"sixty neurons, t = {times[k]:.1f}", fontsize=9)


FuncAnimation(film, draw, frames=FRAMES).save("cluster.gif", PillowWriter(fps=15), dpi=90)
