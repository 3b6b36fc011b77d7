"""Single values of a configuration, set by their keys."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable
from typing import Any

from dynsim._check import refusal
from dynsim._files import from_toml


class SettingError(ValueError):
    """A setting that is not written as one."""


WANTED = "KEY=VALUE, as run.until=5 or kernel.softening=0.1"


def apply_settings(config: dict, settings: Iterable[str]) -> dict:
    """Change a configuration by settings such as `run.until=5` or `groups.0.neurons=10` (or a group's name).

    Returns the configuration, which is changed in place. A value is one of TOML, or a bare word.

    Raises
    ------
    SettingError
        If a setting is no KEY=VALUE, its key leads nowhere, or it has several lines.
    ValueError
        If its value is no TOML and no word.

    Examples
    --------
    >>> apply_settings({"groups": [{"name": "input"}]}, ["groups.input.neurons=3", "kernel.profile=linear"])
    {'groups': [{'name': 'input', 'neurons': 3}], 'kernel': {'profile': 'linear'}}
    """
    for setting in settings:
        key, equals, text = setting.partition("=")
        if not equals:
            raise refusal("set", repr(setting), WANTED, error=SettingError)
        set_value(config, key.strip(), parse_value(text, key))
    return config


def set_value(config: dict, key: str, value: Any):
    """Change what a key such as `kernel.softening` stands for, in place; raises as `apply_settings`.

    Examples
    --------
    >>> config = {"run": {}}
    >>> set_value(config, "run.until", 5.0)
    >>> config
    {'run': {'until': 5.0}}
    """
    parts = [part.strip() for part in key.split(".")]
    if not all(parts):
        raise refusal("set", repr(key), WANTED, error=SettingError)
    target = config
    for part in parts[:-1]:
        target = _step(target, part, key)
    last = parts[-1]
    if isinstance(target, list):
        target[_index(target, last, key)] = value
    elif isinstance(target, dict):
        target[last] = value
    else:
        raise refusal("set", repr(key), f"{'.'.join(parts[:-1])} to be a table", error=SettingError)


def _step(target, part, setting):
    if isinstance(target, list):
        return target[_index(target, part, setting)]
    if not isinstance(target, dict):
        raise refusal("set", repr(setting), f"a table that {part!r} is in", error=SettingError)
    return target.setdefault(part, {})


def _index(target, part, setting):
    names = [entry.get("name") for entry in target if isinstance(entry, dict)]
    if part in names:
        return names.index(part)
    if part.isascii() and part.isdecimal() and len(part) < 10 and int(part) < len(target):
        return int(part)
    known = ", ".join([str(k) for k in range(len(target))] + [name for name in names if name])
    raise refusal("set", f"{part!r} in {setting!r}", f"one of {known}", error=SettingError)


def parse_value(text: str, key: str = "value") -> Any:
    """A value of TOML, or the text itself, a bare word; raises ValueError for several lines.

    Examples
    --------
    >>> parse_value("[1, 2]"), parse_value("linear")
    ([1, 2], 'linear')
    """
    try:
        found = from_toml(f"value = {text}", f"set {key}")
    except tomllib.TOMLDecodeError:
        return text.strip()  # a bare word, as in kernel.profile=linear
    if len(found) > 1:
        raise refusal(f"set {key}", "several lines", "one value", "set each by itself", error=SettingError)
    return found["value"]
