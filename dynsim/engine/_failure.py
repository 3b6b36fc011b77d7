"""What can go wrong inside a run, and the sentence that says it."""

from __future__ import annotations

import numpy as np
from scipy.spatial import cKDTree

# What to do about a run that did not end well: following it lets the run go on, or it is not said.
SOFTEN = "Two neurons meet where phi is infinite: give the kernel a softening."
WEAKEN_ECHO = "Above 1 the field grows geometrically with every delay, whatever the step: weaken A, C or the strengths."
WEAKEN = (
    "The motion itself grows beyond all numbers: weaken the operators or the strengths, or end the span by t = {:.6g}."
)
LOOSEN = (
    "Where signals jump, or the accuracy is near rounding: loosen rtol and atol, or take a fixed step, as method='rk4' "
    "with a dt."
)
AT_ONCE = "At delay 0 signals are determined only where I - Phi a is regular: weaken A, C or lambda, or give a delay."
MISBEHAVED = "Let the function give what is expected wherever the span reaches, or end the span before."
# Relative change of places within the shortest step, above which it is the motion that is too fast: where it ends at a
# time T as a power of T - t, that is the power times (a step / what is left), and the last step tried is a share of it.
UNRESOLVED = 1e-3

SINGULAR_FIELD = "I - Phi a is singular, so the received signals at delay 0 are not determined"


class NotFinite(ArithmeticError):
    """A place or signal became infinite or not a number."""

    def __init__(self, q=None, E=None, R=None):
        self.neuron, self.what = _first(q, E, R)
        super().__init__(f"the {self.what} of neuron {self.neuron} is not finite")


class NoConvergence(ArithmeticError):
    """The received signals cannot be found, at delay 0 mostly; `do` says what to do about it."""

    def __init__(self, reason, do=AT_ONCE):
        super().__init__(reason)
        self.do = do


class Misbehaved(ArithmeticError):
    """A function of the user's gave what cannot be used; `refusal` is the error that says so.

    `number` says whether it was of the right type and shape, and only not finite.
    """

    def __init__(self, refusal, number=False):
        super().__init__(str(refusal).rstrip("."))
        self.refusal, self.number = refusal, number


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
    """The closest two neurons of any copy at places q, as (i, j, distance); None for one, or distances beyond all."""
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
    return best if np.isfinite(best[2]) else None


def divergence(system, error, step, t, t_good, q, tried, rate, gain, dt):
    """The sentence of status -2; the places q of the last good time grow at a `rate`; those `tried` were too much."""
    pair = nearest_pair(system, q)
    near = f"; nearest pair {pair[0]} and {pair[1]} at distance {pair[2]:.3g}" if pair else ""
    if _meets(system, pair) or (np.isfinite(tried).all() and _meets(system, nearest_pair(system, tried))):
        do = SOFTEN
    elif system.looks_back and gain > 1 and np.log(gain) >= 0.5 * rate * system._delays.shortest:
        do = WEAKEN_ECHO
    elif dt is not None and rate <= 0:
        do = "The motion itself shrinks there, so the step is too long for the method: take a smaller dt."
    else:
        do = WEAKEN.format(t_good)
    return (
        f"Diverged in step {step} at t = {t:.9g}: {error}{near}; {gain_text(system, gain)}; "
        f"last good time t = {t_good:.9g}. {do}"
    )


def failure(system, trouble, t, t_good, t0, q, f, gain):
    """The sentence of status -1, at places q that move with f; `trouble` is None where steps became too small."""
    text = f"Failed at t = {t:.9g}: {trouble}"
    if isinstance(trouble, Misbehaved):
        return f"{text}; last good time t = {t_good:.9g}. {MISBEHAVED}"
    if isinstance(trouble, NoConvergence):
        return f"{text}; {gain_text(system, gain)}. {trouble.do}"
    with np.errstate(all="ignore"):
        changed = 10 * np.spacing(abs(t)) * np.abs(f).max() / np.abs(q).max()
    if _meets(system, nearest_pair(system, q)):
        do = SOFTEN
    elif not UNRESOLVED < changed < np.inf:
        do = LOOSEN
    elif abs(t0) > 1e6 * (t - t0):
        do = "Numbers of that size are too far apart to be times of this motion: let the span begin at 0."
    else:
        do = WEAKEN.format(t_good)
    reason = f"the step fell below what numbers near t = {t:.9g} can resolve"
    return f"Failed at t = {t:.9g}: {reason}; {gain_text(system, gain)}. {do}"


def gain_text(system, gain):
    """The echo gain in words."""
    return f"echo gain rho(a Phi) = {gain:.4g}" + (" per delay" if system.looks_back else "")


def growth_rate(q, f):
    """d log|q| / dt of all places together, and 0 where they are all 0."""
    size = np.abs(q).max()
    if not size > 0:
        return 0.0
    with np.errstate(all="ignore"):
        return float(np.sum((q / size) * (f / size)) / np.sum((q / size) ** 2))


def _meets(system, pair):
    """Whether two neurons are, beside where they began, at one place where phi is infinite."""
    if pair is None or np.isfinite(system.kernel.value(0.0)):
        return False
    began = nearest_pair(system, np.asarray(system.q))
    return pair[2] == 0 or began is None or pair[2] < 1e-3 * began[2]
