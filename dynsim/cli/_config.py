"""Changes to a configuration from the command line."""

from __future__ import annotations

import tomllib

import click


def apply_settings(config, settings):
    """Change a configuration by settings such as `run.until=5` or `groups.0.neurons=10` (or a group's name).

    >>> apply_settings({"groups": [{"name": "input"}]}, ["groups.input.neurons=3", "kernel.profile=linear"])
    {'groups': [{'name': 'input', 'neurons': 3}], 'kernel': {'profile': 'linear'}}
    """
    for setting in settings:
        key, equals, text = setting.partition("=")
        parts = [part.strip() for part in key.split(".")]
        if not equals or not all(parts):
            raise click.UsageError(
                f"--set: got {setting!r}; expected KEY=VALUE, as run.until=5 or kernel.softening=0.1."
            )
        target = config
        for part in parts[:-1]:
            target = _step(target, part, setting)
        last = parts[-1]
        if isinstance(target, list):
            target[_index(target, last, setting)] = _value(text)
        elif isinstance(target, dict):
            target[last] = _value(text)
        else:
            raise click.UsageError(f"--set: got {setting!r}, but {'.'.join(parts[:-1])} is no table.")
    return config


def _step(target, part, setting):
    if isinstance(target, list):
        return target[_index(target, part, setting)]
    if not isinstance(target, dict):
        raise click.UsageError(f"--set: got {setting!r}, but there is no table {part!r}.")
    return target.setdefault(part, {})


def _index(target, part, setting):
    names = [entry.get("name") for entry in target if isinstance(entry, dict)]
    if part in names:
        return names.index(part)
    if part.isdigit() and int(part) < len(target):
        return int(part)
    known = ", ".join([str(k) for k in range(len(target))] + [name for name in names if name])
    raise click.UsageError(f"--set: got {setting!r}; {part!r} is none of {known}.")


def _value(text):
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text.strip()  # a bare word, as in kernel.profile=linear
