"""Every check of an argument, and the one grammar of a refusal: "name: got …; expected …; what to do."."""

from __future__ import annotations

import os
from collections.abc import Mapping
from difflib import get_close_matches

import numpy as np


def refusal(name, got, expected, do="", *, error=ValueError):
    """Return the error that refuses an argument, for the caller to raise.

    Parameters
    ----------
    name : str
        What the argument is called by the user.
    got, expected : str
        Texts; `describe` makes one of a value of a wrong type.
    do : str
        What to do instead, where `expected` does not say it.
    error : type
        Class of the error: TypeError for a wrong type, ValueError (default) for a wrong value.

    Examples
    --------
    >>> refusal("batch", 500, "at most the 400 images to train on")
    ValueError('batch: got 500; expected at most the 400 images to train on.')
    """
    return error(f"{name}: got {got}; expected {expected}{'; ' + do if do else ''}.")


def describe(value):
    """Return a short text that says what a value is, for messages.

    Examples
    --------
    >>> describe("three"), describe(np.zeros((2, 3)))
    ("str 'three'", 'an array of shape (2, 3)')
    """
    if isinstance(value, np.ndarray):
        return f"an array of shape {value.shape}"
    try:
        text = " ".join(repr(value).split())
    except (ValueError, RecursionError):  # thousands of digits or levels
        text = "too large to be shown"
    return f"{type(value).__name__} {text if len(text) < 60 else text[:57] + '...'}"


def as_array(value, name, shape=None, dtype=None, finite=True, order="C"):
    """Return `value` as a contiguous float array of the expected shape.

    Parameters
    ----------
    value : array_like
        Numbers; integers become float64, float32 and float64 are kept.
    name : str
        What the array is called in messages.
    shape : tuple, optional
        Expected shape: an int is an exact length, None or a string (its name in the message) is any length.
    dtype : dtype, optional
        Convert to this type instead of keeping float32 or float64.
    finite : bool
        Refuse NaN and infinity (default).
    order : str
        "C", or "A": columns may be contiguous as they are.

    Returns
    -------
    numpy.ndarray
        float32 or float64; not copied where nothing has to change.

    Raises
    ------
    TypeError
        If the value is not an array of real numbers.
    ValueError
        If the shape is not the expected one, or a number is not finite.

    Examples
    --------
    >>> as_array([[0, 1]], "places", ("n", 2)).dtype
    dtype('float64')
    >>> as_array([1.0, float("nan")], "strengths")
    Traceback (most recent call last):
    ...
    ValueError: strengths: entry (1,) is nan; every entry must be a finite number.
    """
    if _is_masked(value):
        do = "fill what is masked, as value.filled(0.0) does"
        raise refusal(name, "a masked array, some of whose entries are masked", "numbers everywhere", do)
    try:
        array = np.asarray(value)
    except ValueError as error:
        raise refusal(name, "a ragged nested list", f"a rectangular array ({error})") from None
    if array.dtype.kind not in "fiub":
        raise refusal(name, describe(value), "an array of real numbers", error=TypeError)
    if dtype is None:
        dtype = array.dtype if array.dtype in (np.float32, np.float64) else np.float64
    if order == "A" and not array.flags.f_contiguous:
        order = "C"
    array = np.asarray(array, dtype, order=order) if array.ndim else array.astype(dtype)
    if shape is not None and not _matches(array.shape, shape):
        wanted = "(" + ", ".join("any" if n is None else str(n) for n in shape) + ("," * (len(shape) == 1)) + ")"
        raise refusal(name, f"shape {array.shape}", wanted)
    if finite and not np.isfinite(array).all():
        where = tuple(int(k) for k in np.argwhere(~np.isfinite(array))[0])
        raise ValueError(f"{name}: entry {where} is {array[where]}; every entry must be a finite number.")
    return array


def as_signals(value, name, count, columns=None, finite=True, order="C"):
    """Return signals of `count` neurons, (count,) or (count, s); of `columns`, what follows count, if that is given.

    Raises as `as_array`. With `finite=False` infinite values pass: the caller checks the sum of the signals instead.

    Examples
    --------
    >>> as_signals([[1.0, 2.0]], "x", 1).shape
    (1, 2)
    """
    array = as_array(value, name, finite=finite, order=order)
    if array.ndim not in (1, 2) or len(array) != count or (columns is not None and array.shape[1:] != columns):
        wanted = f"({count},) or ({count}, s)" if columns is None else str((count, *columns))
        raise refusal(name, f"shape {array.shape}", wanted)
    return array


def as_number(value, name, minimum=None, above=None):
    """Return `value` as a finite float, at least `minimum` or strictly above `above`.

    Raises
    ------
    TypeError, ValueError
        If it is not a real number, not finite, or out of range; the message says got and expected.

    Examples
    --------
    >>> as_number(3, "delay", minimum=0)
    3.0
    """
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, (int, float, np.integer, np.floating)):
        raise refusal(name, describe(value), "a number", error=TypeError)
    try:
        number = float(value)
    except OverflowError:  # a whole number that no float holds
        value = number = float("inf")
    limit = f" of at least {minimum}" if minimum is not None else f" above {above}" if above is not None else ""
    low = (minimum is not None and number < minimum) or (above is not None and number <= above)
    if not np.isfinite(number) or low:
        raise refusal(name, value, f"a finite number{limit}")
    return number


def as_count(value, name, minimum=1):
    """Return `value` as an int of at least `minimum`; raises TypeError or ValueError with got and expected."""
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, (int, np.integer)):
        raise refusal(name, describe(value), "a whole number", error=TypeError)
    if abs(value := int(value)) >= 2**256:  # Python does not write the longest ones
        raise refusal(name, f"a number of {value.bit_length():,} bits", "a whole number below 2^256")
    if value < minimum:
        raise refusal(name, value, f"a whole number of at least {minimum}")
    return value


def is_number(text):
    """Whether a text is a number.

    >>> is_number("1e-3"), is_number("linear")
    (True, False)
    """
    try:
        float(text)
    except ValueError:
        return False
    return True


def as_flag(value, name):
    """Return `value` as a bool; raises TypeError with got and expected."""
    if not isinstance(value, (bool, np.bool_)):
        raise refusal(name, describe(value), "True or False", error=TypeError)
    return bool(value)


def as_choice(value, known, name):
    """Return `value` if it is one of the known texts; raises ValueError with got and expected.

    Examples
    --------
    >>> as_choice("half", ("half", "full"), "sets")
    'half'
    >>> as_choice("haf", ("half", "full"), "sets")
    Traceback (most recent call last):
    ...
    ValueError: sets: got 'haf'; expected one of half, full; did you mean 'half'?
    """
    if isinstance(value, str) and value in known:
        return value
    came = repr(value) if isinstance(value, str) else describe(value)
    near = get_close_matches(value, known, 1, 0.6) if isinstance(value, str) else []
    error = refusal(name, came, f"one of {', '.join(known)}")
    if near:
        error.args = (f"{error.args[0].removesuffix('.')}; did you mean {near[0]!r}?",)
    raise error


def as_instance(value, kind, name):
    """Return `value` if it is of a class; raises TypeError with got and expected."""
    if not isinstance(value, kind):
        raise refusal(name, describe(value), f"a {getattr(kind, '__name__', kind)}", error=TypeError)
    return value


def as_like(value, attributes, kind, name):
    """Return `value` if it has what is needed of a class, whatever its own; raises TypeError with got and expected."""
    if isinstance(value, type) or not all(hasattr(value, attribute) for attribute in attributes):
        raise refusal(name, describe(value), f"a {kind}", error=TypeError)
    return value


def as_float_type(value, name):
    """Return float32 or float64 as a NumPy dtype; raises TypeError with got and expected."""
    try:
        dtype = np.dtype(value)
    except TypeError:
        dtype = None
    if value is None or dtype is None or dtype not in (np.float32, np.float64):
        raise refusal(name, describe(value), "float32 or float64", error=TypeError)
    return dtype


def as_callable(value, name):
    """Return `value` if it is None or can be called; raises TypeError with got and expected."""
    if value is not None and not callable(value):
        raise refusal(name, describe(value), "a function or None", error=TypeError)
    return value


def as_table(value, name):
    """Return a copy of a dictionary, an empty one for None; raises TypeError with got and expected."""
    return {} if value is None else dict(as_instance(value, Mapping, name))


def expect_memory(size, what, do):
    """Refuse a size in bytes beyond the memory of the machine, before any of it is taken; raises ValueError."""
    try:
        memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, OSError, ValueError):  # a system that does not tell
        memory = 2**40
    if size > memory:
        limit = f"at most {memory / 2**30:,.1f} GiB, the memory of this machine"
        got = f"{-(-int(size) // 2**30):,} GiB" if size < 2**80 else "more GiB than any machine has"
        raise refusal(what, got, limit, do)


def expect_keys(mapping, known, name):
    """Refuse keys that are not known, naming the nearest known one; raises TypeError or ValueError.

    Examples
    --------
    >>> expect_keys({"softning": 0.1}, ["scale", "softening"], "kernel")
    Traceback (most recent call last):
    ...
    ValueError: kernel: got unknown key 'softning'; did you mean 'softening'? Known are scale, softening.
    """
    if not isinstance(mapping, Mapping):
        raise refusal(name, describe(mapping), f"a table with some of {', '.join(known)}", error=TypeError)
    for key in mapping:
        if key not in known:
            near = get_close_matches(str(key), known, 1, 0.5)
            hint = f"did you mean {near[0]!r}? Known" if near else "known"
            raise ValueError(f"{name}: got unknown key {key!r}; {hint} are {', '.join(known)}.")


def _is_masked(value):
    """Whether an array, or one in a list of them, has masked entries: NumPy would drop the mask."""
    if isinstance(value, list | tuple):
        return any(map(_is_masked, value))
    return isinstance(value, np.ma.MaskedArray) and np.ma.is_masked(value)


def _matches(got, expected):
    return len(got) == len(expected) and all(
        not isinstance(n, (int, np.integer)) or n == m for m, n in zip(got, expected, strict=True)
    )
