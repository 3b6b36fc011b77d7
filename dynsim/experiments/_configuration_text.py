"""A configuration as TOML with comments."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from dynsim._check import as_table, describe, expect_keys, refusal
from dynsim._files import to_json
from dynsim.engine import CONFIGURATION_KEYS

_COLUMN = 44  # of comments
_STRENGTHS = "lambda[from, to]: a number, a matrix, or a table in which pairs that are not named have 0"


def configuration_text(config: Mapping) -> str:
    """Return a configuration as TOML with comments: what each key means, and those that are not set as examples.

    Read again, it is the same configuration. Raises ValueError for a key that configurations do not have, TypeError for
    what is no table, or holds what TOML has no form for.

    >>> print(configuration_text({"groups": [{"neurons": 2}], "run": {"until": 1.0}}))  # doctest: +ELLIPSIS
    # A simulation; keys that are not set are comments.
    <BLANKLINE>
    # seed = 0   ...
    """
    config = as_table(config, "configuration")
    expect_keys(config, [*CONFIGURATION_KEYS[""], *filter(None, CONFIGURATION_KEYS), "strengths"], "configuration")
    for name in ("kernel", "operators", "teacher", "run"):
        expect_keys(as_table(config.get(name), name), CONFIGURATION_KEYS[name], name)
    for k, group in enumerate(config.get("groups", [])):
        expect_keys(as_table(group, f"groups[{k}]"), CONFIGURATION_KEYS["groups"], f"groups[{k}]")
    defaults = {"seed": 0, "dimension": 3, "copies": 1, "signals": 1, "delay": 0.0}
    lines = ["# A simulation; keys that are not set are comments.", ""]
    lines += _lines(CONFIGURATION_KEYS[""], config, defaults)
    kernel = {"profile": "inverse", "metric": "l2", "scale": 1.0, "softening": 0.0, "length": 1.0}
    lines += ["", "[kernel]", *_lines(CONFIGURATION_KEYS["kernel"], config.get("kernel", {}), kernel)]
    lines += [
        "",
        "# E = act(A R) + B q + C q',  q' = D R + E E + F q; a number c is c times the identity",
        "[operators]",
    ]
    lines += _lines(
        CONFIGURATION_KEYS["operators"],
        config.get("operators", {}),
        {**dict.fromkeys("ABCDEF", 0.0), "activation": "identity"},
    )
    for k, group in enumerate(config.get("groups", [])):
        # The first one says what the keys mean.
        described = _lines(CONFIGURATION_KEYS["groups"], group, {"places": {"kind": "normal"}})
        lines += ["", "[[groups]]", *(described if not k else [f"{key} = {_value(group[key])}" for key in group])]
    strengths = config.get("strengths", 1.0)
    if isinstance(strengths, Mapping):
        lines += ["", f"# {_STRENGTHS}", "[strengths]"]
        lines += [f"{to_json(arrow)} = {_value(value)}" for arrow, value in strengths.items()]
    else:  # before the first table, to which it would belong
        said = f"{'' if 'strengths' in config else '# '}strengths = {_value(strengths)}"
        lines.insert(2 + len(CONFIGURATION_KEYS[""]), _aligned(said, _STRENGTHS))
    teacher = config.get("teacher")
    lines += ["", "# [teacher]" if teacher is None else "[teacher]"]
    lines += _lines(CONFIGURATION_KEYS["teacher"], teacher or {}, {"loss": "squared error", "rate": 1.0})
    lines += [
        "",
        "[run]",
        *_lines(CONFIGURATION_KEYS["run"], config.get("run", {}), {"start": 0.0, "method": "dopri5"}),
    ]
    return "\n".join(lines) + "\n"


def _lines(keys, table, defaults):
    """A line for every key; those that are not set are comments."""
    found = []
    for key, (_, meaning, example) in keys.items():
        if key in table:
            found.append(_aligned(f"{key} = {_value(table[key])}", meaning))
        else:
            found.append(_aligned(f"# {key} = {_value(defaults.get(key, example))}", meaning))
    return found


def _aligned(text, comment):
    return f"{text:<{_COLUMN}} # {comment}" if len(text) <= _COLUMN else f"# {comment}\n{text}"


def _value(value: Any) -> str:
    """A value as TOML.

    >>> print(_value({"kind": "normal", "center": [0.0, float("inf")]}))
    { kind = "normal", center = [0.0, inf] }
    """
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{_key(name)} = {_value(part)}" for name, part in value.items()) + " }"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(_value, value)) + "]"
    if isinstance(value, float):
        return (
            repr(float(value))
            if math.isfinite(value)
            else "nan"
            if math.isnan(value)
            else "inf"
            if value > 0
            else "-inf"
        )
    if isinstance(value, bool | int | str):
        return to_json(value)
    raise refusal("configuration", describe(value), "numbers, texts, lists and tables", error=TypeError)


def _key(name):
    return name if name.replace("_", "").isalnum() and name.isascii() else to_json(name)
