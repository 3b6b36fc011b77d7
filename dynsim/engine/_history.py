"""What was before t0: the history of a delay equation."""

from __future__ import annotations

import numpy as np

from dynsim._check import as_array

from ._field import rest


def make_history(history, system, t0):
    """Return a function (t, left) -> (q (H, N, d), E (N, s)) for t0 - eps <= t <= t0; left asks for a left limit.

    None: q = q0, and E at rest, act(0) + B Q, clamped groups as at t0. A callable t -> q or (q, E). An earlier
    Solution with dense output that covers the delay.
    """
    if history is None:
        q = system._places(system.q)
        constant = q, system._clamp(np.array(rest(system, q)), t0)
        return lambda t, left: constant
    if callable(history):
        return lambda t, left: _from_callable(history(t), system, t0, t)
    dense = getattr(history, "sol", None)
    if dense is None:
        raise TypeError(
            f"history: got {type(history).__name__}; expected None, a function t -> q or (q, E), or an earlier "
            f"Solution made with dense_output=True."
        )
    if dense(dense.t_max).shape != system.q.shape:
        raise ValueError(f"history: got places {dense(dense.t_max).shape}; expected {system.q.shape}, the system's.")
    slack = 1e-9 * max(system.delay, abs(t0))
    if dense.t_min > t0 - system.delay + slack or dense.t_max < t0 - slack:
        raise ValueError(
            f"history: got a Solution over [{dense.t_min:g}, {dense.t_max:g}]; expected one that covers one delay "
            f"before the start, [{t0 - system.delay:g}, {t0:g}]."
        )

    def earlier(t, left):
        t = min(max(t, dense.t_min), dense.t_max)
        return _from_callable((dense(t), dense.emitted(t, left)), system, t0, t)

    return earlier


def _from_callable(value, system, t0, t):
    q, E = value if isinstance(value, tuple) and len(value) == 2 else (value, None)
    q = as_array(q, f"history places at t = {t:.9g}", system.q.shape, np.float64)
    q = system._places(q)
    if E is None:
        return q, system._clamp(np.array(rest(system, q)), t0)
    return q, as_array(E, f"history signals at t = {t:.9g}", (system.neurons, system.signals), np.float64)
