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
from ._written_loops import FEW, LONG_BLOCK, add_others, forces_text, pull_others, sums_text, targets_together

# A step is half a degree: even ones open a cluster at the first of these ratios of the radii of a cluster and a leaf of
# targets, together, to the distance of their centres, odd ones at the second.
OPENINGS = (0.7, 0.65)
STEPS = range(4, 30)
LEAF = 0.5  # neurons of a leaf, in interpolation points of a cluster
SAMPLE = 512  # targets whose sums are also computed directly
TRIED, EACH = 32, 8  # leaves on which a degree is tried first, and targets of each that are summed directly
SAFETY = 2.0  # what an error may be that the sample does not show in full
# The error of step n is about FIRST / GAIN^n for neurons spread evenly, with strengths of one sign, under 1/r.
FIRST, GAIN = 0.02, 2.1
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

    The error is the root mean square over all targets, relative to that of the results, of the signal for which it is
    largest. It is estimated by summing
    directly for the targets with the largest results and for some drawn at random; the degree of interpolation is
    raised, or clusters opened earlier, until the estimate is below half the accuracy. Where no tree
    reaches it, or none would save anything, all pairs are summed.

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
        with np.errstate(over="ignore"):
            middle = sources.mean(axis=0, dtype=np.float64) if len(sources) else np.zeros(1)
        if not np.isfinite(middle).all():  # the places are as large as numbers can be
            middle = 0.0
        # Far from 0 a box would have few digits.
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
        step = first_step(self.accuracy)
        while step in STEPS and len(self.sources) and len(self.targets):
            ranges, degree = self._plant(step), step // 2
            starts, begin, end = ranges
            reach = np.add.reduceat(end - begin, starts[:-1])
            pairs = float(reach @ (self.groups.end - self.groups.begin)[self.groups.leaves]) / len(self.targets)
            if pairs > WORTH * len(self.sources):
                break
            arrays = self._arrays(degree, given, taken, dtype)
            error = self._tried(arrays, ranges, given, taken)
            if error * SAFETY <= self.accuracy:
                out = np.empty((len(self.targets), self._width(given, taken)), dtype)
                out[self.groups.order] = self._run(arrays, ranges, np.arange(len(reach)), out.shape[1])
                error = self._estimate(out, given, taken)
            if error * SAFETY <= self.accuracy:
                if self.report is None or error >= self.report.error:
                    self.report = TreeReport(error, degree, pairs)
                return out
            if not math.isfinite(error):
                break
            step += max(1, math.ceil(math.log(error * SAFETY / self.accuracy, GAIN)))
        return self._all_pairs(given, taken, dtype)

    def _all_pairs(self, given, taken, dtype):
        self.report = self.report or TreeReport(0.0, None, float(len(self.sources)))
        return self._direct(given, taken, slice(None)).astype(dtype, copy=False)

    def _plant(self, step):
        """The trees of sources and targets, and the ranges of every leaf."""
        if self._planted is None or self._planted[0] != step:
            K, opening = (step // 2 + 1) ** self.sources.shape[1], OPENINGS[step % 2]
            leaf = max(2.0, LEAF * K)  # or some nodes would be empty
            self.tree = build_tree(self.sources, leaf)
            self.groups = moved_tree(self.tree, self.targets) if self.own else build_tree(self.targets, leaf)
            self._planted = step, ranges_of_leaves(self.tree, self.groups, K, opening, self.own)
        return self._planted[1]

    def _arrays(self, degree, given, taken, dtype):
        """What the loops take: sources and points, their strengths, the targets and their signals, in tree order."""
        tree = self.tree
        sources, strengths = np.ascontiguousarray(self.sources[tree.order].T), np.ascontiguousarray(given[tree.order].T)
        points = interpolation_points(tree, degree)
        charges = moments(tree, sources, strengths, points, degree)
        arrays = [np.concatenate(pair, axis=1) for pair in ((sources, points), (strengths, charges))]
        arrays += [side[self.groups.order] for side in (self.targets, taken) if side is not None]
        return [np.ascontiguousarray(array, dtype) for array in arrays]

    def _run(self, arrays, ranges, chosen, width):
        """Results of the targets of some leaves, by their numbers; those of other targets are not set."""
        (starts, begin, end), leaves = ranges, self.groups.leaves[chosen]
        targets = arrays[2]
        loop = _range_sums if len(arrays) == 3 else _range_forces
        loop = loop(*specialisation(self.kernel, self.sources.shape[1]), len(arrays[1]))
        out = np.empty((len(targets), width), targets.dtype)
        work = len(targets) * len(self.sources)  # an upper bound: it is the large ones that matter
        launch(loop, work, self.groups.begin[leaves], self.groups.end[leaves], starts[:-1][chosen], starts[1:][chosen],
               begin, end, *arrays, self.own, constants(self.kernel, targets.dtype), out)  # fmt: skip
        return out

    def _tried(self, arrays, ranges, given, taken):
        """The relative error on a few targets of a few leaves: enough to refuse a degree."""
        groups, count = self.groups, len(self.groups.leaves)
        chosen = np.unique(np.linspace(0, count - 1, TRIED).astype(int))
        leaves = groups.leaves[chosen]
        spread = [np.linspace(groups.begin[leaf], groups.end[leaf] - 1, EACH).astype(int) for leaf in leaves]
        places = np.unique(np.concatenate(spread))
        found = self._run(arrays, ranges, chosen, self._width(given, taken))[places]
        exact = self._direct(given, taken, groups.order[places])
        return _relative(*self._squares(found, exact, taken))

    def _squares(self, found, exact, taken):
        """Sums of the squares of errors and of results over the targets, (2, s): for each signal, or of forces."""
        with np.errstate(all="ignore"):  # where they are not finite, all pairs are summed
            both = np.square(np.stack([found - exact, exact])).sum(axis=1)
        return both if taken is None else both.sum(axis=1, keepdims=True)

    def _width(self, given, taken):
        return given.shape[1] if taken is None else self.sources.shape[1]

    def _estimate(self, out, given, taken):
        """The relative error, from the targets with the largest results and as many others, drawn at random."""
        with np.errstate(all="ignore"):
            sizes = np.square(out.astype(np.float64)).sum(axis=1)
        some = min(SAMPLE // 2, len(out))
        order = np.argpartition(-sizes, some - 1) if some < len(out) else np.arange(len(out))
        largest, rest = order[:some], order[some:]
        drawn = np.random.default_rng(0).choice(rest, min(some, len(rest)), replace=False)
        total = 0.0
        for sample, weight in ((largest, 1.0), (drawn, len(rest) / max(1, len(drawn)))):
            if len(sample):
                exact = self._direct(given, taken, sample)
                total = total + weight * self._squares(out[sample], exact, taken)
        return _relative(*total)

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


def _relative(errors, sizes):
    """The root of the largest ratio of sums of squares; 0 / 0 is 0."""
    ratios = [
        error / size if size > 0 else 0.0 if error == 0 else math.inf for error, size in zip(errors, sizes, strict=True)
    ]
    return math.sqrt(max(ratios)) if all(map(math.isfinite, ratios)) else math.inf


def _columns(signals):
    """Signals as (n, s), in float64."""
    return signals.reshape(len(signals), math.prod(signals.shape[1:])).astype(np.float64)


def first_step(accuracy):
    """The step that is tried first."""
    return min(STEPS[-1], max(STEPS[0], math.ceil(math.log(SAFETY * FIRST / accuracy, GAIN))))


@cache
def _range_sums(expression, metric, soft, d, columns):
    text, together = sums_text(expression, metric, soft, d, columns), targets_together(columns, d)

    @njit(cache=True, fastmath=MATH, error_model="numpy", parallel=True, nogil=True)
    def loop(leaf_begin, leaf_end, lower, upper, begin, end, sources, strengths, targets, own, numbers, out):
        for leaf in prange(len(leaf_begin)):
            first_one, last_one = leaf_begin[leaf], leaf_end[leaf]
            sums = np.zeros((last_one - first_one + together, columns))
            for each in range(lower[leaf], upper[leaf]):
                for start in range(begin[each], end[each], LONG_BLOCK):
                    stop = min(end[each], start + LONG_BLOCK)
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
    def loop(leaf_begin, leaf_end, lower, upper, begin, end, sources, given, targets, taken, own, numbers, out):
        for leaf in prange(len(leaf_begin)):
            first_one, last_one = leaf_begin[leaf], leaf_end[leaf]
            forces = np.zeros((last_one - first_one + together, d))
            for each in range(lower[leaf], upper[leaf]):
                for start in range(begin[each], end[each], LONG_BLOCK):
                    stop = min(end[each], start + LONG_BLOCK)
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
