"""The start of training: places at random, lambda such that the weights have zero mean and He scale.

Random places alone give weights that are nearly one constant, since all distances are alike, and training stands
still. So the signs of lambda are split over the copies, one sign is rescaled until the weights' mean is exactly
zero, and all are scaled to the variance 2 / fan_in (He et al., ICCV 2015).
"""

from __future__ import annotations

import numpy as np

from dynsim.kernels import relation


def random_places(generator, *shape, dtype=np.float32):
    """Draw places from the standard normal distribution.

    Examples
    --------
    >>> import numpy as np
    >>> random_places(np.random.default_rng(0), 2, 5, 3).shape
    (2, 5, 3)
    """
    return generator.standard_normal(shape).astype(dtype)


def sphere_places(generator, *shape, dtype=np.float32):
    """Draw places evenly from the sphere of radius sqrt(d), d = shape[-1], where normal ones lie on average.

    |q - p|^2 = |q|^2 + |p|^2 - 2 q.p: with all lengths equal, a weight depends on the angle between two places alone.
    Of normal places, half of the variance of |q - p|^2 (4 d of 8 d) is a term per input plus a term per output. The
    first says the same to all outputs; nothing takes it out between layer norms, as BatchNorm does after full layers.

    Examples
    --------
    >>> import numpy as np
    >>> np.linalg.norm(sphere_places(np.random.default_rng(0), 1, 2, 4), axis=-1).round(3)
    array([[2., 2.]], dtype=float32)
    """
    places = generator.standard_normal(shape)
    return (places * (np.sqrt(shape[-1]) / np.linalg.norm(places, axis=-1, keepdims=True))).astype(dtype)


def start_strengths(kernel, sources, targets):
    """Return lambda (T, S, H) for sources (S, H, m, d) and targets (T, H, n, d): zero mean and He scale.

    With a single (t, s, h) the mean cannot vanish; then the weights' root mean square is He's.

    Examples
    --------
    >>> import numpy as np
    >>> from dynsim.kernels import Kernel
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
