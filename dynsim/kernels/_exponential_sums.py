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
from ._sorted_sums import Side

GROUPS = 4  # parts in which the exponentials are summed
COLUMNS = 32  # right-hand sides that share the factors of a gap


class ExponentialProduct:
    """The pairs of m sources and n targets on a line under phi(r) = sum_k weights_k exp(-rates_k r).

    A product costs O((m + n) K), an exponential for each neuron and each of K terms; it pays from about a thousand
    neurons when K is 1.

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

    error = 0.0

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
    say what the distances are. A product costs O((m + n) K) with K about (log(largest / smallest) + 2 log(1 / error)) /
    h terms, 40 to 100. Pairs at the same place, where 1 / r is infinite, are left out.

    Parameters
    ----------
    sources : array_like, (m, 1)
    targets : array_like, (n, 1)
    scale : float
        c of the kernel.
    error : float
        Relative error of a pair at most, between 1e-12 and 0.1. `error` of the product says what is guaranteed.

    Raises
    ------
    ValueError, TypeError
        As `ExponentialProduct`; or if the error is out of range.

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
        self.rates, weights, self.error = inverse_as_exponentials(nearest, farthest, error)
        self.weights = as_number(scale, "scale") * weights


def inverse_as_exponentials(nearest, farthest, error):
    """Rates, weights and the bound of the relative error of 1 / r = sum_k w_k exp(-s_k r), nearest <= r <= farthest.

    Examples
    --------
    >>> rates, weights, bound = inverse_as_exponentials(0.1, 10.0, 1e-6)
    >>> bool(abs(np.sum(weights * np.exp(-rates)) - 1) < bound < 1e-6)
    True
    """
    step = 2.0
    while _rule_error(step) > error / 3:
        step *= 0.98
    low = math.log(error / 4 / farthest)
    high = math.log(math.log(4 / error) / nearest)
    count = math.ceil((high - low) / step) + 1
    u = low + step * np.arange(count)
    # What the rule leaves out at the ends is a sum, larger than the integral by at most a factor of its step.
    ends = step / -math.expm1(-step) * farthest * math.exp(low - step)
    beyond = nearest * math.exp(u[-1] + step)
    ends += step * beyond * math.exp(-beyond) / -math.expm1(step - beyond * math.expm1(step))
    return np.exp(u), step * np.exp(u), _rule_error(step) + ends


def _rule_error(step):
    """2 sum_n |Gamma(1 + i y n)|, y = 2 pi / step, |Gamma(1 + i y)|^2 = pi y / sinh(pi y); terms fall geometrically."""
    y = [2 * math.pi * n / step for n in (1, 2, 3)]
    return 2.01 * sum(math.sqrt(math.pi * value / math.sinh(min(math.pi * value, 700.0))) for value in y)


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
