"""How many numbers each layer gets under a common budget: where an error falls fastest for a number more.

A layer's error is predicted from its singular values: particles with q = H d + rank numbers a neuron leave what a
truncated SVD of rank `gain` q leaves. The gain is measured layer by layer with short fits.

What counts is noise against signal: a fit by least squares that leaves the share e of |W|^2 has the share 1 - e as its
signal, so a layer costs e / (1 - e). The sum of e itself would give up layers whose weights are hard to fit.
"""

from __future__ import annotations

import heapq

import numpy as np

GAIN = 1.2  # before anything is measured


class Curve:
    """Error of one layer as a function of q, the numbers that each of its neurons has.

    Parameters
    ----------
    weights : ndarray (T, S, n, m)
    step : int
        q is a multiple of it (the copies).
    extra : int
        Numbers besides: lambdas.
    importance : float
        The layer's error counts so much.

    Examples
    --------
    >>> curve = Curve(np.random.default_rng(0).normal(size=(1, 1, 20, 20)), 2, 2)
    >>> curve.floats(4), curve.error(2) > curve.error(4)
    (162, True)
    """

    def __init__(self, weights, step, extra, importance=1.0):
        t, s, n, m = weights.shape
        self.neurons, self.size, self.step, self.extra = t * n + s * m, weights.size, step, extra
        self.importance, self.gain = importance, GAIN
        values = singular_values(weights) ** 2
        total = float(values.sum())
        # tails[r] is the share of |W|^2 beyond rank r
        self.tails = np.append(values[::-1].cumsum()[::-1], 0.0) / (total or 1.0)

    def floats(self, q):
        """Numbers of q per neuron; never more than the weights are, which are kept then."""
        return min(q * self.neurons + self.extra, self.size)

    def kept(self, q):
        """Whether particles would be no smaller than the weights."""
        return q * self.neurons + self.extra >= self.size

    def error(self, q):
        """Predicted share of |W|^2; 0 where the weights are kept."""
        return 0.0 if self.kept(q) else float(np.interp(self.gain * q, np.arange(len(self.tails)), self.tails))

    def measured(self, q, error):
        """Take over what a fit with q left."""
        equal = float(np.interp(-error, -self.tails, np.arange(len(self.tails))))  # the rank with this error
        self.gain = float(np.clip(equal / q, 0.5, 3.0))


def allocate(curves, budget):
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
        raise ValueError(f"budget: got {budget}; expected at least {least:.3f}, one axis for each copy of a neuron.")
    queue = [(-_slope(curve, q), k) for k, (curve, q) in enumerate(zip(curves, chosen, strict=True))]
    heapq.heapify(queue)
    while queue:
        _, k = heapq.heappop(queue)
        curve, q = curves[k], chosen[k]
        if curve.kept(q):
            continue
        cost = curve.floats(q + curve.step) - curve.floats(q)
        if spent + cost > limit:
            continue  # this layer has come to its end; cheaper ones may go on
        chosen[k], spent = q + curve.step, spent + cost
        heapq.heappush(queue, (-_slope(curve, chosen[k]), k))
    return chosen


def singular_values(weights):
    """Of the (T n, S m) matrix of weights (T, S, n, m), in float64."""
    t, s, n, m = weights.shape
    flat = weights.transpose(0, 2, 1, 3).reshape(t * n, s * m)
    small = flat @ flat.T if t * n <= s * m else flat.T @ flat
    return np.sqrt(np.clip(np.linalg.eigvalsh(small.astype(np.float64))[::-1], 0, None))


def _slope(curve, q):
    cost = curve.floats(q + curve.step) - curve.floats(q)
    noises = [_noise(curve.error(k)) for k in (q, q + curve.step)]
    return curve.importance * (noises[0] - noises[1]) / cost if cost else 0.0


def _noise(error):
    return error / max(1 - error, 1e-3)
