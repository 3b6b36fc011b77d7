"""What can go wrong inside a run, and the sentence that says it."""

from __future__ import annotations

import numpy as np
from scipy.spatial import cKDTree

SINGULAR_FIELD = "I - Phi a is singular, so the received signals at delay 0 are not determined"


class NotFinite(ArithmeticError):
    """A place or signal became infinite or not a number."""

    def __init__(self, q=None, E=None, R=None):
        self.neuron, self.what = _first(q, E, R)
        super().__init__(f"the {self.what} of neuron {self.neuron} is not finite")


class NoConvergence(ArithmeticError):
    """The equations of delay 0 could not be solved for the received signals."""


def _first(q, E, R):
    for what, values in (("place", q), ("received signal", R), ("emitted signal", E)):
        if values is None:
            continue
        values = np.asarray(values)
        bad = ~np.isfinite(values).all(axis=-1)
        bad = bad.any(axis=0) if bad.ndim == 2 else bad
        if bad.any():
            return int(np.flatnonzero(bad)[0]), what
    return 0, "state"


def nearest_pair(system, q):
    """The closest two neurons of any copy at places q, as (i, j, distance), or None for a single neuron."""
    if system.neurons < 2:
        return None
    best = None
    for places in system._places(q):
        distances, partners = cKDTree(places).query(places, k=2, p=1 if system.kernel.metric == "l1" else 2)
        i = int(np.argmin(distances[:, 1]))
        # Of neurons at one place the tree may name the neuron itself as its second neighbour.
        j = int(partners[i, 1] if partners[i, 1] != i else partners[i, 0])
        if best is None or distances[i, 1] < best[2]:
            best = (min(i, j), max(i, j), float(distances[i, 1]))
    return best


def divergence(system, error, step, t, t_good, q_good, gain):
    """The sentence of status -2."""
    pair = nearest_pair(system, q_good)
    near = f"; nearest pair {pair[0]} and {pair[1]} at distance {pair[2]:.3g}" if pair else ""
    return (
        f"Diverged in step {step} at t = {t:.9g}: {error}{near}; {gain_text(system, gain)}; "
        f"last good time t = {t_good:.9g}. {advice(system, gain, pair)}"
    )


def gain_text(system, gain):
    """The echo gain in words."""
    return f"echo gain rho(a Phi) = {gain:.4g}" + (" per delay" if system.delay else "")


def advice(system, gain, pair=None, solving=False):
    """What to do about a run that did not end well."""
    if system.delay and gain > 1:
        return (
            "Above 1 the field grows geometrically with every delay, whatever the step: weaken A, C or the strengths."
        )
    if solving:
        return (
            "At delay 0 signals are determined only where I - Phi a is regular: weaken A, C or lambda, or give a delay."
        )
    close = pair is not None and pair[2] < 1e-3 and not system.kernel.softening
    if close and not np.isfinite(system.kernel.value(0.0)):
        return "Two neurons meet where phi is infinite: give the kernel a softening, or use an adaptive method."
    return "Try a smaller step, a tighter rtol, or weaker operators."
