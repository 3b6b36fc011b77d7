"""TOML whose tables and numbers have sizes that Python can read."""

from __future__ import annotations

import tomllib

from dynsim._check import refusal


def from_toml(text, name):
    """Return what a TOML text says; `name` is what it is called where it goes beyond all bounds.

    Raises tomllib.TOMLDecodeError for what is no TOML, and ValueError.

    >>> from_toml("delay = 0.5", "run.toml")
    {'delay': 0.5}
    """
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        raise
    except RecursionError:
        raise refusal(name, "lists or tables nested hundreds of levels deep", "a few levels") from None
    except ValueError:  # of int
        raise refusal(name, "a whole number of thousands of digits", "numbers of a few digits") from None
