"""Which products need no weights, by the kernel."""

from __future__ import annotations

import numpy as np

from dynsim._check import as_choice, as_instance, as_number

from ._exponential import ExponentialProduct
from ._inverse import InverseProduct
from ._kernel import Kernel
from ._sliced import SlicedProduct
from ._sorted import SortedProduct
from ._sorted_cuda import CudaSortedProduct

BACKENDS = ("numba", "cupy")


def weight_free(kernel, sources, targets, error=None, backend="numba"):
    """Return the product of these pairs that never forms the pairs, with `forward`, `transposed` and `forces`.

    ============================  ====================  ==========================  =======================
    kernel, without softening     product               cost, after sorting         error
    ============================  ====================  ==========================  =======================
    linear, l1 (l2 in 1-D)        `SortedProduct`       (m + n) d                   rounding
    exponential, 1-D              `ExponentialProduct`  (m + n), an exp each        rounding
    inverse, 1-D                  `InverseProduct`      (m + n) K, K about 40-100   `error`, of every pair
    linear, l2                    `SlicedProduct`       (m + n) L directions        about `error`, rms, estimated
    ============================  ====================  ==========================  =======================

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
    ExponentialProduct(2 sources, 1 targets, 1 terms, relative error 0.0e+00)
    >>> weight_free(Kernel("inverse"), [[0.0]], [[1.0]], error=1e-3).error < 1e-3
    True
    """
    as_choice(backend, BACKENDS, "backend")
    as_instance(kernel, Kernel, "kernel")
    if error is not None:
        as_number(error, "error", above=0)
    d = np.shape(sources)[-1] if np.ndim(sources) == 2 else None
    if kernel.softening:
        raise ValueError(f"weight-free: got softening {kernel.softening:g}; expected none: the softened distance "
                         "sqrt(r^2 + eta^2) does not split at a neuron's place. Use tiled.")  # fmt: skip
    if kernel.profile == "linear" and (kernel.metric == "l1" or d == 1):
        return (CudaSortedProduct if backend == "cupy" else SortedProduct)(sources, targets, kernel.scale)
    if backend == "cupy":
        raise ValueError("backend: got cupy for a product that only numba has; cupy has the linear kernel's of l1.")
    if kernel.profile == "exponential" and d == 1:
        return ExponentialProduct(sources, targets, [1.0 / kernel.length], [kernel.scale])
    if kernel.profile == "exponential":
        raise ValueError(f"weight-free: the exponential kernel needs places on a line; got {d} dimensions, where "
                         "exp(-|v|) does not split into a term for each axis. Use tiled.")  # fmt: skip
    approximate = (kernel.profile, d == 1) in (("inverse", True), ("linear", False))
    if approximate and error is None:
        raise ValueError(f"weight-free: {kernel.profile} {kernel.metric} is approximate; give the relative `error` "
                         "that is allowed.")  # fmt: skip
    if kernel.profile == "inverse" and d == 1:
        return InverseProduct(sources, targets, kernel.scale, error)
    if approximate:
        return _sliced(kernel, sources, targets, error)
    raise ValueError(f"weight-free: no such product for {kernel.profile} {kernel.metric} in {d} dimensions; known are "
                     "linear (l1 and l2), and on a line exponential and inverse. Use tiled.")  # fmt: skip


def _sliced(kernel, sources, targets, error):
    """Twice as many directions until the estimated error is small enough."""
    directions = 32
    while True:
        product = SlicedProduct(sources, targets, kernel.scale, directions)
        if product.error <= error:
            return product
        if directions >= 4096:
            raise ValueError(f"error: got {error:g}; {directions} directions give {product.error:.1e}. Allow more, or "
                             "use tiled, which is exact.")  # fmt: skip
        directions *= 2
