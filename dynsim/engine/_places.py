"""Places at the start, drawn as a configuration says."""

from __future__ import annotations

import numpy as np

from dynsim._check import as_array, expect_keys

PLACES = {
    "normal": {"center": 0.0, "spread": 1.0},
    "uniform": {"low": -1.0, "high": 1.0},
}


def draw_places(value, name, generator, copies, neurons, dimension):
    """Return places (H, n, d) as a configuration describes them.

    Either the places themselves, (n, d) for all copies or (H, n, d), or a table: ``kind = "normal"`` with `center`
    and `spread`, or ``kind = "uniform"`` between `low` and `high`; each a number, (d,) or (n, d).

    Raises
    ------
    ValueError, TypeError
        If a key is unknown or a shape does not fit.

    Examples
    --------
    >>> import numpy as np
    >>> table = {"kind": "uniform", "low": 2.0, "high": 2.0}
    >>> draw_places(table, "places", np.random.default_rng(0), 1, 2, 1)
    array([[[2.],
            [2.]]])
    """
    shape = (copies, neurons, dimension)
    if not isinstance(value, dict):
        return _fit(value, name, [shape, shape[1:]], shape)
    kind = value.get("kind")
    if kind not in PLACES:
        raise ValueError(f"{name}: got kind {kind!r}; expected one of {', '.join(PLACES)}.")
    expect_keys(value, ["kind", *PLACES[kind]], f"{name} ({kind})")
    allowed = [shape[1:], shape[2:], ()]
    first, second = (
        _fit(value.get(key, default), f"{name} {key}", allowed, shape) for key, default in PLACES[kind].items()
    )
    if kind == "normal":
        return first + second * generator.standard_normal(shape)
    if np.any(second < first):
        raise ValueError(f"{name}: got a high below the low; expected low <= high.")
    return generator.uniform(first, second, shape)


def _fit(value, name, allowed, shape):
    array = as_array(value, name, dtype=np.float64)
    if array.shape not in allowed:
        wanted = " or ".join(str(option) if option else "a number" for option in allowed)
        raise ValueError(f"{name}: got shape {array.shape}; expected {wanted}.")
    return np.broadcast_to(array, shape)
