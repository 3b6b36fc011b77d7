# %% [markdown]
# # Neurons that learn as they move
#
# Two classes of samples lie on the arms of a spiral. Two clamped neurons emit their coordinates, sixteen hidden neurons
# receive these, and two output neurons say which class it is. There are no weights: what one neuron is to another follows
# from where they stand, and the error's signals, which travel back the same way, push all of them. Learning is a
# simulation like any other.

# %%
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.animation import FuncAnimation, PillowWriter

from dynsim.engine import solve
from dynsim.engine.presets import preset

FRAMES = 50  # of the film

# %%
system, span, options = preset("learn", seed=1)
solution = solve(system, span, **options)
teacher, judged = system.teacher, system.groups == system.teacher.group
emitted = solution.E[:, judged]  # frames, two neurons, samples
loss, right = teacher.value(emitted), 100 * teacher.correct(emitted)
print(f"Loss {loss[0]:.2f} to {loss[-1]:.2f}, {right[-1]:.0f} % right, {solution.nfev} evaluations.")

# %%
figure, (course, plane) = plt.subplots(1, 2, figsize=(9, 4), layout="constrained")
course.plot(solution.t, loss)
course.set(xlabel="time", ylabel="loss", title="The loss falls along the motion")
for label, colour, mark in ((0, "#E69F00", "o"), (1, "#56B4E9", "s")):
    chosen = teacher.targets == label
    plane.plot(*emitted[0][:, chosen], mark, color=colour, alpha=0.3, markersize=4)
    plane.plot(*emitted[-1][:, chosen], mark, color=colour, markersize=5, label=f"class {label}, at the end")
plane.axline((0, 0), slope=1, color="0.6", linewidth=0.8)
plane.set(xlabel="first output neuron", ylabel="second output neuron", title="Signals of the samples")
plane.legend()
figure.savefig("learn.png", dpi=90)

# %% [markdown]
# The same run as a film. `dynsim simulate --preset learn -o learn.h5 && dynsim animate learn.h5` makes one without a program.

# %%
shown = np.unique(np.linspace(0, 1, FRAMES) ** 2 * (len(solution.t) - 1)).astype(int)
colours = np.array(["#0072B2", "#0072B2", "#009E73", "#CC79A7"])[system.groups]
film, (space, plane) = plt.subplots(1, 2, figsize=(6.4, 3.2), layout="constrained")
reach = 1.05 * np.abs(solution.q).max()
space.set(xlim=(-reach, reach), ylim=(-reach, reach), xticks=[], yticks=[], title="neurons")
space.title.set_fontsize(10)
dots = [space.scatter(*places.T, s=12, c=colours) for places in solution.q[0]]
low, high = emitted.min() - 0.3, emitted.max() + 0.3
plane.set(xlim=(low, high), ylim=(low, high), xticks=[], yticks=[])
plane.axline((0, 0), slope=1, color="0.7", linewidth=0.8)
samples = plane.scatter(*emitted[0], s=9, c=np.array(["#E69F00", "#56B4E9"])[teacher.targets])


def draw(k):
    for copy, places in zip(dots, solution.q[shown[k]], strict=True):
        copy.set_offsets(places)
    samples.set_offsets(emitted[shown[k]].T)
    plane.set_title(f"samples, {right[shown[k]]:.0f} % right", fontsize=10)


FuncAnimation(film, draw, frames=len(shown)).save("learn.gif", PillowWriter(fps=15), dpi=72)
