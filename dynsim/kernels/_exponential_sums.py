"""Products on a line with sums of exponentials: exact, by recursions over the sorted neurons; 1 / r is such a sum.

For phi(r) = sum_k w_k exp(-s_k r), with L_j the sum over the sources at or below source j, and R_j over those above::

    L_j = x_j + exp(-s (q_j - q_{j-1})) L_{j-1}         R_j = exp(-s (q_{j+1} - q_j)) (x_{j+1} + R_{j+1})
    y_o = sum_k w_k (exp(-s_k (q_o - q_p)) L_p + exp(-s_k (q_{p+1} - q_o)) (x_{p+1} + R_{p+1}))

with p the last source at or below q_o. Every factor is at most 1: nothing overflows, however large a gap. In more than
one dimension exp(-|v|_1) is a product over the axes of terms that each depend on whether a source lies below or above;
the sum over sources does not split into sums along axes, and there is no such recursion.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
from numba import njit, prange

from dynsim._check import as_array, as_flag, as_number, as_signals, refusal

from ._compilation import launch
from ._sorted_sides import EPS, Side

GROUPS = 4  # parts in which the exponentials are summed
COLUMNS = 32  # right-hand sides that share the factors of a gap
CLOSEST, FARTHEST = 1e-150, 1e150  # distances of which 1 / r^2 is a number


class ExponentialProduct:
    """The pairs of m sources and n targets on a line under phi(r) = sum_k weights_k exp(-rates_k r).

    A product costs O((m + n) K), an exponential for each neuron and each of K terms; it pays from about a thousand
    neurons when K is 1. `error` bounds the rounding, of results in the type of the places: that of `forward` relative
    to sum_k |w_k| sum_i |x_i|, that of `forces` to sum_k |w_k| s_k sum_i |x_i| |y_o|. The sums may cancel; relative to
    what is left the error is larger.

    Parameters
    ----------
    sources : array_like, (m, 1)
    targets : array_like, (n, 1)
    rates : array_like, (K,)
        s > 0, in units of one over the places'.
    weights : array_like, (K,)
        w.
    meeting : bool
        Count pairs at the same place, with phi(0) (default), or leave them out.

    Raises
    ------
    ValueError, TypeError
        If shapes do not fit, a number is not finite, a rate is not positive or the places have more than one axis.

    Examples
    --------
    >>> product = ExponentialProduct([[0.0], [2.0]], [[1.0]], rates=[1.0], weights=[1.0])
    >>> product.forward([1.0, 1.0]).round(4)
    array([0.7358])
    """

    def __init__(
        self,
        sources: npt.ArrayLike,
        targets: npt.ArrayLike,
        *,
        rates: npt.ArrayLike,
        weights: npt.ArrayLike,
        meeting: bool = True,
    ):
        sources, targets = as_array(sources, "sources", ("m", "d")), as_array(targets, "targets", ("n", "d"))
        if sources.shape[1] != 1 or targets.shape[1] != 1:
            raise refusal(
                "places",
                f"{sources.shape[1]} and {targets.shape[1]} dimensions",
                "1 for sums of exponentials",
                "with more, exp(-|v|) does not split into a term for each axis: use tiled",
            )
        self.rates = as_array(rates, "rates", ("K",), dtype=np.float64)
        self.weights = as_array(weights, "weights", (len(self.rates),), dtype=np.float64)
        if np.any(self.rates <= 0):
            raise refusal("rates", f"{self.rates.min():g}", "positive numbers")
        self.dtype, self.meeting = np.result_type(sources, targets), as_flag(meeting, "meeting")
        self._sources, self._targets = Side(sources), Side(targets)
        self._targets.rank(self._sources)
        self._sources.rank(self._targets)
        self.error = self._rounding(len(self.rates))

    def _rounding(self, terms):
        """Bound of the rounding, relative to the sum of the absolute terms.

        A step of a recursion rounds by at most 2 eps: exp (1), a product and a sum (1/2 each). A factor's exponent has
        a relative error of eps; over all steps from i to o that is eps s r exp(-s r) < eps / 2 (forces: s r exp(-s r)
        times s). Weights, the factor at the end and the sums over terms and columns follow, and the result's own type.
        """
        steps = max(self._sources.count, self._targets.count)
        return EPS * (2 * steps + terms + 40) + 0.5 * float(np.finfo(self.dtype).eps)

    def __repr__(self):
        n, m = self.shape
        return (
            f"{type(self).__name__}({m} sources, {n} targets, {len(self.rates)} terms, relative error {self.error:.1e})"
        )

    @property
    def shape(self):
        """(n, m), as of the matrix that is not there."""
        return self._targets.count, self._sources.count

    def forward(self, x):
        """y_o = sum_i phi(|q_o - q_i|) x_i for x (m,) or (m, s); returns (n,) or (n, s)."""
        return self._product(self._sources, self._targets, x, "x")

    def transposed(self, y):
        """x_i = sum_o phi(|q_o - q_i|) y_o for y (n,) or (n, s); the gradient in x is this of the gradient in y."""
        return self._product(self._targets, self._sources, y, "y")

    def forces(self, x, y):
        """Gradients of sum_oi y_o . x_i phi in the sources' (m, 1) and targets' places (n, 1).

        Of two neurons at one place it is taken as 0, the middle of its two sides.
        """
        x = as_signals(x, "x", self._sources.count)
        y = as_signals(y, "y", self._targets.count, x.shape[1:])
        dtype = np.result_type(self.dtype, x, y)
        slopes = -self.rates * self.weights
        found = []
        for own, other, signal, mine in ((self._sources, self._targets, y, x), (self._targets, self._sources, x, y)):
            field = _sums(other, own, signal, self.rates, slopes, own.less, -1.0)
            found.append((field * mine.reshape(field.shape)).sum(axis=1, keepdims=True).astype(dtype, copy=False))
        return tuple(found)

    def _product(self, sources, targets, x, name):
        x = as_signals(x, name, sources.count)
        counted = targets.upto if self.meeting else targets.less
        y = _sums(sources, targets, x, self.rates, self.weights, counted, 1.0)
        return y.reshape(targets.count, *x.shape[1:]).astype(np.result_type(self.dtype, x), copy=False)


class InverseProduct(ExponentialProduct):
    """The pairs of m sources and n targets on a line under phi = scale / r, to a stated relative error of each pair.

    1 / r = int exp(u - r e^u) du over the real line, by the trapezoidal rule of step h between two ends (Beylkin &
    Monzón, 2010). Of every pair the relative error is below 2 sum_n |Gamma(1 + 2 pi i n / h)| (the rule), plus
    e^(lowest u) times the largest distance, plus exp(-e^(highest u) times the smallest distance) (the ends). The places
    say what the distances are. Step and ends are such that the slope, -1 / r^2, is as exact. A product costs
    O((m + n) K) with K about (log(largest / smallest) + 2 log(1 / error)) / h terms, 40 to 100. Pairs at the same
    place, where 1 / r is infinite, are left out.

    `error` bounds all that is wrong with results in the type of the places, rounding included: that of `forward`
    relative to sum_i |x_i| |scale| / r, that of `forces` to sum_i |x_i| |y_o| |scale| / r^2. The sums may cancel;
    relative to what is left the error is larger.

    Parameters
    ----------
    sources : array_like, (m, 1)
    targets : array_like, (n, 1)
    scale : float
        c of the kernel.
    error : float
        What `error` may be at most, between 1e-12 and 0.1; rounding is at least 6e-8 in float32.

    Raises
    ------
    ValueError, TypeError
        As `ExponentialProduct`; or if the error is out of range, or less than the rounding; or if two places are closer
        than 1e-150 or farther apart than 1e150.

    Examples
    --------
    >>> product = InverseProduct([[0.0], [3.0]], [[1.0]])
    >>> product.forward([1.0, 4.0]).round(5), product.error < 1e-6
    (array([3.]), True)
    """

    def __init__(self, sources: npt.ArrayLike, targets: npt.ArrayLike, *, scale: float = 1.0, error: float = 1e-6):
        if not 1e-12 <= as_number(error, "error") <= 0.1:
            raise refusal("error", error, "a number from 1e-12 to 0.1")
        # The base checks and sorts the places, which say what the exponentials have to be.
        super().__init__(sources, targets, rates=[1.0], weights=[1.0], meeting=False)
        nearest, farthest = _distances(self._sources.sorted[0], self._targets.sorted[0])
        if nearest < CLOSEST or not farthest <= FARTHEST:
            got = f"distances from {nearest:.1e} to {farthest:.1e}"
            raise refusal("places", got, f"{CLOSEST:g} to {FARTHEST:g}", "measure them in another unit")
        rounding = self._rounding(2 * len(inverse_as_exponentials(nearest, farthest, error)[0]))
        # The nodes u are rounded, and with them the rates, by |u| eps; four times that in the slope.
        rounding += 4 * EPS * (8 + max(abs(math.log(nearest)), abs(math.log(farthest))) - math.log(error))
        if error <= 1.01 * rounding:
            do = "give the places as float64" if self.dtype == np.float32 else "expect less"
            least = f"at least {1.02 * rounding:.1e}, more than the rounding of {self.dtype} sums over so many places"
            raise refusal("error", f"{error:g}", least, do)
        self.rates, weights, formula = inverse_as_exponentials(nearest, farthest, error - rounding)
        self.weights, self.error = as_number(scale, "scale") * weights, formula + rounding


def inverse_as_exponentials(nearest, farthest, error):
    """Rates, weights and the bound of the relative error of 1 / r = sum_k w_k exp(-s_k r), nearest <= r <= farthest.

    It is also that of the slope, -1 / r^2 = -sum_k w_k s_k exp(-s_k r).

    Examples
    --------
    >>> rates, weights, bound = inverse_as_exponentials(0.1, 10.0, 1e-6)
    >>> bool(abs(np.sum(weights * np.exp(-rates)) - 1) < bound < 1e-6)
    True
    >>> bool(abs(np.sum(weights * rates * np.exp(-rates)) - 1) < bound)
    True
    """
    step = 2.0
    while _rule_error(step) > error / 3:
        step *= 0.98
    low = math.log(error / 4 / farthest)
    high = math.log(math.log(4 / error) / nearest)
    count = math.ceil((high - low) / step) + 1
    while (bound := _rule_error(step) + _ends_error(step, low, count, nearest, farthest)) > error:
        count += 1
    u = low + step * np.arange(count)
    return np.exp(u), step * np.exp(u), bound


def _ends_error(step, low, count, nearest, farthest):
    """What the rule leaves out at the ends, relative to 1 / r and to 1 / r^2: sums of terms that fall geometrically."""
    first = farthest * math.exp(low - step)
    beyond = nearest * math.exp(low + step * count)
    ends = []
    for power in (1, 2):
        below = step * first**power / -math.expm1(-power * step)
        ratio = power * step - beyond * math.expm1(step)
        above = step * beyond**power * math.exp(-beyond) / -math.expm1(ratio) if ratio < 0 else math.inf
        ends.append(below + above)
    return max(ends)


def _rule_error(step):
    """2 sum_n |Gamma(2 + i y n)|, y = 2 pi / step: that of the slope, larger than that of 1 / r by |1 + i y n|.

    |Gamma(1 + i y)|^2 = pi y / sinh(pi y); the terms fall geometrically.
    """
    y = [2 * math.pi * n / step for n in (1, 2, 3)]
    return 2.01 * sum(math.hypot(1, v) * math.sqrt(math.pi * v / math.sinh(min(math.pi * v, 700.0))) for v in y)


def _distances(sources, targets):
    """Smallest distance above 0 and largest one between two sorted arrays; (1, 1) where there is none."""
    if not len(sources) or not len(targets):
        return 1.0, 1.0
    farthest = max(abs(sources[-1] - targets[0]), abs(targets[-1] - sources[0]))
    nearest = farthest
    for side in ("left", "right"):
        found = np.searchsorted(sources, targets, side)
        for index in (found - 1, found):
            inside = (index >= 0) & (index < len(sources))
            gaps = np.abs(targets[inside] - sources[index[inside]])
            nearest = min(nearest, gaps[gaps > 0].min(initial=np.inf))
    return (float(nearest), float(farthest)) if farthest > 0 else (1.0, 1.0)


def _sums(sources, targets, x, rates, weights, counted, sign):
    """sum_k w_k (L + sign R) for every target (n, s): L over the first `counted` sources, R over those above."""
    x = x[:, None] if x.ndim == 1 else x
    parts = np.zeros((GROUPS, targets.count, x.shape[1]))
    work = 20 * len(rates) * (sources.count + targets.count) * x.shape[1]
    launch(_sum_exponentials, work, sources.order[0], sources.sorted[0], targets.order[0], targets.sorted[0],
           counted[0], targets.upto[0], x, rates, weights, sign, parts)  # fmt: skip
    return parts.sum(axis=0)


@njit(cache=True, parallel=True)
def _sum_exponentials(order, places, target_order, target_places, counted, upto, x, rates, weights, sign, parts):
    groups, n, columns = parts.shape
    m, blocks = len(order), (columns + COLUMNS - 1) // COLUMNS
    for task in prange(groups * blocks):
        g, first = task // blocks, task % blocks * COLUMNS
        width = min(COLUMNS, columns - first)
        total = np.empty(width)
        for k in range(len(rates) * g // groups, len(rates) * (g + 1) // groups):
            rate, weight = rates[k], weights[k]
            total[:] = 0.0
            j, last = 0, 0.0
            for i in range(n):
                while j < counted[i]:
                    factor = math.exp(-rate * (places[j] - last)) if j > 0 else 0.0
                    for c in range(width):
                        total[c] = total[c] * factor + x[order[j], first + c]
                    last = places[j]
                    j += 1
                if j > 0:
                    factor = weight * math.exp(-rate * (target_places[i] - last))
                    for c in range(width):
                        parts[g, target_order[i], first + c] += factor * total[c]
            total[:] = 0.0
            j = m
            for i in range(n - 1, -1, -1):
                while j > upto[i]:
                    j -= 1
                    factor = math.exp(-rate * (last - places[j])) if j < m - 1 else 0.0
                    for c in range(width):
                        total[c] = total[c] * factor + x[order[j], first + c]
                    last = places[j]
                if j < m:
                    factor = sign * weight * math.exp(-rate * (last - target_places[i]))
                    for c in range(width):
                        parts[g, target_order[i], first + c] += factor * total[c]
