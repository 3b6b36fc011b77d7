"""Code from expressions, for NumPy, Numba, CUDA C and any library of arrays: all of it is written here.

What does not depend on r is computed once for a kernel, in float64. The code takes it from an array `numbers`: 0, the
square of the softening, 1, then the kernel's constants. So it works in the precision of this array.
"""

from __future__ import annotations

from functools import cache, lru_cache
from typing import NamedTuple

import numpy as np
from scipy.special import erf

from ._expression import ONE, R, as_product, depends_on_r, negative, parse, product, slope

ZERO_PLACE, ETA2_PLACE, ONE_PLACE, FIRST_PLACE = range(4)  # in `numbers`
R2 = product(1.0, [(R, 2)])
INVERSE_R = product(1.0, [(R, -1)])
NUMPY = {name: getattr(np, name) for name in ("sqrt", "exp", "log", "sin", "cos", "tan", "sinh", "cosh", "tanh")}
NUMPY |= {"arctan": np.arctan, "erf": erf, "abs": np.abs, "sign": np.sign, "minimum": np.minimum, "maximum": np.maximum}
NUMPY |= {"pow": np.power}


class Formula(NamedTuple):
    """Lines of code and the name of their result, for phi and for its slope; and the trees of their constants."""

    value: tuple
    slope: tuple
    constants: tuple


@cache
def write(text, language):
    """Return the `Formula` of an expression in "python" or "c"."""
    tree, constants = parse(text), {}
    bodies = []
    for part in (tree, slope(tree)):
        writer = _Writer(language, constants)
        result = writer.write(part)
        bodies.append((tuple(writer.lines), result))
    return Formula(*bodies, tuple(constants))


@lru_cache(256)
def numbers_of(kernel):
    """The numbers that a kernel's code needs, as floats."""
    names = {"c": kernel.scale, "eta": kernel.softening, "length": kernel.length}
    with np.errstate(all="ignore"):
        constants = [float(evaluate(tree, names)) for tree in write(kernel.expression, "python").constants]
    return (0.0, kernel.softening**2, 1.0, *constants)


def evaluate(tree, names):
    """The value of a tree as a NumPy float64, with the values of names."""
    kind = tree[0]
    if kind == "number":
        return np.float64(tree[1])
    if kind == "name":
        return np.float64(names[tree[1]])
    if kind == "product":
        above = below = np.float64(1.0)
        for base, n in tree[2]:
            factor = evaluate(base, names) ** float(abs(n))
            above, below = (above * factor, below) if n > 0 else (above, below * factor)
        return tree[1] * above / below
    arguments = [evaluate(argument, names) for argument in (tree[2:] if kind == "call" else tree[1:])]
    if kind == "add":
        return arguments[0] + arguments[1]
    return NUMPY["pow" if kind == "power" else tree[1]](*arguments)


def python_functions(text, functions):
    """Return value(r2, numbers) and slope(r2, numbers) = phi'(r) / r of an expression as Python functions.

    They compute with `functions`, the functions of expressions by name and "pow", on what these work on.
    """
    formula, made = write(text, "python"), []
    functions = {"reciprocal_root": lambda x: 1 / functions["sqrt"](x), **functions}
    for lines, result in formula[:2]:
        # The source consists of what the writer writes and nothing else.
        source = "\n".join(["def formula(r2, numbers):", *(f"    {line}" for line in lines), f"    return {result}"])
        names = {f"f_{name}": function for name, function in functions.items()}
        exec(compile(source, "<expression of a kernel>", "exec"), names)
        made.append(names["formula"])
    return tuple(made)


def array_functions(kernel, functions):
    """Return phi and phi'(r) / r as functions of r^2 (softened), for arrays of another library than NumPy.

    Parameters
    ----------
    kernel : Kernel
    functions : dict
        The library's functions: sqrt, exp, log, sin, cos, tan, sinh, cosh, tanh, arctan, erf, abs, sign, minimum,
        maximum and pow. The last three are also called with a number in place of one of the arrays.

    Examples
    --------
    >>> from dynsim.kernels import Kernel
    >>> value, slope = array_functions(Kernel("c / (1 + r)"), {"sqrt": lambda x: x**0.5})
    >>> value(9.0), slope(9.0)
    (0.25, -0.020833333333333332)
    """
    numbers = numbers_of(kernel)
    value, slope = python_functions(kernel.expression, functions)
    return lambda r2: value(r2, numbers), lambda r2: slope(r2, numbers)


class _Writer:
    """Writes a tree as assignments, every part of it once."""

    def __init__(self, language, constants):
        self.language, self.constants = language, constants
        self.lines, self.known = [], {R2: "r2"}

    def write(self, tree):
        """Write what the tree needs; returns the name of its value."""
        if not depends_on_r(tree):
            place = self.constants.setdefault(tree, FIRST_PLACE + len(self.constants))
            return f"numbers[{place}]"
        if tree not in self.known:
            code = self._code(tree)
            self.known[tree] = f"t{len(self.known)}"
            self.lines.append(
                f"const real {self.known[tree]} = {code};" if self.language == "c" else f"{self.known[tree]} = {code}"
            )
        return self.known[tree]

    def _code(self, tree):
        if tree == R:
            return "f_sqrt(r2)"
        if tree == INVERSE_R:
            return "f_reciprocal_root(r2)"
        kind = tree[0]
        if kind == "product":
            return self._product(tree)
        if kind == "add":
            x, y = tree[1:] if not self._is_negated(tree[1]) else tree[:0:-1]
            if self._is_negated(y):
                return f"{self.write(x)} - {self.write(negative(y))}"
            return f"{self.write(x)} + {self.write(y)}"
        name, arguments = ("pow", tree[1:]) if kind == "power" else (tree[1], tree[2:])
        return f"f_{name}({', '.join(self.write(argument) for argument in arguments)})"

    def _is_negated(self, tree):
        """Whether a tree is minus another one, with no constant that could take up the sign."""
        return tree[0] == "product" and tree[1] == -1 and all(depends_on_r(base) for base, _ in tree[2])

    def _product(self, tree):
        coefficient, factors = as_product(tree)
        constant = product(coefficient, [factor for factor in factors if not depends_on_r(factor[0])])
        above, below = [], []
        for base, n in factors:
            if depends_on_r(base):
                self._append_power(base, n, above, below)
        sign = ""
        if constant == ("number", -1.0) and above:
            sign = "-"
        elif constant != ONE or not above:
            above.insert(0, self.write(constant))
        code = sign + " * ".join(above)
        return f"{code} / ({' * '.join(below)})" if below else code

    def _append_power(self, base, n, above, below):
        """Put the factors of base^n above or below the line of a fraction."""
        if base == R and n < 0 and n % 2 and R not in self.known:  # the processor estimates it, and divides slowly
            base, n = INVERSE_R, -n
        elif base == R and n not in (1, -1):  # r^2 is known: an even power takes no root
            if n % 2:
                above.append(self.write(R))
            base, n = R2, n // 2
        (above if n > 0 else below).extend(self._factors(base, abs(n)))

    def _factors(self, base, n):
        """The factors of base^n for n >= 1, by squaring."""
        if n <= 3:
            return [self.write(base)] * n
        half = self.write(("product", 1.0, ((base, n // 2),)))
        return [half, half] + ([self.write(base)] if n % 2 else [])
