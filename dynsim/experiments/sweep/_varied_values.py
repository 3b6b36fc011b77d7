"""The values that a key of a configuration takes, as words of a command line."""

from __future__ import annotations

import tomllib
from typing import Any

import numpy as np

from dynsim._check import is_number, refusal
from dynsim._files import from_toml

from .._settings import parse_value

WANTED = "KEY=START:STOP:N, KEY=START:STOP:N:log or KEY=a,b,c"
MOST = 100_000


def as_values(text: str) -> tuple[str, list[Any]]:
    """Key and values of KEY=START:STOP:N (N values, evenly spaced), KEY=START:STOP:N:log (by factors) or KEY=a,b,c.

    Raises
    ------
    ValueError
        If it is none of these.

    Examples
    --------
    >>> as_values("delay=0.1:0.3:3"), as_values("kernel.profile=linear,inverse")
    (('delay', [0.1, 0.2, 0.3]), ('kernel.profile', ['linear', 'inverse']))
    >>> as_values("groups.0.neurons=10:30:3"), as_values("echo_gain=0.1:10:3:log")
    (('groups.0.neurons', [10, 20, 30]), ('echo_gain', [0.1, 1.0, 10.0]))
    """
    key, equals, given = text.partition("=")
    key, given = key.strip(), given.strip()
    if not (equals and key and given):
        raise refusal("vary", repr(text), WANTED)
    parts = given.split(":")
    if len(parts) in (3, 4) and all(map(is_number, parts[:3])):
        return key, _range(text, parts)
    try:
        values = from_toml(f"value = [{given}]", f"vary {key}")["value"]
    except tomllib.TOMLDecodeError:
        values = [parse_value(part, key) for part in given.split(",")]
    if not values:
        raise refusal("vary", repr(text), WANTED)
    return key, values


def _range(text, parts):
    start, stop = map(float, parts[:2])
    count = int(parts[2]) if parts[2].strip().isdecimal() else 0
    logarithmic = parts[3:] == ["log"]
    if not 1 <= count <= MOST or parts[3:] not in ([], ["log"]) or not np.isfinite([start, stop]).all():
        raise refusal("vary", repr(text), f"{WANTED}, N from 1 to {MOST:,}")
    if logarithmic and not (start > 0 and stop > 0):
        raise refusal("vary", repr(text), "a start and a stop above 0 for equal factors")
    spaced = np.geomspace(start, stop, count) if logarithmic else np.linspace(start, stop, count)
    values = [float(f"{value:.12g}") for value in spaced]  # 0.3, not 0.30000000000000004
    whole = all(_is_whole(part) for part in parts[:2]) and all(value.is_integer() for value in values)
    return [int(value) for value in values] if whole else values


def _is_whole(text):
    return text.strip().lstrip("+-").isdecimal()
