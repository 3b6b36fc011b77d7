"""How many numbers each layer gets under a common budget, and in which form: copies, dimension, low rank, kernel.

Numbers go where the error falls fastest for one more. A layer's error is predicted from its singular values: particles
with q = H d + rank numbers a neuron leave what a truncated SVD of rank `gain` q leaves. The gain is measured layer by
layer with short fits, which also choose the form.

What counts is noise against signal: a fit by least squares that leaves the share e of |W|^2 has the share 1 - e as its
signal, so a layer costs e / (1 - e). The sum of e itself would give up layers whose weights are hard to fit.
"""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from dynsim._check import refusal

GAIN = 1.2  # before anything is measured
LOW_RANK = (0.0, 1 / 3)  # shares of a neuron's numbers that are tried for the low-rank part


class Curve:
    """Error of one layer as a function of q, the numbers that each of its neurons has.

    Parameters
    ----------
    weights : ndarray (T, S, n, m)
    step : int
        q is a multiple of it (the copies).
    extra : int
        Further numbers: lambdas.

    Examples
    --------
    >>> curve = Curve(np.random.default_rng(0).normal(size=(1, 1, 20, 20)), step=2, extra=2)
    >>> curve.floats(4), curve.error(2) > curve.error(4)
    (162, True)
    """

    def __init__(self, weights: npt.NDArray, *, step: int, extra: int):
        t, s, n, m = weights.shape
        self.neurons, self.size, self.step, self.extra = t * n + s * m, weights.size, step, extra
        self.gain = GAIN
        values = singular_values(weights) ** 2
        total = float(values.sum())
        # tails[r] is the share of |W|^2 beyond rank r
        self.tails = np.append(values[::-1].cumsum()[::-1], 0.0) / (total or 1.0)

    def floats(self, q: int) -> int:
        """Numbers of q per neuron; never more than the weights are, which are kept then."""
        return min(q * self.neurons + self.extra, self.size)

    def kept(self, q: int) -> bool:
        """Whether particles would be no smaller than the weights."""
        return q * self.neurons + self.extra >= self.size

    def error(self, q: int) -> float:
        """Predicted share of |W|^2; 0 where the weights are kept."""
        return 0.0 if self.kept(q) else float(np.interp(self.gain * q, np.arange(len(self.tails)), self.tails))

    def set_measured(self, q: int, error: float) -> None:
        """Set the gain such that the predicted error for q is the one that a fit left."""
        equal = float(np.interp(-error, -self.tails, np.arange(len(self.tails))))  # the rank with this error
        self.gain = float(np.clip(equal / q, 0.5, 3.0))


def allocate(curves: Sequence[Curve], budget: float) -> list[int]:
    """Return q for every curve, such that all floats are at most `budget` times all weights.

    Greedy steps to where the weighted error falls most per float: for convex curves this is Lagrange's optimum.

    Raises
    ------
    ValueError
        If the budget is below what one axis a neuron takes.
    """
    chosen = [curve.step for curve in curves]
    limit = budget * sum(curve.size for curve in curves)
    spent = sum(curve.floats(q) for curve, q in zip(curves, chosen, strict=True))
    if spent > limit:
        least = spent / sum(curve.size for curve in curves)
        raise refusal("budget", budget, f"at least {least:.3f}, one axis for each copy of a neuron")
    queue = [(-_slope(curve, q), k) for k, (curve, q) in enumerate(zip(curves, chosen, strict=True))]
    heapq.heapify(queue)
    while queue:
        _, k = heapq.heappop(queue)
        curve, q = curves[k], chosen[k]
        if curve.kept(q):
            continue
        cost = curve.floats(q + curve.step) - curve.floats(q)
        if spent + cost > limit:
            continue  # this layer gets no more; cheaper ones still may
        chosen[k], spent = q + curve.step, spent + cost
        heapq.heappush(queue, (-_slope(curve, chosen[k]), k))
    return chosen


def singular_values(weights):
    """Singular values of the (T n, S m) matrix of weights (T, S, n, m), in float64."""
    t, s, n, m = weights.shape
    flat = weights.transpose(0, 2, 1, 3).reshape(t * n, s * m)
    unit = np.abs(flat).max(initial=0.0) or flat.dtype.type(1)  # whose square may be no number
    flat = flat / unit
    small = flat @ flat.T if t * n <= s * m else flat.T @ flat
    return float(unit) * np.sqrt(np.clip(np.linalg.eigvalsh(small.astype(np.float64))[::-1], 0, None))


def _slope(curve, q):
    cost = curve.floats(q + curve.step) - curve.floats(q)
    noises = [_noise(curve.error(k)) for k in (q, q + curve.step)]
    return (noises[0] - noises[1]) / cost if cost else 0.0


def _noise(error):
    return error / max(1 - error, 1e-3)


def plan_budget(todo, budget, copies, rank, kernels, sets, fits):
    """{name: (copies, dim, rank, kernels)}: shares by singular values, forms by short fits, shares again by both.

    {} if the caller stopped the fits.
    """
    curves = {}
    for entry in todo:
        # The fewest copies leave the most choice; lambdas are counted for the most, so that every form fits.
        step, extra = _steps(entry, copies[0], sets)[0], _steps(entry, copies[-1], sets)[1]
        curves[entry.name] = Curve(entry.weights, step=step, extra=extra)
    first = dict(zip(curves, allocate(list(curves.values()), budget), strict=True))
    shares = LOW_RANK if rank is None else (0.0,)
    trials = []
    for entry in todo:
        if not curves[entry.name].kept(first[entry.name]):
            forms = _forms(entry, first[entry.name], shares, copies, sets, rank)
            trials += [(entry, form, kernel) for form in forms for kernel in kernels]
    fits.total = len(trials) + len(todo)
    best = {}
    for entry, form, kernel in trials:
        if fits.stopped:
            return {}
        fitted, _ = fits(entry, (*form.sizes, kernels), kernel, trial=True)
        if entry.name not in best or fitted.error < best[entry.name][0]:
            best[entry.name] = fitted.error, form, kernel
    for entry in todo:
        if entry.name in best:
            error, form, _ = best[entry.name]
            curves[entry.name].set_measured(first[entry.name], error)
            curves[entry.name].step, curves[entry.name].extra = _steps(entry, form.copies, sets)
    last = dict(zip(curves, allocate(list(curves.values()), budget), strict=True))
    plan = {}
    for entry in todo:
        _, form, kernel = best.get(entry.name, (0.0, _Form(copies[0], 0.0), kernels[0]))
        (form,) = _forms(entry, last[entry.name], [form.share], [form.copies], sets, rank)
        plan[entry.name] = (*form.sizes, [kernel])
    return plan


def _steps(entry, copies, sets):
    """What q is a multiple of, and how many lambdas there are."""
    t, s, *_ = entry.shape
    halves = 2 if sets_of(entry, sets) == "full" else 1
    return copies * halves, t * s * copies * halves


@dataclass(frozen=True)
class _Form:
    """Copies, the share of the numbers meant for a low-rank part, and the (copies, dim, rank) that came of it."""

    copies: int
    share: float
    sizes: tuple = ()


def _forms(entry, q, shares, copies, sets, rank):
    """The forms of q numbers a neuron; what dims do not take goes to a low-rank part, unless a rank is given."""
    found = {}
    for number in copies:
        unit = number * (2 if sets_of(entry, sets) == "full" else 1)
        for share in shares:
            dim = min(max(1, round(q * (1 - share) / unit)), q // unit)
            if dim:
                sizes = (number, dim, q - dim * unit if rank is None else 0)
                found.setdefault(sizes, _Form(number, share, sizes))
    return list(found.values())


def floats_of(entry, form, sets):
    """Numbers that a layer has in a form (copies, dim, rank, ...)."""
    t, s, n, m = entry.shape
    copies, dim, rank, _ = form
    halves = 2 if sets_of(entry, sets) == "full" else 1
    return halves * copies * (dim * (s * m + t * n) + t * s) + rank * (s * m + t * n)


def sets_of(entry, sets):
    """A weight's sets: `sets` where it has a window, and half sets where there is one place on both sides."""
    return sets if entry.shape[:2] != (1, 1) else "half"
