# %% [markdown]
# # Digits learnt by a flow
#
# A network 64-32-10 of particles sees 1,437 digits at once, as 1,437 signals, and its neurons move down the gradient of
# the loss: places alone, without batches, norms or an optimiser. Beside the accuracy, the entropy of the distances
# between its neurons shows how its structure changes while it learns.

# %%
import matplotlib.pyplot as plt
import numpy as np

from dynsim import datasets
from dynsim.engine import Teacher, configure, solve
from dynsim.kernels import distance_entropy
from dynsim.learning import preset_config

UNTIL = 4000.0
FRAMES = 41

# %%
config = preset_config("digits")
ready = configure({**config, "run": {**config["run"], "until": UNTIL, "frames": FRAMES}})
system = ready.system
solution = solve(system, ready.span, **ready.options)
print(f"{solution.nfev} evaluations by {solution.method} in {solution.wall_time:.1f} s")

# %% [markdown]
# The held-out digits are signals of the same neurons: a system with other inputs and targets, looked at without motion.

# %%
digits = datasets.load("digits")
pixels = digits.test_images.reshape(len(digits.test_images), -1).T.astype(float)
classes = system.groups == system.teacher.group
held_out = system.replace(
    clamped={0: pixels, 3: 1.0},  # the groups pixels and bias
    signals=pixels.shape[1],
    teacher=Teacher(system.teacher.group, digits.test_labels, loss="cross-entropy"),
)


def right(places):
    """Share of the held-out digits that are recognised with the neurons at some places."""
    still = solve(held_out.replace(q=places), (0.0, 1.0), method="euler", dt=1.0, t_eval=[0.0])
    return 100 * held_out.teacher.correct(still.E[0][classes])


accuracy = np.array([right(places) for places in solution.q])
learnt = 100 * system.teacher.correct(solution.E[:, classes])
entropy = [distance_entropy(places) for places in solution.q]
print(f"{accuracy[-1]:.1f} % of {pixels.shape[1]} held-out digits, {learnt[-1]:.1f} % of those learnt")

# %%
figure, (above, below) = plt.subplots(2, 1, figsize=(7, 6), sharex=True, layout="constrained")
above.semilogx(solution.t[1:], learnt[1:], label="learnt")
above.semilogx(solution.t[1:], accuracy[1:], label="held out")
above.set(ylabel="right (%)", title="1,437 digits by the flow of places alone")
above.legend()
below.semilogx(solution.t[1:], entropy[1:], color="#009E73")
below.set(xlabel="time", ylabel="entropy of distances (bits)")
figure.savefig("flow.png", dpi=90)
