"""How much each layer gets of a common budget, and in which form: copies, dimension, low rank, kernel, or 8 bits.

Numbers go where the error of the network's answers falls most for one more. A layer's own error is predicted from its
singular values: particles with q = H d + rank numbers a neuron leave what a truncated SVD of rank `gain` q leaves. The
gain is measured layer by layer with short fits, which also choose the form.

What counts is noise against signal: a fit by least squares that leaves the share e of |W|^2 has the share 1 - e as its
signal, so a layer costs e / (1 - e). The sum of e itself would give up layers whose weights are hard to fit. The cost
is weighted by the layer's effect on the answers (`output_effects`).
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from dynsim._check import refusal
from dynsim.learning import low_rank, singular_factors

from ._eight_bits import EIGHT_BITS, rounding

GAIN = 1.2  # before anything is measured
LOW_RANK = (0.0, 1 / 3)  # shares of a neuron's numbers that are tried for the low-rank part
CURRENCIES = ("floats", "bytes")
KEPT = "kept"  # in place of a form
# Effects are measured one layer at a time while all others are exact, and differ less once all are inexact: of a
# ResNet-20 at 0.25, 0.35 and 0.5 of its floats, the answers to its training images were nearer to the original's with
# the square root than with equal effects in all cases, and than with the powers 1/4 and 1 in most.
POWER = 0.5


class Curve:
    """Error of one layer as a function of q, the numbers that each of its neurons has.

    Parameters
    ----------
    weights : ndarray (T, S, n, m)
    step : int
        q is a multiple of it (the copies).
    extra : int or callable
        Further numbers, or how many there are for a q: lambdas.
    used : callable, optional
        How many of q numbers the form uses that is made of them; all, without it.
    bytes_each : int, optional
        Of a number. Costs are then in bytes, else in numbers.
    rounding : float, optional
        Share of |W|^2 that 8 bits leave, with bytes; without it that is no choice.

    Examples
    --------
    >>> curve = Curve(np.random.default_rng(0).normal(size=(1, 1, 20, 20)), step=2, extra=2)
    >>> curve.cost(4), curve.error(2) > curve.error(4)
    (162, True)
    """

    def __init__(self, weights: npt.NDArray, *, step: int, extra: int | Callable, used: Callable | None = None,
                 bytes_each: int | None = None, rounding: float | None = None):  # fmt: skip
        t, s, n, m = weights.shape
        self.neurons, self.size = t * n + s * m, weights.size
        self.take(step, extra, used)
        self.gain, self.effect, self.unit = GAIN, 1.0, bytes_each or 1
        self.rounded = None if rounding is None or bytes_each is None else (weights.size + n * bytes_each, rounding)
        values = singular_values(weights) ** 2
        total = float(values.sum())
        # tails[r] is the share of |W|^2 beyond rank r
        self.tails = np.append(values[::-1].cumsum()[::-1], 0.0) / (total or 1.0)

    def take(self, step: int, extra: int | Callable, used: Callable | None = None) -> None:
        """Set what q is a multiple of, the further numbers, and how many of q are used."""
        self.step, self.extra = step, extra if callable(extra) else lambda q: extra
        self.used = used or (lambda q: q)

    @property
    def whole(self) -> int:
        """What the weights cost."""
        return self.size * self.unit

    def cost(self, q: int) -> int:
        """Numbers, or bytes, of q per neuron; never more than those of the weights, which are kept then."""
        if q == EIGHT_BITS:
            return self.rounded[0]
        return min(self.used(q) * self.neurons + self.extra(q), self.size) * self.unit

    def kept(self, q: int) -> bool:
        """Whether particles would be no smaller than the weights."""
        return q != EIGHT_BITS and self.used(q) * self.neurons + self.extra(q) >= self.size

    def error(self, q: int) -> float:
        """Predicted share of |W|^2; 0 where the weights are kept."""
        if q == EIGHT_BITS:
            return self.rounded[1]
        return (
            0.0 if self.kept(q) else float(np.interp(self.gain * self.used(q), np.arange(len(self.tails)), self.tails))
        )

    def noise(self, q: int) -> float:
        """Predicted noise against signal, weighted by the layer's effect."""
        error = self.error(q)
        return self.effect * error / max(1 - error, 1e-3)

    def choices(self) -> list[tuple[int, float, int]]:
        """(cost, noise, q) of all q, ordered, and of 8 bits, without what costs as much as another with less noise."""
        values = [self.step]
        while not self.kept(values[-1]):
            values.append(values[-1] + self.step)
        values += [] if self.rounded is None or self.rounded[0] >= self.whole else [EIGHT_BITS]
        found = []
        for cost, noise, q in sorted((self.cost(q), self.noise(q), q) for q in values):
            if not found or noise < found[-1][1]:
                found.append((cost, noise, q))
        return found

    def measured(self, q: int, error: float) -> float:
        """The gain with which the predicted error for q is the one that a fit left."""
        equal = float(np.interp(-error, -self.tails, np.arange(len(self.tails))))  # the rank with this error
        return float(np.clip(equal / q, 0.5, 3.0))


def allocate(curves: Sequence[Curve], budget: float) -> list[int]:
    """Return q for every curve, such that all together cost at most `budget` times what all weights do.

    Steps along the lower convex hulls of the choices, always where the noise falls most for what it costs, are the
    optimum of Lagrange. A layer whose next step is too dear takes the best choice that can still be paid.

    Raises
    ------
    ValueError
        If the budget is below what the cheapest choices cost.
    """
    choices = [curve.choices() for curve in curves]
    hulls = [_hull(points) for points in choices]
    limit = budget * sum(curve.whole for curve in curves)
    spent = sum(hull[0][0] for hull in hulls)
    if spent > limit:
        least = math.ceil(1000 * spent / sum(curve.whole for curve in curves)) / 1000
        raise refusal("budget", budget, f"at least {least:.3f}, of which all layers have their smallest form")
    chosen, places = [hull[0] for hull in hulls], [0] * len(hulls)
    queue = [(-_slope(hull, 0), k) for k, hull in enumerate(hulls) if len(hull) > 1]
    heapq.heapify(queue)
    while queue:
        _, k = heapq.heappop(queue)
        before, after = chosen[k][0], hulls[k][places[k] + 1]
        if spent - before + after[0] > limit:
            chosen[k] = [point for point in choices[k] if spent - before + point[0] <= limit][-1]
            spent += chosen[k][0] - before
            continue
        chosen[k], spent, places[k] = after, spent - before + after[0], places[k] + 1
        if places[k] + 1 < len(hulls[k]):
            heapq.heappush(queue, (-_slope(hulls[k], places[k]), k))
    return [q for _, _, q in chosen]


def _hull(points):
    """The lower convex hull of points whose noise falls with the cost."""
    hull = []
    for point in points:
        while len(hull) > 1 and _slope([hull[-2], hull[-1]], 0) <= _slope([hull[-2], point], 0):
            hull.pop()
        hull.append(point)
    return hull


def _slope(points, k):
    (cost, noise, _), (higher, lower, _) = points[k], points[k + 1]
    return (noise - lower) / (higher - cost)


def singular_values(weights):
    """Singular values of the (T n, S m) matrix of weights (T, S, n, m), in float64."""
    t, s, n, m = weights.shape
    flat = weights.transpose(0, 2, 1, 3).reshape(t * n, s * m)
    unit = np.abs(flat).max(initial=0.0) or flat.dtype.type(1)  # whose square may be no number
    flat = flat / unit
    small = flat @ flat.T if t * n <= s * m else flat.T @ flat
    return float(unit) * np.sqrt(np.clip(np.linalg.eigvalsh(small.astype(np.float64))[::-1], 0, None))


def plan_budget(todo, budget, copies, rank, kernels, sets, fits, *, currency="floats", effects: Callable | None = None):
    """{name: (copies, dim, rank, kernels)}: shares by singular values, forms by short fits, shares again by both.

    In place of a form stands `KEPT` where the weights are kept, and `EIGHT_BITS` where they are in 8 bits. `effects`
    returns the effects on the answers of weights that are replaced, {name: (entry, weights)}. {} if the caller stopped
    the fits.
    """
    curves = {}
    for entry in todo:
        step, extra, used = _steps(entry, copies, sets)
        each = entry.parameter.element_size() if currency == "bytes" else None
        # The row of an embedding's padding keeps its numbers, which 8 bits would not.
        left = None if each is None or entry.padding is not None else rounding(entry.layout, entry.parameter)
        curves[entry.name] = Curve(entry.weights, step=step, extra=extra, used=used, bytes_each=each, rounding=left)
    first = dict(zip(curves, allocate(list(curves.values()), budget), strict=True))
    if effects is not None and not all(curves[name].kept(q) for name, q in first.items()):
        measure_effects(todo, curves, first, effects)
        first = dict(zip(curves, allocate(list(curves.values()), budget), strict=True))
    shares = LOW_RANK if rank is None and copies is not None else (0.0,)
    trials = []
    for entry in todo:
        q = first[entry.name]
        if q != EIGHT_BITS and not curves[entry.name].kept(q):
            forms = _forms(entry, q, shares, copies, sets, rank)
            trials += [(entry, form, kernel) for form in forms for kernel in kernels]
    fits.total = len(trials) + len(todo)
    best = {}
    for entry, form, kernel in trials:
        if fits.stopped:
            return {}
        fitted, _ = fits(entry, (*form.sizes, kernels), kernel, trial=True)
        # Forms differ a little in how many of the q numbers they use, so their gains are compared, not their errors.
        gain = curves[entry.name].measured(_numbers(entry, form.sizes, sets), fitted.error)
        if entry.name not in best or (gain, -fitted.error) > best[entry.name][:2]:
            best[entry.name] = gain, -fitted.error, form, kernel
    for entry in todo:
        if entry.name in best:
            gain, _, form, _ = best[entry.name]
            curves[entry.name].gain = gain
            if copies is not None:
                curves[entry.name].take(*_steps(entry, [form.copies], sets))
    last = dict(zip(curves, allocate(list(curves.values()), budget), strict=True))
    plan = {}
    for entry in todo:
        q = last[entry.name]
        if curves[entry.name].kept(q):
            plan[entry.name] = KEPT
            continue
        *_, form, kernel = best.get(entry.name, (_Form(copies and copies[0], 0.0), kernels[0]))
        if q == EIGHT_BITS:
            plan[entry.name] = EIGHT_BITS
        else:
            (form,) = _forms(entry, q, [form.share], copies and [form.copies], sets, rank)
            plan[entry.name] = (*form.sizes, [kernel])
    return plan


def measure_effects(todo, curves, chosen, effects):
    """Set the curves' effects: of what a truncated SVD leaves of each weight, for each unit of its noise."""
    changed = {}
    for entry in todo:
        weights, curve = entry.weights, curves[entry.name]
        full = len(curve.tails) - 1
        if full > 1:
            rank = round(curve.gain * (chosen[entry.name] or full))
            rank = min(max(rank, 1), max(1, int(0.9 * full)))
            changed[entry.name] = entry, low_rank(*singular_factors(weights, rank)).astype(weights.dtype)
    measured, found = effects(changed), {}
    for name, (entry, replacement) in changed.items():
        weights = entry.weights.astype(np.float64)
        error = float(np.sum(np.square(replacement - weights)) / (np.sum(np.square(weights)) or 1.0))
        effect = measured[name] * (1 - error) / error if error else 0.0
        if np.isfinite(effect) and effect > 0:
            found[name] = effect**POWER
    middle = float(np.median(list(found.values()))) if found else 1.0
    for name, curve in curves.items():
        curve.effect = found.get(name, middle)


def balanced(q: int) -> tuple[int, int]:
    """(copies, dim) for q numbers, with copies four times the dimension, or twice to eight times.

    Fits of trained layers (full ones, and 3 x 3 convolutions) with 12 to 122 numbers a neuron left a tenth to a half
    less with 4 to 24 copies than with two, and little changed among those. An even number of copies can be solved for
    in groups, and half have positive lambda. Not all numbers are used where they do not fit such a form.

    Examples
    --------
    >>> [balanced(q) for q in (2, 12, 24, 48, 120, 280)]
    [(2, 1), (6, 2), (8, 3), (12, 4), (20, 6), (28, 10)]
    """
    middle = math.ceil(math.sqrt(q) / 2)
    first, *others = ((q // dim // 2 * 2, dim) for dim in (middle, middle + 1, max(1, middle - 1)))
    sizes = [first, *((copies, dim) for copies, dim in others if 2 * dim <= copies <= 8 * dim)]
    return max(sizes, key=lambda size: size[0] * size[1])


def _steps(entry, copies, sets):
    """What q is a multiple of, how many lambdas there are for a q, and how many of its numbers are used.

    Of several copies the fewest leave the most choice; lambdas are counted for the most, so that every form fits.
    """
    t, s, *_ = entry.shape
    halves = 2 if sets_of(entry, sets) == "full" else 1
    if copies is None:
        return (
            2 * halves,
            lambda q: t * s * halves * balanced(q // halves)[0],
            lambda q: halves * math.prod(balanced(q // halves)),
        )
    return copies[0] * halves, t * s * copies[-1] * halves, None


@dataclass(frozen=True)
class _Form:
    """Copies, the share of the numbers meant for a low-rank part, and the (copies, dim, rank) that came of it."""

    copies: int | None
    share: float
    sizes: tuple = ()


def _forms(entry, q, shares, copies, sets, rank):
    """The forms of q numbers a neuron; what dims do not take goes to a low-rank part, unless a rank is given."""
    halves = 2 if sets_of(entry, sets) == "full" else 1
    if copies is None:
        return [_Form(None, 0.0, (*balanced(q // halves), 0))]
    found = {}
    for number in copies:
        unit = number * halves
        for share in shares:
            dim = min(max(1, round(q * (1 - share) / unit)), q // unit)
            if dim:
                sizes = (number, dim, q - dim * unit if rank is None else 0)
                found.setdefault(sizes, _Form(number, share, sizes))
    return list(found.values())


def _numbers(entry, sizes, sets):
    """Numbers that each neuron has in a form of these (copies, dim, rank)."""
    copies, dim, rank = sizes
    return copies * dim * (2 if sets_of(entry, sets) == "full" else 1) + rank


def floats_of(entry, form, sets):
    """Numbers that a layer has in a form (copies, dim, rank, ...)."""
    t, s, n, m = entry.shape
    copies, dim, rank, _ = form
    halves = 2 if sets_of(entry, sets) == "full" else 1
    return halves * copies * (dim * (s * m + t * n) + t * s) + rank * (s * m + t * n)


def sets_of(entry, sets):
    """A weight's sets: `sets` where it has a window, and half sets where there is one place on both sides."""
    return sets if entry.shape[:2] != (1, 1) else "half"
