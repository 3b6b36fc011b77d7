"""Sums over all pairs to a stated accuracy, in about N log N, for kernels of l2 distances in up to three dimensions.

The targets of a leaf are acted on by ranges of one array, which holds the sources in the order of their tree and after
them the points of its clusters; ranges are summed by the loops of every pair sum. A leaf belongs to one thread and
meets its ranges in a fixed order: the same bits on any number of threads.
"""

from __future__ import annotations

import math
from functools import cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from numba import njit, prange

from dynsim._check import as_array, as_flag, as_instance, as_number, as_signals, refusal

from ._block import constants, specialisation
from ._cluster_tree import build_tree, interpolation_points, moments, moved_tree, ranges_of_leaves
from ._compilation import MATH, launch
from ._kernel import Kernel
from ._written_loops import add_others, forces_text, pull_others, sums_text, targets_together

DEGREES = range(2, 15)
OPENING = 0.65  # the radii of a cluster and a leaf of targets together, over the distance of their centres
LEAF = 1  # neurons of a leaf, in interpolation points of a cluster
FEW = 4  # signals that are summed side by side in registers
LONG_RANGE = 2048  # sources that are summed in the working precision
SAMPLE = 512  # targets whose sums are also computed directly
SAFETY = 2.0  # what an error may be that the sample does not show in full
# The error of degree n is about FIRST / GAIN^n for neurons spread evenly, with strengths of both signs, under 1/r.
FIRST, GAIN = 0.14, 5.5
WORTH = 0.5  # of all pairs: a tree that needs more saves nothing worth its making
LEAST_ACCURACY = 1e-12


class TreeReport(NamedTuple):
    """What a tree did: the relative error, estimated on a sample of targets; the degree; pairs for each target.

    Where all pairs were summed the error is 0 and the degree None.
    """

    error: float
    degree: int | None
    pairs: float


class TreeProduct:
    """Sums over all sources of a set of places, by a tree: y_i = sum_j x_j phi(q_j, p_i), and their forces.

    The error is the root mean square over all targets, relative to that of the results. It is estimated by summing
    directly for the targets with the largest results and for some drawn at random; the degree of interpolation is
    raised until the estimate is below half the accuracy. Where no tree reaches it, or none would save anything, all
    pairs are summed.

    Parameters
    ----------
    kernel : Kernel
        Of l2 distances.
    sources : array_like, (n, d)
        d at most 3.
    targets : array_like, (m, d)
    accuracy : float
        1e-12 or more, and below 1.
    exclude_self : bool
        Leave out pairs i == j; needs m == n.

    Attributes
    ----------
    report : TreeReport or None
        Of the last sum: its estimated error, the degree and the pairs for each target; of many signals, which are
        summed four at a time, those with the largest error.

    Raises
    ------
    ValueError, TypeError
        If a shape does not fit, the kernel or the dimension has no tree, or the accuracy is out of range.

    References
    ----------
    Wang, Tlupova & Krasny, "A kernel-independent treecode based on barycentric Lagrange interpolation", 2020.

    Examples
    --------
    >>> import numpy as np
    >>> from dynsim.kernels import Kernel, pair_sum
    >>> q = np.random.default_rng(0).normal(size=(4000, 2))
    >>> product = TreeProduct(Kernel(softening=0.1), q, q, accuracy=1e-4, exclude_self=True)
    >>> y = product.forward(np.ones(4000))
    >>> exact = pair_sum(Kernel(softening=0.1), q, q, np.ones(4000), exclude_self=True)
    >>> bool(np.linalg.norm(y - exact) < 1e-4 * np.linalg.norm(exact)), product.report.error < 1e-4
    (True, True)
    """

    def __init__(
        self,
        kernel: Kernel,
        sources: npt.ArrayLike,
        targets: npt.ArrayLike,
        *,
        accuracy: float,
        exclude_self: bool = False,
    ):
        self.kernel, self.own = as_instance(kernel, Kernel, "kernel"), as_flag(exclude_self, "exclude_self")
        self.accuracy = expect_accuracy(accuracy)
        sources = as_array(sources, "sources", ("n", "d"))
        targets = as_array(targets, "targets", (len(sources) if self.own else "m", sources.shape[1]))
        if not has_tree(kernel, sources.shape[1]):
            wanted = "a kernel of l2 distances in 1 to 3 dimensions"
            raise refusal("accuracy", f"one for {kernel} in {sources.shape[1]} dimensions", wanted)
        self.dtype = np.result_type(sources, targets)
        middle = sources.mean(axis=0, dtype=np.float64) if len(sources) else 0.0  # far from 0, differences are rounded
        self.sources, self.targets = sources - middle, targets - middle
        self.report, self._planted = None, None

    def forward(self, x: npt.ArrayLike) -> npt.NDArray:
        """Return y, (m,) or (m, s), for x (n,) or (n, s)."""
        x = as_signals(x, "x", len(self.sources))
        dtype = np.result_type(self.dtype, x)
        columns, self.report = _columns(x), None
        parts = [self._sum(columns[:, start : start + FEW], None, dtype) for start in range(0, columns.shape[1], FEW)]
        out = np.concatenate(parts, axis=1) if parts else np.zeros((len(self.targets), 0), dtype)
        return out.reshape(len(out), *x.shape[1:])

    def forces(self, x: npt.ArrayLike, y: npt.ArrayLike) -> npt.NDArray:
        """Return the gradient of sum_ij y_i . x_j phi in the targets' places, (m, d), for x (n,) or (n, s), y alike."""
        x = as_signals(x, "x", len(self.sources))
        y = as_signals(y, "y", len(self.targets), x.shape[1:])
        dtype = np.result_type(self.dtype, x, y)
        given, taken = _columns(x), _columns(y)
        self.report = None
        if 0 < given.shape[1] <= FEW:
            return self._sum(given, taken, dtype)
        return self._all_pairs(given, taken, dtype)

    def _sum(self, given, taken, dtype):
        """Sums of up to FEW signals, or forces where targets have signals `taken`."""
        degree = first_degree(self.accuracy)
        while degree in DEGREES and len(self.sources) and len(self.targets):
            ranges = self._plant(degree)
            starts, begin, end = ranges
            reach = np.add.reduceat(end - begin, starts[:-1])
            pairs = float(reach @ (self.groups.end - self.groups.begin)[self.groups.leaves]) / len(self.targets)
            if pairs > WORTH * len(self.sources):
                break
            out = self._run(degree, ranges, given, taken, dtype)
            error = self._estimate(out, given, taken)
            if error * SAFETY <= self.accuracy:
                if self.report is None or error >= self.report.error:
                    self.report = TreeReport(error, degree, pairs)
                return out
            if not math.isfinite(error):
                break
            degree += max(1, math.ceil(math.log(error * SAFETY / self.accuracy, GAIN)))
        return self._all_pairs(given, taken, dtype)

    def _all_pairs(self, given, taken, dtype):
        self.report = self.report or TreeReport(0.0, None, float(len(self.sources)))
        return self._direct(given, taken, slice(None)).astype(dtype, copy=False)

    def _plant(self, degree):
        """The trees of sources and targets, and the ranges of every leaf, for a degree."""
        if self._planted is None or self._planted[0] != degree:
            K = (degree + 1) ** self.sources.shape[1]
            self.tree = build_tree(self.sources, LEAF * K)
            self.groups = moved_tree(self.tree, self.targets) if self.own else build_tree(self.targets, LEAF * K)
            self._planted = degree, ranges_of_leaves(self.tree, self.groups, K, OPENING, self.own)
        return self._planted[1]

    def _run(self, degree, ranges, given, taken, dtype):
        tree, groups, d = self.tree, self.groups, self.sources.shape[1]
        sources, strengths = np.ascontiguousarray(self.sources[tree.order].T), np.ascontiguousarray(given[tree.order].T)
        points = interpolation_points(tree, degree)
        charges = moments(tree, sources, strengths, points, degree)
        sources, strengths = (np.concatenate(pair, axis=1).astype(dtype, copy=False)
                              for pair in ((sources, points), (strengths, charges)))  # fmt: skip
        targets, numbers = self.targets[groups.order].astype(dtype), constants(self.kernel, dtype)
        leaves, columns = groups.leaves, given.shape[1]
        loop = (_range_sums if taken is None else _range_forces)(*specialisation(self.kernel, d), columns)
        ordered = np.empty((len(targets), columns if taken is None else d), dtype)
        more = () if taken is None else (taken[groups.order].astype(dtype),)
        work = len(targets) * len(self.sources)  # an upper bound: it is the large ones that matter
        launch(loop, work, groups.begin[leaves], groups.end[leaves], *ranges, sources, strengths, targets, *more,
               self.own, numbers, ordered)  # fmt: skip
        out = np.empty_like(ordered)
        out[groups.order] = ordered
        return out

    def _estimate(self, out, given, taken):
        """The relative error, from the targets with the largest results and as many others, drawn at random."""
        sizes = np.square(out.astype(np.float64)).sum(axis=1)
        some = min(SAMPLE // 2, len(out))
        order = np.argpartition(-sizes, some - 1) if some < len(out) else np.arange(len(out))
        largest, rest = order[:some], order[some:]
        drawn = np.random.default_rng(0).choice(rest, min(some, len(rest)), replace=False)
        total = np.zeros(2)
        for sample, weight in ((largest, 1.0), (drawn, len(rest) / max(1, len(drawn)))):
            if len(sample):
                exact = self._direct(given, taken, sample)
                total[0] += weight * np.square(out[sample] - exact).sum()
                total[1] += weight * np.square(exact).sum()
        return math.sqrt(total[0] / total[1]) if total[1] > 0 else 0.0 if total[0] == 0 else math.inf

    def _direct(self, given, taken, sample):
        """The results of some targets from all pairs, in float64."""
        from ._pair_sums import pair_force, pair_sum

        def sums(sources, **options):
            places = self.kernel, self.sources[sources], self.targets[sample]
            if taken is None:
                return pair_sum(*places, given[sources], method="direct", backend="numba", **options)
            return pair_force(*places, given[sources], taken[sample], backend="numba", **options)

        if not self.own:
            return sums(slice(None))
        if isinstance(sample, slice):
            return sums(sample, exclude_self=True)
        # The sampled neurons are summed among themselves without each one itself, and with all others.
        others = np.ones(len(self.sources), bool)
        others[sample] = False
        return sums(sample, exclude_self=True) + sums(np.flatnonzero(others))


def _columns(signals):
    """Signals as (n, s), in float64."""
    return signals.reshape(len(signals), math.prod(signals.shape[1:])).astype(np.float64)


def first_degree(accuracy):
    """The degree that is tried first."""
    return min(DEGREES[-1], max(DEGREES[0], math.ceil(math.log(SAFETY * FIRST / accuracy, GAIN))))


@cache
def _range_sums(expression, metric, soft, d, columns):
    text, together = sums_text(expression, metric, soft, d, columns), targets_together(columns, d)

    @njit(cache=True, fastmath=MATH, error_model="numpy", parallel=True, nogil=True)
    def loop(leaf_begin, leaf_end, starts, begin, end, sources, strengths, targets, own, numbers, out):
        for leaf in prange(len(leaf_begin)):
            first_one, last_one = leaf_begin[leaf], leaf_end[leaf]
            sums = np.zeros((last_one - first_one + together, columns))
            for each in range(starts[leaf], starts[leaf + 1]):
                for start in range(begin[each], end[each], LONG_RANGE):
                    stop = min(end[each], start + LONG_RANGE)
                    for first in range(first_one, last_one, together):
                        upto, some = min(last_one, first + together), sums[first - first_one :][:together]
                        add_others(text, expression, metric, soft, targets, first, upto, together, sources, strengths,
                                   start, stop, own, numbers, some)  # fmt: skip
            for i in range(first_one, last_one):
                for column in range(columns):
                    out[i, column] = sums[i - first_one, column]

    return loop


@cache
def _range_forces(expression, metric, soft, d, columns):
    text, together = forces_text(expression, metric, soft, d, columns), targets_together(d, d)

    @njit(cache=True, fastmath=MATH, error_model="numpy", parallel=True, nogil=True)
    def loop(leaf_begin, leaf_end, starts, begin, end, sources, given, targets, taken, own, numbers, out):
        for leaf in prange(len(leaf_begin)):
            first_one, last_one = leaf_begin[leaf], leaf_end[leaf]
            forces = np.zeros((last_one - first_one + together, d))
            for each in range(starts[leaf], starts[leaf + 1]):
                for start in range(begin[each], end[each], LONG_RANGE):
                    stop = min(end[each], start + LONG_RANGE)
                    for first in range(first_one, last_one, together):
                        upto, some = min(last_one, first + together), forces[first - first_one :][:together]
                        pull_others(text, expression, metric, soft, targets, first, upto, together, sources, given,
                                    start, stop, taken, own, numbers, some)  # fmt: skip
            for i in range(first_one, last_one):
                for k in range(d):
                    out[i, k] = forces[i - first_one, k]

    return loop


def has_tree(kernel: Kernel, d: int) -> bool:
    """Whether sums with this kernel in d dimensions can be taken by trees: l2 distances, d up to 3.

    >>> from dynsim.kernels import Kernel
    >>> has_tree(Kernel(), 3), has_tree(Kernel("linear", "l1"), 3)
    (True, False)
    """
    return kernel.metric == "l2" and 1 <= d <= 3


def expect_accuracy(accuracy):
    """Return the accuracy as a float, refusing what no tree reaches."""
    accuracy = as_number(accuracy, "accuracy", above=0)
    if not LEAST_ACCURACY <= accuracy < 1:
        raise refusal("accuracy", f"{accuracy:g}", f"{LEAST_ACCURACY:g} to below 1, a relative error")
    return accuracy
