"""The start of training: places at random, lambda such that the weights have zero mean and He scale.

Random places alone give weights that are nearly one constant, since all distances are alike, and training stands
still. So the signs of lambda are split over the copies, one sign is rescaled until the weights' mean is exactly
zero, and all are scaled to the variance 2 / fan_in (He et al., ICCV 2015).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from dynsim.kernels import Kernel, relation


def random_places(generator: np.random.Generator, *shape: int, dtype: npt.DTypeLike = np.float32) -> npt.NDArray:
    """Draw places from the standard normal distribution.

    Examples
    --------
    >>> import numpy as np
    >>> random_places(np.random.default_rng(0), 2, 5, 3).shape
    (2, 5, 3)
    """
    return generator.standard_normal(shape).astype(dtype)


def places_on_sphere(generator: np.random.Generator, *shape: int, dtype: npt.DTypeLike = np.float32) -> npt.NDArray:
    """Draw places at random on the sphere of radius sqrt(d), (..., d).

    There r^2 = 2 d - 2 q_i q_o: no neuron is nearer to all others than the rest. Of places at any radius half the
    weights' variance is common to a row or a column, however many copies there are; behind 1500 inputs, all positive,
    the scores then begin ten times too large.

    Examples
    --------
    >>> import numpy as np
    >>> places = places_on_sphere(np.random.default_rng(0), 2, 5, 4)
    >>> bool(np.allclose(np.sum(places**2, axis=-1), 4.0, rtol=1e-6))
    True
    """
    places = generator.standard_normal(shape)
    return (places * np.sqrt(shape[-1] / np.sum(places**2, axis=-1, keepdims=True))).astype(dtype)


def start_strengths(kernel: Kernel, sources: npt.NDArray, targets: npt.NDArray) -> npt.NDArray:
    """Return lambda (T, S, H) for sources (S, H, m, d) and targets (T, H, n, d): zero mean and He scale.

    With a single (t, s, h) the mean cannot vanish; then the weights' root mean square is He's.

    Examples
    --------
    >>> import numpy as np
    >>> generator = np.random.default_rng(0)
    >>> places = [random_places(generator, 1, 4, n, 3, dtype=float) for n in (50, 20)]
    >>> weights = relation(Kernel(), *places, start_strengths(Kernel(), *places))
    >>> bool(abs(weights.mean()) < 1e-12), round(float(weights.var() * 50), 6)
    (True, 2.0)
    """
    sets, copies, fan, _ = sources.shape
    t, s, h = np.ix_(range(len(targets)), range(sets), range(copies))
    positive = (t + s + h) % 2 == 0
    exact = [np.asarray(places, np.float64) for places in (sources, targets)]
    parts = []
    for sign in (positive, ~positive):
        parts.append(relation(kernel, *exact, sign.astype(np.float64)))
    means = [part.mean() for part in parts]
    balance = means[0] / means[1] if means[1] != 0 else 0.0
    weights = parts[0] - balance * parts[1]
    size = np.sqrt(2 / (fan * len(targets) * sets if len(targets) * sets > 1 else fan) / np.mean(weights**2))
    return np.where(positive, size, -balance * size).astype(np.asarray(sources).dtype)
