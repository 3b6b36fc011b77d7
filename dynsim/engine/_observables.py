"""Numbers that say at a glance what a state is like, written with every frame of a run that asks for them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from dynsim._check import as_choice, as_instance, refusal
from dynsim.kernels import distance_entropy

MOST_NEURONS = 1000  # of which distances are taken: half a million pairs, some milliseconds


def _rms(values):
    """Root mean square, also of numbers whose squares overflow; 0 of nothing.

    >>> _rms(np.array([3e200, -3e200])), _rms(np.zeros(0))
    (3e+200, 0.0)
    """
    largest = float(np.abs(values).max(initial=0.0))
    if largest == 0 or not np.isfinite(largest):
        return largest
    return largest * float(np.sqrt(np.mean(np.square(values / largest))))


def _largest(values):
    return float(np.abs(values).max(initial=0.0))


def _spread(q):
    places = q.reshape(-1, *q.shape[-2:])  # copies, neurons, axes
    with np.errstate(over="ignore", invalid="ignore"):  # of a run that diverged
        return _rms(np.linalg.norm(places - places.mean(axis=1, keepdims=True), axis=-1))


def _entropy(q):
    neurons = q.shape[-2]
    if neurons < 3:
        return float("nan")
    if neurons > MOST_NEURONS:
        q = q[..., np.linspace(0, neurons - 1, MOST_NEURONS).astype(np.intp), :]
    return distance_entropy(q)


# {name: (what it is, its function of (q, R, E))}
OBSERVABLES = {
    "entropy": (
        f"of the distances of pairs, in bits: 32 bins up to the largest of the frame, {MOST_NEURONS:,} neurons at most",
        lambda q, R, E: _entropy(q),
    ),
    "spread": ("root mean square distance of the places from their mean", lambda q, R, E: _spread(q)),
    "R_rms": ("root mean square of received signals", lambda q, R, E: _rms(R)),
    "E_rms": ("root mean square of emitted signals", lambda q, R, E: _rms(E)),
    "R_largest": ("largest received signal in size", lambda q, R, E: _largest(R)),
    "E_largest": ("largest emitted signal in size", lambda q, R, E: _largest(E)),
}


def observe(names: Sequence[str], q: npt.ArrayLike, R: npt.ArrayLike, E: npt.ArrayLike) -> dict:
    """Return {name: number} of a state, for some of the names of `OBSERVABLES`.

    Parameters
    ----------
    names : sequence of str
    q : array_like, (N, d) or (H, N, d)
    R, E : array_like, (N, s)
        Places and signals; numbers that are not finite give NaN or infinity.

    Raises
    ------
    ValueError, TypeError
        If a name is not known.

    Examples
    --------
    >>> observe(["E_rms", "entropy"], [[0.0], [1.0], [3.0]], [[0.0]] * 3, [[2.0]] * 3)["E_rms"]
    2.0
    """
    q, R, E = (np.asarray(values, dtype=float) for values in (q, R, E))
    return {name: OBSERVABLES[name][1](q, R, E) for name in expect_observables(names)}


def expect_observables(names: Sequence[str], name: str = "observables") -> tuple[str, ...]:
    """Return the names as a tuple, each of them one of `OBSERVABLES` and there once; raises ValueError or TypeError.

    >>> expect_observables(["entropy"])
    ('entropy',)
    """
    names = tuple(as_instance(names, list | tuple, name))
    for one in names:
        as_choice(one, OBSERVABLES, name)
    if len(set(names)) < len(names):
        raise refusal(name, list(names), "each name once")
    return names
