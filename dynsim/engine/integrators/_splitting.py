"""The step of which velocity Verlet and BAOAB are cases."""

from __future__ import annotations

import numpy as np


def kick_drift_relax(t, end, state, f, derivative, noise, new, new_f):
    """Half a kick, half a drift, friction and noise exactly, half a drift, half a kick.

    At temperature 0 and without friction the two half drifts are one: velocity Verlet.
    """
    h, H = end - t, len(state) // 2
    rates = noise.rates
    u = state[H:] + 0.5 * h * (f[H:] + rates * state[H:])  # the acceleration without friction
    q = state[:H] + 0.5 * h * u
    u = np.exp(-rates * h) * u
    if noise.warm:
        (xi,) = noise.normals(1)
        u += np.sqrt(-np.expm1(-2.0 * rates * h) * noise.square_velocity(t + 0.5 * h)) * xi[H:]
    new[:H], new[H:] = q + 0.5 * h * u, u
    code = derivative(end, new, new_f)
    acceleration = new_f[H:] + rates * u
    new[H:] = u + 0.5 * h * acceleration
    new_f[:H], new_f[H:] = new[H:], acceleration - rates * new[H:]
    return code
