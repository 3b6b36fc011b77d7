"""Compiled functions as the Python that they were written in."""

from __future__ import annotations

from types import CellType, FunctionType

PACKAGE = __name__.partition(".")[0]


def in_python(function, replaced, known=None):
    """Return the Python function behind a compiled one, of which all calls stay in Python.

    Parameters
    ----------
    function : callable
        Compiled by Numba, or a Python function that calls compiled ones: by their global names, or closed over.
    replaced : dict
        What is called in place of compiled functions, by these.

    Examples
    --------
    >>> from numba import njit
    >>> twice = njit(lambda x: 2 * x)
    >>> in_python(njit(lambda x: twice(x) + 1), {})(3)
    7
    """
    known = dict(replaced) if known is None else known
    if function not in known:
        known[function] = _rebuilt(getattr(function, "py_func", function), known)
    return known[function]


def _rebuilt(function, known):
    def found(value):
        ours = isinstance(value, FunctionType) and str(value.__module__).partition(".")[0] == PACKAGE
        return in_python(value, known, known) if ours or hasattr(value, "py_func") or _is_in(value, known) else value

    names = {**function.__globals__}
    copy = FunctionType(
        function.__code__,
        names,
        function.__name__,
        function.__defaults__,
        None if function.__closure__ is None else tuple(CellType() for _ in function.__closure__),
    )
    known.setdefault(function, copy)
    for name in function.__code__.co_names:
        if name in names:
            names[name] = found(names[name])
    for cell, was in zip(copy.__closure__ or (), function.__closure__ or (), strict=True):
        cell.cell_contents = found(was.cell_contents)
    return copy


def _is_in(value, known):
    try:
        return value in known
    except TypeError:  # an array, a dict
        return False
