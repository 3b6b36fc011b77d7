# %% [markdown]
# # A system of your own, with events
#
# A neuron circles the origin between two neurons that stand still and emit a cosine. An event is a function of time
# and places; its zeros, here the crossings of x = 0, are located within the steps.

# %%
import matplotlib.pyplot as plt
import numpy as np

import dynsim

UNTIL = 20.0

# %%
places = np.array([[-1.0, 0.0], [1.0, 0.0], [-2.0, 0.6]])
still, moved = np.zeros((2, 1)), np.array([[0.0], [-0.6]])
turning = np.array([[0.0, -1.0], [1.0, 0.0]])
system = dynsim.System(
    places,
    kernel=dynsim.Kernel("gaussian", length=0.8),
    operators=dynsim.Operators(
        D=[still, still, moved],  # only the third neuron is moved by the signal that it receives,
        F=[np.zeros((2, 2)), np.zeros((2, 2)), turning],  # and only it turns about the origin
    ),
    groups=[0, 0, 1],
    clamped={0: lambda t: np.cos(3 * t)},
)


def crossing(t, q):
    return q[2, 0]  # the first coordinate of the third neuron


solution = dynsim.solve(system, (0.0, UNTIL), rtol=1e-8, atol=1e-10, events=crossing)
crossings, where = solution.t_events[0], np.array(solution.q_events[0])

# %%
figure, axes = plt.subplots(figsize=(6, 5), layout="constrained")
axes.plot(*solution.q[:, 2].T, linewidth=0.8, label="circling neuron")
axes.plot(*places[:2].T, "ks", label="clamped neurons")
axes.plot(where[:, 2, 0], where[:, 2, 1], "o", color="crimson", markersize=4, label=f"{len(crossings)} crossings")
axes.axvline(0, color="0.7", linestyle=":", zorder=0)
axes.set(xlabel="x", ylabel="y", title="Events are found within a step", aspect="equal")
axes.legend(loc="center", bbox_to_anchor=(0.5, 0.3))
figure.savefig("events.png", dpi=90)
