"""Which products need no weights, by the kernel; and that of the l2 linear kernel, from random directions."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from dynsim._check import as_array, as_choice, as_count, as_instance, as_number, refusal

from ._exponential_sums import ExponentialProduct, InverseProduct
from ._kernel import Kernel
from ._sorted_cuda import CudaSortedProduct
from ._sorted_sides import middle
from ._sorted_sums import SortedProduct

BACKENDS = ("numba", "cupy")
PAIRS = 4096  # on which the error of a sliced product is estimated


def weight_free(
    kernel: Kernel,
    sources: npt.ArrayLike,
    targets: npt.ArrayLike,
    *,
    error: float | None = None,
    backend: str = "numba",
) -> SortedProduct | CudaSortedProduct | ExponentialProduct | InverseProduct | SlicedProduct:
    """Return the product of these pairs that never forms the pairs, with `forward`, `transposed` and `forces`.

    ============================  ====================  ==========================  =======================
    kernel, without softening     product               cost, after sorting         error
    ============================  ====================  ==========================  =======================
    linear, l1 (l2 in 1-D)        `SortedProduct`       (m + n) d                   rounding
    exponential, 1-D              `ExponentialProduct`  (m + n), an exp each        rounding
    inverse, 1-D                  `InverseProduct`      (m + n) K, K about 40-100   `error`, of every pair
    linear, l2                    `SlicedProduct`       (m + n) L directions        about `error`, rms, estimated
    ============================  ====================  ==========================  =======================

    The product's own `error` says what is guaranteed (of `SlicedProduct`: estimated), rounding included, and its class
    relative to what: always to a sum of absolute terms, never to what is left of terms that cancel.

    Parameters
    ----------
    kernel : Kernel
    sources : array_like, (m, d)
    targets : array_like, (n, d)
    error : float, optional
        Relative error that is allowed. Without one, nothing approximate is returned.
    backend : {"numba", "cupy"}
        Here, or on a CUDA device (`SortedProduct` only).

    Raises
    ------
    ValueError
        If there is no such product for this kernel, saying why; or no device.

    Examples
    --------
    >>> from dynsim.kernels import Kernel
    >>> product = weight_free(Kernel("exponential"), [[0.0], [2.0]], [[1.0]])
    >>> product
    ExponentialProduct(2 sources, 1 targets, 1 terms, relative error 1.0e-14)
    >>> weight_free(Kernel("inverse"), [[0.0]], [[1.0]], error=1e-3).error < 1e-3
    True
    """
    as_choice(backend, BACKENDS, "backend")
    as_instance(kernel, Kernel, "kernel")
    if error is not None:
        as_number(error, "error", above=0)
    d = np.shape(sources)[-1] if np.ndim(sources) == 2 else None
    if kernel.softening:
        do = "the softened distance sqrt(r^2 + eta^2) does not split at a neuron's place: use tiled"
        raise refusal("weight-free", f"softening {kernel.softening:g}", "none", do)
    if kernel.profile == "linear" and (kernel.metric == "l1" or d == 1):
        return (CudaSortedProduct if backend == "cupy" else SortedProduct)(sources, targets, scale=kernel.scale)
    if backend == "cupy":
        raise refusal("backend", f"'cupy' for {kernel}", "numba, the only one that has this product")
    if kernel.profile == "exponential":
        if d != 1:
            do = "with more, exp(-|v|) does not split into a term for each axis: use tiled"
            raise refusal("weight-free", f"the exponential kernel in {d} dimensions", "places on a line", do)
        return ExponentialProduct(sources, targets, rates=[1.0 / kernel.length], weights=[kernel.scale])
    if (kernel.profile, d == 1) not in (("inverse", True), ("linear", False)):
        known = "linear (l1 and l2), or exponential or inverse on a line"
        raise refusal(
            "weight-free", f"the kernel {kernel.profile} {kernel.metric} in {d} dimensions", known, "use tiled"
        )
    if error is None:
        expected = "the relative error that is allowed, since the product is approximate"
        raise refusal("error", f"None for {kernel.profile} {kernel.metric}", expected)
    if kernel.profile == "inverse":
        return InverseProduct(sources, targets, scale=kernel.scale, error=error)
    return _sliced(kernel, sources, targets, error)


def _sliced(kernel, sources, targets, error):
    """Twice as many directions until the estimated error is small enough."""
    directions = 32
    while True:
        product = SlicedProduct(sources, targets, scale=kernel.scale, directions=directions)
        if product.error <= error:
            return product
        if directions >= 4096:
            expected = f"at least {product.error:.1e}, the error with {directions} directions"
            raise refusal("error", f"{error:g}", expected, "use tiled, which is exact")
        directions *= 2


class SlicedProduct:
    """The pairs of m sources and n targets under phi = scale |q_o - q_i|_2, from L random directions.

    For a direction theta, uniform on the sphere, E |theta . v| = |v| Gamma(d / 2) / (sqrt(pi) Gamma((d + 1) / 2)), so::

        |v|_2 = c_d mean_l |theta_l . v|,    c_d = sqrt(pi) Gamma((d + 1) / 2) / Gamma(d / 2)

    Directions come in orthogonal sets of d, which spreads them evenly. A product costs O((m + n) L) after sorting. It
    is approximate: the error falls as 1 / sqrt(L). `error` is the root mean square of a distance's relative error, and
    `force_error` that of the unit vector from neuron to neuron, both estimated on pairs drawn at random, with the
    rounding of the projections. The rounding of the sums is that of `SortedProduct` in L dimensions. It pays where a
    few percent are enough and neurons are many; d = 1 is exact.

    Parameters
    ----------
    sources : array_like, (m, d)
    targets : array_like, (n, d)
    scale : float
        c of the kernel.
    directions : int
        L; rounded up to a multiple of d.
    seed : int
        Of the directions and of the pairs.

    Raises
    ------
    ValueError, TypeError
        If shapes do not fit or a number is not finite.

    References
    ----------
    Hertrich, Wald, Altekrüger & Hagemann, "Generative sliced MMD flows with Riesz kernels", ICLR 2024.

    Examples
    --------
    >>> product = SlicedProduct([[0.0, 0.0]], [[3.0, 4.0]], directions=2000)
    >>> abs(product.forward([1.0])[0] - 5.0) < 0.1
    np.True_
    """

    def __init__(
        self, sources: npt.ArrayLike, targets: npt.ArrayLike, *, scale: float = 1.0, directions: int = 64, seed: int = 0
    ):
        sources = as_array(sources, "sources", ("m", "d"))
        targets = as_array(targets, "targets", ("n", sources.shape[1]))
        d = as_count(sources.shape[1], "dimension")
        generator = np.random.default_rng(as_count(seed, "seed", minimum=0))
        sets = -(-as_count(directions, "directions") // d)
        # The Q of a Gaussian matrix, its signs set by R's diagonal, is uniform among the rotations and reflections.
        Q, R = np.linalg.qr(generator.standard_normal((sets, d, d)))
        self.directions = (Q * np.sign(np.diagonal(R, axis1=1, axis2=2))[:, None]).reshape(sets * d, d)
        constant = math.exp(0.5 * math.log(math.pi) + math.lgamma((d + 1) / 2) - math.lgamma(d / 2))
        self._factor = constant / len(self.directions)
        self.dtype = np.result_type(sources, targets)
        # Far from the origin float32 has no digits left for distances: projected is what is left of the middle.
        center = middle(sources.astype(np.float64) if len(sources) else targets.astype(np.float64))
        lines = [((side - center) @ self.directions.T).astype(self.dtype) for side in (sources, targets)]
        self.error, self.force_error = self._estimate((sources, targets), lines, generator)
        self._product = SortedProduct(*lines, scale=as_number(scale, "scale") * self._factor)

    def __repr__(self):
        n, m = self.shape
        return (
            f"SlicedProduct({m} sources, {n} targets, {len(self.directions)} directions, error {self.error:.1e} rms, "
            f"of forces {self.force_error:.1e})"
        )

    @property
    def shape(self):
        """(n, m), as of the matrix that is not there."""
        return self._product.shape

    def forward(self, x):
        """y_o = sum_i phi(q_i, q_o) x_i, approximately, for x (m,) or (m, s)."""
        y = self._product.forward(x)
        return y.astype(np.result_type(self.dtype, _dtype(x)), copy=False)

    def transposed(self, y):
        """x_i = sum_o phi(q_i, q_o) y_o, approximately, for y (n,) or (n, s)."""
        x = self._product.transposed(y)
        return x.astype(np.result_type(self.dtype, _dtype(y)), copy=False)

    def forces(self, x, y):
        """Gradients of sum_oi y_o . x_i phi in the sources' (m, d) and targets' places (n, d): of the approximation."""
        dtype = np.result_type(self.dtype, _dtype(x), _dtype(y))
        return tuple((force @ self.directions).astype(dtype, copy=False) for force in self._product.forces(x, y))

    def _estimate(self, sides, lines, generator):
        """The root mean squares of the relative errors of distances and of unit vectors."""
        if not len(sides[0]) or not len(sides[1]):
            return 0.0, 0.0
        pairs = [generator.integers(len(side), size=PAIRS) for side in sides]
        source, target = (side[i].astype(np.float64) for side, i in zip(sides, pairs, strict=True))
        exact = np.linalg.norm(target - source, axis=1)
        apart = exact > 0
        if not apart.any():
            return 0.0, 0.0
        source_line, target_line = (line[i[apart]].astype(np.float64) for line, i in zip(lines, pairs, strict=True))
        unit = (target - source)[apart] / exact[apart, None]
        sliced = self._factor * np.abs(target_line - source_line).sum(axis=1)
        turned = self._factor * np.sign(target_line - source_line) @ self.directions
        wrong = np.sum(np.square(turned - unit), axis=1)
        return tuple(float(np.sqrt(np.mean(one))) for one in (np.square(sliced / exact[apart] - 1), wrong))


def _dtype(x):
    return np.float32 if getattr(x, "dtype", None) == np.float32 else np.float64
