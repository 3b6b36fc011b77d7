"""Code from checked expressions, for NumPy, Numba and CUDA C: what is compiled is written here, never by the user."""

from __future__ import annotations

import numpy as np
from scipy.special import erf

from ._expression import R, derivative, divide, parse

NUMPY = {name: getattr(np, name) for name in ("sqrt", "exp", "log", "sin", "cos", "tan", "sinh", "cosh", "tanh")}
NUMPY |= {"arctan": np.arctan, "erf": erf, "abs": np.abs, "sign": np.sign, "minimum": np.minimum, "maximum": np.maximum}
BINARY = {"add": "+", "subtract": "-", "multiply": "*", "divide": "/"}
APPLY = {"add": np.add, "subtract": np.subtract, "multiply": np.multiply, "divide": np.divide, "power": np.power}
# Where the kernel's own numbers stand in the array `numbers` of `_block.constants`.
PLACES = {"c": 0, "eta": 7, "length": 8}


def value(tree, r, names):
    """The value of a tree at distances r (NumPy, float64); `names` holds c, eta and length."""
    if tree[0] == "number":
        return np.float64(tree[1])
    if tree[0] == "name":
        return r if tree == R else np.float64(names[tree[1]])
    if tree[0] == "negative":
        return -value(tree[1], r, names)
    if tree[0] == "call":
        return NUMPY[tree[1]](*(value(argument, r, names) for argument in tree[2:]))
    return APPLY[tree[0]](*(value(argument, r, names) for argument in tree[1:]))


class Writer:
    """Writes a tree as assignments, every part once; `target` is "python" or "c"."""

    def __init__(self, target):
        self.target, self.lines, self.known, self.numbers = target, [], {("name", "r2"): "r2"}, {}

    def write(self, tree):
        """Write what the tree needs; returns the name that holds its value."""
        if tree not in self.known:
            code = self._code(tree)
            self.known[tree] = f"t{len(self.known)}"
            start, end = ("    ", "") if self.target == "python" else ("    const real ", ";")
            self.lines.append(f"{start}{self.known[tree]} = {code}{end}")
        return self.known[tree]

    def _code(self, tree):
        kind = tree[0]
        if kind == "number":
            if self.target == "c":
                return f"real({tree[1]!r})"
            name = f"k{len(self.numbers)}"
            self.numbers[name] = tree[1]
            return name
        if kind == "name":
            return self._sqrt(("name", "r2")) if tree == R else f"numbers[{PLACES[tree[1]]}]"
        if kind == "negative":
            return f"-{self.write(tree[1])}"
        if kind == "call":
            return f"f_{tree[1]}({', '.join(self.write(argument) for argument in tree[2:])})"
        if kind == "power":
            return self._power(*tree[1:])
        return f"{self.write(tree[1])} {BINARY[kind]} {self.write(tree[2])}"

    def _power(self, x, y):
        if y[0] == "number" and y[1] == int(y[1]):
            n = int(y[1])
            if x == R and n % 2 == 0:  # r^2 is what is known: no root is taken
                x, n = ("name", "r2"), n // 2
            if n < 0:
                return f"{self.write(('number', 1.0))} / ({self._product(x, -n)})"
            return self._product(x, n)
        if y == ("number", 0.5):
            return self._sqrt(x)
        return f"f_pow({self.write(x)}, {self.write(y)})"

    def _product(self, x, n):
        """x^n for n >= 1 by squaring."""
        if n == 1:
            return self.write(x)
        half = self.write(("power", x, ("number", float(n // 2)))) if n > 3 else self.write(x)
        if n > 3:
            return f"{half} * {half}" + (f" * {self.write(x)}" if n % 2 else "")
        return " * ".join([half] * n)

    def _sqrt(self, x):
        return f"f_sqrt({self.write(x)})"


def c_functions(text):
    """Return the bodies of value and slope as C, over `real`, with the helpers f_* of `_cuda`."""
    tree = parse(text)
    bodies = []
    for part in (tree, divide(derivative(tree), R)):
        writer = Writer("c")
        result = writer.write(part)
        bodies.append("\n".join([*writer.lines, f"    return {result};"]))
    return bodies
