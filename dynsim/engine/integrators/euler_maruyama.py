"""The Euler-Maruyama method, of strong order 1, as the noise of Langevin dynamics is additive."""

import math

from ._scheme import Scheme


def _step(t, end, state, f, derivative, noise, new, new_f):
    h = end - t
    new[...] = state + h * f
    if noise.warm:
        new += noise.amplitude(t) * (math.sqrt(h) * noise.normals(1)[0])
    return derivative(end, new, new_f)


METHOD = Scheme("euler_maruyama", 1, _step, noisy=True, reference="Maruyama, Rend. Circ. Mat. Palermo 4 (1955) 48.")
