"""A small comparison of families of networks on the embedded digits, as its file says it."""

import tomllib

RECIPE = """
kind = "frontier"
title = "digits"
data = "digits"
model = "mlp"
budgets = [400, 600]
seeds = [0, 1]
bits = [3, 8]
retrain_bits = { epochs = 1, share = 0.1 }
training = { epochs = 2, batch = 64, smoothing = 0.05 }
search = { epochs = 2, images = 320 }

[families.low-rank]
title = "low rank"
width = "rank"
options = { widths = [64, 16, 10], weights = true }
grid = [{ rate = 0.05 }, { rate = 0.1 }]

[families.pruned]
width = "rank"
prune_from = 3
options = { widths = [64, 16, 10], weights = true }
grid = [{ rate = 0.05 }, { rate = 0.1 }]

[families.particles]
particles = true
width = "copies"
options = { widths = [64, 16, 10] }
grid = [{ rate = 0.1, options = { dim = 2 } }, { rate = 0.1, options = { dim = 3 } }]

[[published]]
name = "of a paper"
numbers = 500
accuracy = 95.5
source = "a paper"
"""


def given(**changes):
    return {**tomllib.loads(RECIPE), **changes}


def family(name, **changes):
    """All families, one of them changed."""
    families = tomllib.loads(RECIPE)["families"]
    return {"families": {**families, name: {**families[name], **changes}}}
