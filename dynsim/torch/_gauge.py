"""The units in which places and lambdas are stored: the same network, in numbers of another size.

The built-in profiles are homogeneous. With places, softening and length s times as large, phi is as large as before
(gaussian, exponential), 1/s, s or 1/s^2 times as large (inverse, linear, inverse-square), which the kernel's c takes
back; and lambdas t times as large go with c / t. So noise of a given absolute size means nothing until units are
chosen. They cost no bytes: c, the softening and the length are in the file anyway. Units are powers of two, so the
weights keep their bits.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from dynsim._check import as_number
from dynsim.kernels import PROFILES, Kernel
from dynsim.learning import FittedWeights

UNITS = 64.0  # about what lambdas of a fit are
FITTED = "fitted"
POWERS = {"inverse": 1, "linear": -1, "gaussian": 0, "exponential": 0, "inverse-square": 2}  # of s that c takes back


def in_units(fitted: FittedWeights, kernel: Kernel, units: str | float = UNITS) -> tuple[FittedWeights, Kernel]:
    """What was fitted in other units, and its kernel.

    Parameters
    ----------
    fitted : FittedWeights
    kernel : Kernel
        One with an expression of its own is left as it is: nothing is known about it.
    units : float or "fitted"
        The root mean square of places and of lambdas, or everything as the fit left it. Powers of two come within a
        factor of sqrt(2) of it. Both factors of a low-rank part become equally large; their product has no unit.

    Examples
    --------
    >>> from dynsim.learning import fit_weights
    >>> kernel, weights = Kernel("linear"), np.random.default_rng(0).normal(size=(1, 1, 6, 5)).astype(np.float32)
    >>> fitted = fit_weights(weights, kernel, copies=2, dim=1, steps=5)
    >>> same, other = in_units(fitted, kernel, 100.0)
    >>> from dynsim.kernels import relation
    >>> before = relation(kernel, fitted.sources, fitted.targets, fitted.strengths)
    >>> bool(np.array_equal(relation(other, same.sources, same.targets, same.strengths), before))
    True
    """
    if units == FITTED:
        return fitted, kernel
    if fitted.left is not None:
        ratio = _power(np.sqrt((_rms(fitted.right) or 1.0) / (_rms(fitted.left) or 1.0)))
        fitted = replace(fitted, left=_times(fitted.left, ratio), right=_times(fitted.right, 1 / ratio))
    if kernel.profile not in PROFILES:
        return fitted, kernel
    places, strengths = _rms(fitted.sources, fitted.targets), _rms(fitted.strengths)
    if not places or not strengths:
        return fitted, kernel
    s, t = _power(units / places), _power(units / strengths)
    scale = kernel.scale * s ** POWERS[kernel.profile] / t
    other = replace(kernel, scale=scale, softening=kernel.softening * s, length=kernel.length * s)
    parts = {"sources": _times(fitted.sources, s), "targets": _times(fitted.targets, s)}
    return replace(fitted, **parts, strengths=_times(fitted.strengths, t)), other


def as_units(given: str | float) -> str | float:
    """Units as `in_units` takes them; raises ValueError or TypeError."""
    if given == FITTED:
        return given
    return as_number(given, "units", above=0)


def _rms(*arrays: npt.NDArray) -> float:
    """Root mean square of all numbers together, in float64."""
    total = sum(float(np.sum(np.square(array, dtype=np.float64))) for array in arrays)
    return float(np.sqrt(total / sum(array.size for array in arrays)))


def _power(number):
    """The nearest power of two, on the scale of logarithms."""
    return float(2.0 ** np.round(np.log2(number)))


def _times(array, factor):
    return array * array.dtype.type(factor)
