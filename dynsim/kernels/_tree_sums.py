"""Sums over all pairs to a stated accuracy, in about N, for kernels of l2 distances in up to three dimensions.

Targets, and the points of clusters of targets, are acted on by ranges of one array, which holds the sources in the
order of their tree and after them the points of its clusters; ranges are summed by the loops of every pair sum. A node
belongs to one thread and meets its ranges in a fixed order: the same bits on any number of threads.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from dynsim._check import as_array, as_flag, as_instance, as_number, as_signals, refusal

from ._block import constants, specialisation
from ._cluster_pairs import meet
from ._cluster_points import interpolate_down, moments, points_of
from ._cluster_tree import build_tree, moved_tree, with_ancestors
from ._compilation import launch
from ._kernel import Kernel
from ._range_loops import range_forces, range_sums
from ._written_loops import FEW

# A step is half a degree: even ones take a cluster as far where its radius is below the first of these ratios to the
# distance, odd ones at the second. Measured for uniform and normal places, 10^5 and 10^6 of them, and errors from 1e-3
# to 1e-8: ratios from 0.45 to 0.55 need about as many pairs for the same error, mostly within a tenth.
OPENINGS = (0.5, 0.45)
STEPS = range(4, 30)
# Places of a leaf, in points of a cluster, and at least. Half as many save 3% of the pairs, but need twice the ranges;
# ranges of few sources take as long as of LEAST.
LEAF, LEAST = 0.5, 32
SAMPLE = 512  # targets whose sums are also computed directly
TRIED, EACH = 16, 16  # leaves on which a degree is tried first, and targets of each that are summed directly
SAFETY = 2.0  # what an error may be that the sample does not show in full
# The error of step n is about FIRST / GAIN^n for neurons spread evenly, with strengths of one sign, under 1/r.
FIRST, GAIN = 0.01, 2.5
WORTH = 0.7  # of all pairs: a tree that needs more saves nothing worth its making
LEAST_ACCURACY = 1e-12


class TreeReport(NamedTuple):
    """What a tree did: the relative error, estimated on a sample of targets; the degree; evaluations of phi per target.

    Those at the points of clusters are counted, too. Where all pairs were summed the error is 0 and the degree None.
    """

    error: float
    degree: int | None
    pairs: float


class TreeProduct:
    """Sums over all sources of a set of places, by a tree: y_i = sum_j x_j phi(q_j, p_i), and their forces.

    The error is the root mean square over all targets, relative to that of the results, of the signal for which it is
    largest. It is estimated by summing directly for the targets with the largest results and for some drawn at random;
    the degree of interpolation is raised, or clusters opened earlier, until the estimate is below half the accuracy.
    Where no tree reaches it, or none would save anything, all pairs are summed.

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
    Wang, Tlupova & Krasny, "A kernel-independent treecode based on barycentric Lagrange interpolation", 2020; Wilson,
    Vaughn & Krasny, "A GPU-accelerated fast multipole method based on barycentric Lagrange interpolation and dual tree
    traversal", 2021.

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
            self._plant(step)
            pairs = self._pairs(1 if taken is None else taken.shape[1])
            if pairs > WORTH * len(self.sources):
                break
            arrays = self._arrays(given, taken, dtype)
            error = self._tried(arrays, given, taken)
            if error * SAFETY <= self.accuracy:
                out = np.empty((len(self.targets), self._width(given, taken)), dtype)
                out[self.groups.order] = self._run(arrays, np.arange(len(self.groups.leaves)))
                error = self._estimate(out, given, taken)
            if error * SAFETY <= self.accuracy:
                if self.report is None or error >= self.report.error:
                    self.report = TreeReport(error, step // 2, pairs)
                return out
            if not math.isfinite(error):
                break
            # Rather one more trial than a step too far, which costs a fifth of the sum.
            step += max(1, math.floor(math.log(error * SAFETY / self.accuracy, GAIN)))
        return self._all_pairs(given, taken, dtype)

    def _all_pairs(self, given, taken, dtype):
        self.report = self.report or TreeReport(0.0, None, float(len(self.sources)))
        return self._direct(given, taken, slice(None)).astype(dtype, copy=False)

    def _plant(self, step):
        """The trees of sources and targets, their points, and what acts on which."""
        if self._planted == step:
            return
        degree, opening = step // 2, OPENINGS[step % 2]
        leaf = max(LEAST, LEAF * (degree + 1) ** self.sources.shape[1])
        self.tree = build_tree(self.sources, leaf)
        self.groups = moved_tree(self.tree, self.targets) if self.own else build_tree(self.targets, leaf)
        self.points, self.at = (points_of(tree, degree, opening) for tree in (self.tree, self.groups))
        self.ranges = meet(self.tree, self.points, self.groups, self.at, opening, self.own)
        self._planted = step

    def _pairs(self, times):
        """Evaluations of phi for each target, where those on points are made so many times."""
        on_points, on_places = self.ranges
        sizes = times * self.at.sizes[on_points.nodes], (self.groups.end - self.groups.begin)[on_places.nodes]
        total = sum(float(size @ ranges.lengths) for size, ranges in zip(sizes, self.ranges, strict=True))
        return total / len(self.targets)

    def _arrays(self, given, taken, dtype):
        """What the loops take: sources and points, their strengths, the targets and their signals, in tree order."""
        tree = self.tree
        sources, strengths = np.ascontiguousarray(self.sources[tree.order].T), np.ascontiguousarray(given[tree.order].T)
        charges = moments(tree, self.points, sources, strengths)
        arrays = [np.concatenate(pair, axis=1) for pair in ((sources, self.points.places), (strengths, charges))]
        arrays += [side[self.groups.order] for side in (self.targets, taken) if side is not None]
        return [np.ascontiguousarray(array, dtype) for array in arrays]

    def _run(self, arrays, chosen):
        """Results of the targets of some leaves, by their numbers; those of other targets are not set."""
        groups, at, (on_points, on_places) = self.groups, self.at, self.ranges
        sources, strengths, targets, *taken = arrays
        leaves = groups.leaves[chosen]
        near = groups.begin[leaves], groups.end[leaves]
        out = self._act(near, on_places, chosen, sources, strengths, targets, *taken, own=self.own)
        wanted = with_ancestors(groups, leaves)
        some = np.flatnonzero(wanted[on_points.nodes])
        some = some[evenly(at.sizes[on_points.nodes[some]] * on_points.lengths[some])]
        far = at.starts[on_points.nodes[some]], at.starts[on_points.nodes[some] + 1]
        # The field at points: the sums; for forces each signal's gradient, which is the force on a signal of 1.
        points, ones = np.ascontiguousarray(at.places.T, targets.dtype), np.ones((at.starts[-1], 1), targets.dtype)
        inner = np.ascontiguousarray(self.targets[groups.order].T)
        for column, strength in enumerate(strengths if taken else [strengths]):
            arrays = (sources, strength[None], points, ones) if taken else (sources, strength, points)
            field = self._act(far, on_points, some, *arrays, own=False)
            change = np.zeros(out.shape) if taken else out
            interpolate_down(groups, at, field, inner, wanted, change)
            if taken:
                out += change * taken[0][:, column, None]
        return out

    def _act(self, rows, ranges, chosen, sources, strengths, targets, *taken, own):
        """Sums, or forces where targets have signals `taken`, in some rows of targets, of their ranges."""
        loop = range_forces if taken else range_sums
        loop = loop(*specialisation(self.kernel, len(sources)), len(strengths))
        out = np.zeros((len(targets), len(sources) if taken else len(strengths)))
        work = len(targets) * len(self.sources)  # an upper bound: it is the large ones that matter
        launch(loop, work, *rows, ranges.starts[:-1][chosen], ranges.starts[1:][chosen], ranges.begin, ranges.end,
               sources, strengths, targets, *taken, own, constants(self.kernel, targets.dtype), out)  # fmt: skip
        return out

    def _tried(self, arrays, given, taken):
        """The relative error on a few targets of a few leaves: enough to refuse a degree."""
        groups, count = self.groups, len(self.groups.leaves)
        # Not the first and the last leaf, which are far out and large, as few are.
        chosen = np.unique((np.arange(0.5, TRIED) / TRIED * count).astype(int))
        leaves = groups.leaves[chosen]
        spread = [np.linspace(groups.begin[leaf], groups.end[leaf] - 1, EACH).astype(int) for leaf in leaves]
        places = np.unique(np.concatenate(spread))
        found = self._run(arrays, chosen)[places]
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


def evenly(work):
    """An order of tasks such that each thread, which takes a part of those in a row, has about as much to do.

    Multiples of the golden ratio, without their whole parts, are spread evenly, however many follow each other.
    """
    return np.argsort(work, kind="stable")[np.argsort(np.arange(len(work)) * (math.sqrt(5) - 1) / 2 % 1)]


def first_step(accuracy):
    """The step that is tried first."""
    return min(STEPS[-1], max(STEPS[0], math.ceil(math.log(SAFETY * FIRST / accuracy, GAIN))))


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
