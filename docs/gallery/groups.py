# %% [markdown]
# # Three groups, described in TOML
#
# Two groups emit given signals, a sine and a pulse. The neurons of the third receive both, half a unit of time later,
# and the more strongly the nearer they are. The same text in a file is run by `dynsim simulate groups.toml -o
# groups.h5`.

# %%
import tomllib

import matplotlib.pyplot as plt
import numpy as np

from dynsim.engine import configure, solve

CONFIG = """
dimension = 2
delay = 0.5

[kernel]
profile = "gaussian"
length = 1.0

[operators]        # E = act(A R): nothing moves, since D, E and F are 0
A = 1.0
activation = "tanh"

[[groups]]
name = "sine"
neurons = 5
places = { kind = "normal", center = [-1.0, 0.0], spread = 0.3 }
clamped = { kind = "sine", frequency = 0.5 }

[[groups]]
name = "pulse"
neurons = 5
places = { kind = "normal", center = [1.0, 0.0], spread = 0.3 }
clamped = { kind = "pulse", at = 4.0, width = 0.2 }

[[groups]]
name = "receivers"
neurons = 9
places = { kind = "uniform", low = [-1.0, 0.5], high = [1.0, 1.0] }

[strengths]        # pairs that are not named do not act on each other
"sine->receivers" = 0.1
"pulse->receivers" = 0.3

[run]
until = 8.0
frames = 401
"""

# %%
ready = configure(tomllib.loads(CONFIG))
system = ready.system
solution = solve(system, ready.span, **ready.options)
receivers = system.groups == 2  # groups have numbers in the order of the text

# %%
figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.6), layout="constrained", width_ratios=[1, 1.5])
near = system.q[receivers, 0]
scale = plt.get_cmap("viridis")((near + 1) / 2)
for group, (name, marker) in enumerate((("sine", "s"), ("pulse", "^"))):
    left.plot(*system.q[system.groups == group].T, marker, color="0.4", label=name)
left.scatter(*system.q[receivers].T, c=scale, label="receivers")
left.set(xlabel="x", ylabel="y", title="Places", aspect="equal")
left.legend(loc="upper center", bbox_to_anchor=(0.5, -0.3), ncols=3)

for emitted, colour in zip(solution.E[:, receivers, 0].T, scale, strict=True):
    right.plot(solution.t, emitted, color=colour, linewidth=0.9)
right.axvline(4.5, color="0.7", linestyle=":", zorder=0)
right.set(xlabel="time", title="What the receivers emit; dotted: the pulse is due")
figure.savefig("groups.png", dpi=90)
print(f"The largest signal is {np.abs(solution.E[:, receivers]).max():.2f}.")
