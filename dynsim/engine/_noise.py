"""Noise that is a function of the seed, the number of the step and the neuron, and of nothing else."""

from __future__ import annotations

import math

import numpy as np
from scipy.special import ndtri

from dynsim._check import as_count, refusal

from ._stepping import ACCEPTED


def as_seed(value, name="seed"):
    """Return a seed of the noise, a whole number below 2^64; raises TypeError or ValueError."""
    seed = as_count(value, name, minimum=0)
    if seed >= 2**64:
        raise refusal(name, f"{seed:,}", "a whole number below 2^64")
    return seed


class Noise:
    """Standard normal numbers for the states of a run, and how strongly they act.

    Numbers are those of Philox (Salmon et al. 2011), a counter-based generator, keyed by the seed, with the number of
    the step in its counter: they do not depend on threads or ranks, nor on where a run was stopped and went on.
    """

    def __init__(self, system, seed):
        self.inertia, self.seed, self.shape = system._inertia, seed, system._state_shape
        self.warm, self.rates = self.inertia.warm, self.inertia.rates()[:, None]
        self.before = 0  # steps before those that the loop has counted
        self.step = 0
        self._still = self.shape[0] // 2 if self.inertia.massive else 0  # places of neurons with mass feel no noise

    def begin(self, counts):
        """Begin the step that comes after those in `counts`."""
        self.step = self.before + int(counts[ACCEPTED])

    def normals(self, count):
        """(count, *shape of the state) independent numbers of the step."""
        key, counter = (np.array(words, np.uint64) for words in ([self.seed, 0], [0, 0, self.step, 0]))
        source = np.random.Philox(key=key, counter=counter)
        raw = source.random_raw(count * math.prod(self.shape))
        # The middle of one of 2^52 equal parts of (0, 1), and the normal number below which so much lies.
        return ndtri(((raw >> np.uint64(12)) + 0.5) * 2.0**-52).reshape(count, *self.shape)

    def amplitude(self, t):
        """What increments of Brownian motion are multiplied by in the state, (H or 2 H, N, 1)."""
        out = np.zeros((*self.shape[:2], 1))
        out[self._still :] = self.inertia.amplitude(t)
        return out

    def square_velocity(self, t):
        """T / m (N, 1), the mean square of a velocity in equilibrium."""
        return self.inertia.square_velocity(t)
