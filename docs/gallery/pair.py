# %% [markdown]
# # Two neurons
#
# Each neuron has a place in the plane and emits its own place as a signal. The other one receives this signal, divided
# by their distance, and is pushed away from it; besides, each place turns about the origin and shrinks towards it.
# Where the push and the shrinking are equal, the two follow an orbit.

# %%
import matplotlib.pyplot as plt
import numpy as np

from dynsim.engine import solve
from dynsim.engine.presets import preset

SEED = 0

# %%
system, span, options = preset("pair", seed=SEED)
solution = solve(system, span, **options)
print(solution.message)

# %% [markdown]
# `solution.t` holds the times (T,), `solution.q` the places (T, neurons, dimensions); R and E are the received and the
# emitted signals.

# %%
figure, (plane, over_time) = plt.subplots(1, 2, figsize=(9, 4), layout="constrained")
for neuron in range(2):
    path = solution.q[:, neuron]
    plane.plot(*path.T, linewidth=0.9, color=f"C{neuron}", label=f"neuron {neuron}")
    plane.plot(*path[0], "o", color=f"C{neuron}", markerfacecolor="white")
    plane.plot(*path[-1], "o", color=f"C{neuron}")
plane.set(xlabel="x", ylabel="y", aspect="equal", title="From the open to the full circle")
plane.legend(loc="upper center", bbox_to_anchor=(0.5, -0.15), ncols=2)

distance = np.linalg.norm(solution.q[:, 0] - solution.q[:, 1], axis=1)
over_time.plot(solution.t, distance, color="0.2")
over_time.axhline(5.0, color="0.7", linestyle=":")
over_time.set(xlabel="time", title="Distance of the two; 5 in theory (dotted)", ylim=(0, None))
figure.savefig("pair.png", dpi=90)
