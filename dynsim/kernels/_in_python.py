"""Compiled functions as the Python that they were written in."""

from __future__ import annotations

from types import CellType, CodeType, FunctionType

PACKAGE = __name__.partition(".")[0]


def in_python(function, replaced):
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
    return _known(function, dict(replaced))


def _known(function, known):
    if function not in known:
        known[function] = _copy(getattr(function, "py_func", function))  # before its calls, which may be of itself
        _keep_in_python(known[function], known)
    return known[function]


def _copy(function):
    cells = (
        None if function.__closure__ is None else tuple(CellType(cell.cell_contents) for cell in function.__closure__)
    )
    copy = FunctionType(function.__code__, {**function.__globals__}, function.__name__, function.__defaults__, cells)
    copy.__kwdefaults__ = function.__kwdefaults__
    copy.__module__ = function.__module__
    return copy


def _keep_in_python(function, known):
    """Let a copy of a function call Python only."""

    def found(value):
        ours = isinstance(value, FunctionType) and str(value.__module__).partition(".")[0] == PACKAGE
        return _known(value, known) if ours or hasattr(value, "py_func") or _is_in(value, known) else value

    for name in _names(function.__code__):
        if name in function.__globals__:
            function.__globals__[name] = found(function.__globals__[name])
    for cell in function.__closure__ or ():
        cell.cell_contents = found(cell.cell_contents)


def _names(code):
    """Global names in a function's code and in that of functions within it."""
    inner = (_names(part) for part in code.co_consts if isinstance(part, CodeType))
    return {*code.co_names}.union(*inner)


def _is_in(value, known):
    try:
        return value in known
    except TypeError:  # an array, a dict
        return False
