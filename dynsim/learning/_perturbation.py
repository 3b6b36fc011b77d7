"""Noise on the numbers that a model stores: what robustness is measured under, and trained under."""

from __future__ import annotations

from contextlib import contextmanager

import numpy as np

PERTURBED = ("places", "strengths", "weights")  # kinds of parameters; biases and norms stay
NOISES = ("uniform", "gaussian", "round", "floor")


@contextmanager
def perturbed(parameters, size, generator, *, noise="uniform", relative=False):
    """A context in which the parameters of these kinds are off by noise; afterwards they have their values again.

    `size` is absolute, or in units of each array's root mean square. What is pruned is not stored and stays 0.

    Examples
    --------
    >>> import dynsim
    >>> model = dynsim.models.mlp(widths=(4, 2), copies=1, dim=2)
    >>> places = next(iter(model.parameters.values()))
    >>> before = places.value.copy()
    >>> with perturbed(model.parameters.values(), 0.1, np.random.default_rng(0)):
    ...     float(abs(places.value - before).max()) > 0.01
    True
    >>> bool((places.value == before).all())
    True
    """
    moved = [(parameter, parameter.value.copy()) for parameter in parameters if parameter.kind in PERTURBED]
    try:
        for parameter, value in moved:
            unit = float(np.sqrt(np.sum(np.square(value)) / max(1, parameter.stored))) if relative else 1.0
            noisy = _moved(value, size * unit, noise, generator)
            parameter.value[...] = noisy if parameter.mask is None else noisy * parameter.mask
        yield
    finally:
        for parameter, value in moved:
            parameter.value[...] = value


def _moved(value, size, noise, generator):
    if size == 0:
        return value
    if noise == "uniform":
        return value + generator.uniform(-size, size, value.shape)
    if noise == "gaussian":
        return value + size * generator.standard_normal(value.shape)
    return (np.rint if noise == "round" else np.floor)(value / size) * size
