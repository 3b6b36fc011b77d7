"""Given signals described by numbers, for configurations: constant, pulse, sine, step, samples."""

from __future__ import annotations

import numpy as np

from dynsim._check import as_array, as_number, expect_keys

from ._signals import Given

# Kind -> its keys with their defaults; None marks what must be given.
WAVEFORMS = {
    "pulse": {"at": None, "width": None, "height": 1.0, "offset": 0.0},
    "sine": {"frequency": None, "phase": 0.0, "height": 1.0, "offset": 0.0},
    "step": {"at": None, "height": 1.0, "offset": 0.0},
    "samples": {"times": None, "values": None},
}


def waveform(value, name, neurons, signals):
    """Return the function t -> (neurons, signals) that a configuration describes.

    A number or (s,) or (n, s) is constant. A table has a `kind`:

    ========  ===============================================================
    pulse     offset + height exp(-((t - at) / width)^2 / 2)
    sine      offset + height sin(2 pi frequency t + phase)
    step      offset before `at`, offset + height from it on
    samples   `values` (K,), (K, s) or (K, n, s) at `times` (K,), linear between, held outside
    ========  ===============================================================

    Heights and offsets are numbers, (s,) or (n, s).

    Raises
    ------
    ValueError, TypeError
        If a key is unknown or missing, or a shape does not fit.

    Examples
    --------
    >>> waveform({"kind": "step", "at": 1.0, "height": 2.0}, "drive", 1, 1)(1.5)
    array([[2.]])
    """
    shape = (neurons, signals)
    if not isinstance(value, dict):
        return Given(value, name, *shape)
    kind = value.get("kind")
    if kind not in WAVEFORMS:
        raise ValueError(f"{name}: got kind {kind!r}; expected one of {', '.join(WAVEFORMS)}.")
    keys = WAVEFORMS[kind]
    expect_keys(value, ["kind", *keys], f"{name} ({kind})")
    for key, default in keys.items():
        if default is None and key not in value:
            raise ValueError(f"{name}: {key} is missing; a {kind} needs it.")
    given = {**keys, **value}
    if kind == "samples":
        return _samples(given, name, shape)
    height, offset = (_spread(given[key], f"{name} {key}", shape) for key in ("height", "offset"))
    if kind == "sine":
        frequency = as_number(given["frequency"], f"{name} frequency")
        phase = as_number(given["phase"], f"{name} phase")
        return lambda t: offset + height * np.sin(2 * np.pi * frequency * t + phase)
    at = as_number(given["at"], f"{name} at")
    if kind == "step":
        return lambda t: offset + height if t >= at else offset
    width = as_number(given["width"], f"{name} width", above=0)
    return lambda t: offset + height * np.exp(-0.5 * ((t - at) / width) ** 2)


def _samples(given, name, shape):
    values = as_array(given["values"], f"{name} values", dtype=np.float64)
    if values.ndim == 0:
        raise ValueError(f"{name} values: got a number; expected (K,), (K, s) or (K, n, s), one for each of `times`.")
    return Given(
        (given["times"], np.stack([_spread(value, f"{name} values", shape) for value in values])), name, *shape
    )


def _spread(value, name, shape):
    return Given(value, name, *shape)(0.0)
