"""What the writer and the reader refuse, each in one sentence."""

import numbers as numbers_of_python
import operator
import os
from collections.abc import Mapping

import numpy as np

# Names that write() uses itself could not be given as observables.
_TAKEN = ("self", "step", "time", "q", "R", "E")


def count(name, value):
    """A whole number, 1 or more."""
    try:
        number = operator.index(value)
    except TypeError:
        raise TypeError(f"got {name} = {value!r}, expected a whole number") from None
    if number < 1:
        raise ValueError(f"got {name} = {number}, expected 1 or more")
    return number


def flag(name, value):
    """True or False."""
    if not isinstance(value, bool | np.bool_):
        raise TypeError(f"got {name} of type {type(value).__name__}, expected True or False")
    return bool(value)


def table(name, value):
    """A dictionary, or None for an empty one."""
    if value is not None and not isinstance(value, Mapping):
        raise TypeError(f"got {name} of type {type(value).__name__}, expected a dictionary")
    return {} if value is None else dict(value)


def seconds(name, value):
    """A number of seconds, 0 or more."""
    if isinstance(value, bool) or not isinstance(value, numbers_of_python.Real):
        raise TypeError(f"got {name} of type {type(value).__name__}, expected a number of seconds")
    if not value >= 0:
        raise ValueError(f"got {name} = {value}, expected a number of seconds, 0 or more")
    return value


def seed_number(value):
    """A whole number from 0, or None."""
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | np.integer):
        raise TypeError(f"got seed of type {type(value).__name__}, expected a whole number")
    if value < 0:
        raise ValueError(f"got seed = {value}, expected a whole number, 0 or more")
    return int(value)


def number_type(value):
    """float32 or float64."""
    try:
        dtype = np.dtype(value)
    except TypeError:
        dtype = None
    if value is None or dtype is None or dtype not in (np.dtype("float32"), np.dtype("float64")):
        text = f"an array of shape {value.shape}" if isinstance(value, np.ndarray) else repr(value)
        raise ValueError(f"got dtype {text}, expected float32 or float64")
    return dtype


def function(name, value):
    """Something to call, or None."""
    if value is not None and not callable(value):
        raise TypeError(f"got {name} of type {type(value).__name__}, expected a function")
    return value


def observable_names(names):
    """Names that can be keywords of write() and groups of the file."""
    if not isinstance(names, str | list | tuple):
        raise TypeError(f"got observables of type {type(names).__name__}, expected a list of names")
    names = (names,) if isinstance(names, str) else tuple(names)
    for name in names:
        if not isinstance(name, str) or not name.replace("-", "_").isidentifier():
            raise ValueError(f"got observable {name!r}, expected a name of letters, digits and underscores")
        if name in _TAKEN:
            raise ValueError(f"got observable {name!r}, which write() uses itself; choose another name")
    if len(set(names)) != len(names):
        raise ValueError(f"got observables {list(names)}, expected each name once")
    return names


def group_numbers(groups, neurons):
    """Groups (N,) as int64; all zero if none are given."""
    groups = np.zeros(neurons, dtype=np.int64) if groups is None else np.asarray(groups)
    if groups.shape != (neurons,) or not np.issubdtype(groups.dtype, np.integer):
        raise ValueError(f"got groups of {groups.dtype} and shape {groups.shape}, expected ints of shape ({neurons},)")
    return groups.astype(np.int64)


def numbers(name, value):
    """`value` as an array of real numbers; NaN and infinity are kept: a diverged run is a record too."""
    array = np.asarray(value)
    if array.dtype.kind not in "biuf":
        raise ValueError(f"got {name} of {array.dtype}, expected an array of real numbers")
    return array


def real(name, value):
    """`value` as a float; NaN and infinity are kept."""
    array = numbers(name, value)
    if array.ndim:
        raise ValueError(f"got {name} of shape {array.shape}, expected one number")
    return float(array)


def fits_memory(size, what, remedy):
    """Refuse sizes in bytes beyond the machine's memory before any of it is taken."""
    try:
        memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, OSError, ValueError):  # a system that does not tell
        memory = 2**40
    if size > memory:
        raise ValueError(
            f"{what} takes {size / 2**30:,.1f} GiB of the {memory / 2**30:,.1f} GiB of memory here; {remedy}"
        )
