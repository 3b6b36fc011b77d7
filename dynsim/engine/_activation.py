"""Elementwise activations: the function, its slope, and the steepest slope it has anywhere."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.special import erf, expit


@dataclass(frozen=True)
class Activation:
    """One elementwise function act(x) with act'(x) and max |act'|."""

    value: Callable
    slope: Callable
    steepest: float


def _relu_slope(x):
    # At 0 the one-sided slope 0 is taken, as everybody does; Newton's method stays semismooth there.
    return (x > 0).astype(float)


def _tanh_slope(x):
    return 1.0 - np.square(np.tanh(x))


def _sigmoid_slope(x):
    y = expit(x)
    return y * (1.0 - y)


def _silu_slope(x):
    y = expit(x)
    return y * (1.0 + x * (1.0 - y))


def _normal_cdf(x):
    return 0.5 * (1.0 + erf(x / np.sqrt(2.0)))


def _gelu_slope(x):
    return _normal_cdf(x) + x * np.exp(-0.5 * np.square(x)) / np.sqrt(2.0 * np.pi)


# Where the slope of silu is steepest: x tanh(x / 2) = 2. That of gelu is at sqrt(2).
SILU_STEEPEST = 2.399357280520

ACTIVATIONS = {
    "identity": Activation(lambda x: x, np.ones_like, 1.0),
    "relu": Activation(lambda x: np.maximum(x, 0.0), _relu_slope, 1.0),
    "tanh": Activation(np.tanh, _tanh_slope, 1.0),
    "sigmoid": Activation(expit, _sigmoid_slope, 0.25),
    "softplus": Activation(lambda x: np.logaddexp(0.0, x), expit, 1.0),
    "silu": Activation(lambda x: x * expit(x), _silu_slope, float(_silu_slope(SILU_STEEPEST))),
    "gelu": Activation(lambda x: x * _normal_cdf(x), _gelu_slope, float(_gelu_slope(np.sqrt(2.0)))),
    "sin": Activation(np.sin, np.cos, 1.0),
}


def find_activation(name):
    """Return the activation called `name`; ValueError lists the known names."""
    if not isinstance(name, str) or name not in ACTIVATIONS:
        raise ValueError(f"activation: got {name!r}; expected one of {', '.join(ACTIVATIONS)}.")
    return ACTIVATIONS[name]
