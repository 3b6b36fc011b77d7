"""Products on a line with 1 / r, as a sum of exponentials with a bound of its error."""

from __future__ import annotations

import math

import numpy as np

from dynsim._check import as_number

from ._exponential import ExponentialProduct


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

    def __init__(self, sources, targets, scale=1.0, error=1e-6):
        if not 1e-12 <= as_number(error, "error") <= 0.1:
            raise ValueError(f"error: got {error}; expected a number from 1e-12 to 0.1.")
        # The base checks and sorts the places, which say what the exponentials have to be.
        super().__init__(sources, targets, [1.0], [1.0], meeting=False)
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
