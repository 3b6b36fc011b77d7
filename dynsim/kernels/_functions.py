"""The functions of expressions on one number, compiled; and the two that stand for an expression in a loop."""

from __future__ import annotations

import math
from functools import cache

import numpy as np
from numba import njit, types
from numba.extending import overload

from ._expression import R, derivative, divide, parse
from ._formula import Writer

# Reassociation lets sums vectorise; NaN and infinity keep their meaning, so that a singular pair is seen.
FLAGS = {"reassoc", "contract", "arcp", "afn", "nsz"}


@njit(cache=True, fastmath=FLAGS)
def _sign(x):
    return x - x if x == 0 else x / abs(x)


@njit(cache=True, fastmath=FLAGS)
def _minimum(x, y):
    return x if x < y or x != x else y


@njit(cache=True, fastmath=FLAGS)
def _maximum(x, y):
    return x if x > y or x != x else y


SCALAR = {name: getattr(math, name) for name in ("sqrt", "exp", "log", "sin", "cos", "tan", "sinh", "cosh", "tanh")}
SCALAR |= {"arctan": math.atan, "erf": math.erf, "abs": abs, "pow": math.pow}
SCALAR |= {"sign": _sign, "minimum": _minimum, "maximum": _maximum}


def python_functions(text, real):
    """Return value(r2, numbers) and slope(r2, numbers) = phi'(r) / r as Python functions for Numba to compile.

    `real` is the type of their numbers, so that float32 stays float32.
    """
    tree = parse(text)
    return tuple(_python(part, real) for part in (tree, divide(derivative(tree), R)))


def _python(tree, real):
    writer = Writer("python")
    result = writer.write(tree)
    source = "\n".join(["def formula(r2, numbers):", *writer.lines, f"    return {result}"])
    names = {f"f_{name}": function for name, function in SCALAR.items()}
    names |= {name: real(number) for name, number in writer.numbers.items()}
    # The source is made of the names above and nothing else.
    exec(compile(source, "<expression of a kernel>", "exec"), names)
    return names["formula"]


@cache
def _functions(text, real):
    return python_functions(text, real)


def user_value(r2, profile, numbers):
    """phi of the expression `profile`, a constant of the loop, at a squared softened distance; r2 of any other."""
    return _functions(profile, np.float64)[0](r2, numbers) if isinstance(profile, str) else r2


def user_slope(r2, profile, numbers):
    """phi'(r) / r of the expression `profile` at a squared softened distance; r2 of any other."""
    return _functions(profile, np.float64)[1](r2, numbers) if isinstance(profile, str) else r2


def _implementation(r2, profile, which):
    text = getattr(profile, "literal_value", None)
    if not isinstance(text, str) or not text:
        return lambda r2, profile, numbers: r2
    formula = njit(fastmath=FLAGS, inline="always")(
        _functions(text, np.float32 if r2 == types.float32 else np.float64)[which]
    )
    return lambda r2, profile, numbers: formula(r2, numbers)


@overload(user_value, jit_options={"fastmath": FLAGS}, inline="always", prefer_literal=True)
def _user_value(r2, profile, numbers):
    return _implementation(r2, profile, 0)


@overload(user_slope, jit_options={"fastmath": FLAGS}, inline="always", prefer_literal=True)
def _user_slope(r2, profile, numbers):
    return _implementation(r2, profile, 1)
