"""Roessler's method SRA1 for additive noise, of strong order 1.5; at temperature 0 of order 2."""

import math

from .._equations import OK
from ._scheme import Scheme


def _step(t, end, state, f, derivative, noise, new, new_f):
    h = end - t
    middle = state + 0.75 * h * f
    if noise.warm:
        first, second = noise.normals(2)
        # dW, and the mean of W - W(t) over the step: (dW + dZ / sqrt(3)) / 2.
        increment = math.sqrt(h) * first
        mean = 0.5 * math.sqrt(h) * (first + second / math.sqrt(3.0))
        before, after = noise.amplitude(t), noise.amplitude(end)
        middle += 1.5 * after * mean
    code = derivative(t + 0.75 * h, middle, new_f)
    if code != OK:
        return code
    new[...] = state + h * (f / 3.0 + new_f * (2.0 / 3.0))
    if noise.warm:
        new += after * (increment - mean) + before * mean
    return derivative(end, new, new_f)


METHOD = Scheme("sra1", 1, _step, noisy=True, reference="Roessler, SIAM J. Numer. Anal. 48 (2010) 922.")
