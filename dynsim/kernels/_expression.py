"""Profiles as expressions in r: read, checked, brought into a normal form, and differentiated. Nothing is executed.

An expression becomes a tree of tuples:

    ("number", 2.0)
    ("name", "r")                      r, c, eta or length
    ("add", x, y)
    ("product", 2.0, ((x, n), ...))    a number times whole powers of trees that are neither numbers nor products
    ("power", x, y)                    the exponent is not a whole number
    ("call", "exp", x)

Only what is listed below is accepted. `_formula` writes code from such trees.
"""

from __future__ import annotations

import ast
import math
from difflib import get_close_matches
from functools import cache

from dynsim._check import refusal

LONGEST, DEEPEST, HIGHEST = 400, 40, 64  # characters; nested operations; power of a number
NAMES = ("r", "c", "eta", "length", "pi")
# Functions and their numbers of arguments.
FUNCTIONS = {
    **dict.fromkeys(("sqrt", "exp", "log", "sin", "cos", "tan", "sinh", "cosh", "tanh", "arctan", "erf", "abs"), 1),
    "sign": 1,
    "minimum": 2,
    "maximum": 2,
}
ZERO, ONE, TWO, R = ("number", 0.0), ("number", 1.0), ("number", 2.0), ("name", "r")


@cache
def parse(text):
    """Return the tree of an expression.

    Raises
    ------
    ValueError
        If it is longer or deeper than allowed, or holds anything but numbers, the names and functions above,
        + - * / ** and parentheses; the message names the part.

    Examples
    --------
    >>> parse("3 * c / r")
    ('product', 3.0, ((('name', 'c'), 1), (('name', 'r'), -1)))
    """
    if len(text) > LONGEST:
        raise _refusal(f"an expression of {len(text)} characters", f"at most {LONGEST}")
    try:
        body = ast.parse(text.strip(), mode="eval").body
    except (SyntaxError, ValueError, MemoryError, RecursionError) as error:
        reason = getattr(error, "msg", None) or "too deep, or with characters that are not text"
        raise _refusal(f"{_short(text)}, which is no expression ({reason})", "one such as 'c / (1 + r)'") from None
    return _read(body, text.strip(), DEEPEST)


def _read(node, text, depth):
    if not depth:
        raise _refusal(f"{_short(text)}, which is nested too deeply", f"at most {DEEPEST} levels")
    match node:
        case ast.Constant(value=int() | float() as value) if not isinstance(value, bool):
            return _number(value, node, text)
        case ast.Name(id=name):
            if name not in NAMES:
                raise _unknown(name, "name", NAMES, text)
            return ("number", math.pi) if name == "pi" else ("name", name)
        case ast.UnaryOp(op=ast.UAdd(), operand=operand):
            return _read(operand, text, depth - 1)
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            return negative(_read(operand, text, depth - 1))
        case ast.BinOp(op=op, left=left, right=right) if type(op) in OPERATIONS:
            x, y = _read(left, text, depth - 1), _read(right, text, depth - 1)
            if isinstance(op, ast.Pow) and x[0] != "number" and y[0] == "number" and abs(y[1]) > HIGHEST:
                raise _refusal(f"the power {y[1]:g} in {_part(node, text)}", f"at most {HIGHEST}")
            tree = OPERATIONS[type(op)](x, y)
            highest = max((abs(n) for _, n in as_product(tree)[1]), default=0)
            if highest > HIGHEST**2:
                raise _refusal(f"the power {highest} in {_part(node, text)}", f"at most {HIGHEST**2}")
            if not math.isfinite(as_product(tree)[0]):
                raise _refusal(f"{_part(node, text)}, which is not a finite number", "one below 1.8e308")
            return tree
        case ast.Call(func=ast.Name(id=name), args=arguments, keywords=[]):
            if name not in FUNCTIONS:
                raise _unknown(name, "function", FUNCTIONS, text)
            if len(arguments) != FUNCTIONS[name]:
                got = f"{_part(node, text)} with {len(arguments)} argument(s)"
                raise _refusal(got, f"{FUNCTIONS[name]}")
            return call(name, *(_read(argument, text, depth - 1) for argument in arguments))
    raise _refusal(
        f"{_part(node, text)}, which is not allowed",
        f"numbers, the names {', '.join(NAMES)}, + - * / ** and the functions {', '.join(FUNCTIONS)}",
    )


def _number(value, node, text):
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise _refusal(f"the number {_part(node, text)}", "one below 1.8e308")
    return ("number", number)


def _refusal(found, expected, do=""):
    return refusal("kernel profile", found, expected, do)


def _part(node, text):
    return _short(ast.get_source_segment(text, node) or type(node).__name__)


def _short(text):
    return repr(text if len(text) < 60 else text[:57] + "...")


def _unknown(name, what, known, text):
    near = get_close_matches(name, known, 1, 0.5)
    hint = f"perhaps {near[0]!r} is meant" if near else ""
    return _refusal(f"the unknown {what} {name!r} in {_short(text)}", f"one of {', '.join(known)}", hint)


def add(x, y):
    """x + y."""
    if x[0] == y[0] == "number":
        return ("number", x[1] + y[1])
    if ZERO in (x, y):
        return y if x == ZERO else x
    return ("add", x, y)


def subtract(x, y):
    """x - y."""
    return add(x, negative(y))


def negative(x):
    """-x."""
    return multiply(("number", -1.0), x)


def multiply(x, y):
    """x y."""
    a, factors = as_product(x)
    b, more = as_product(y)
    factors = dict(factors)
    for base, n in more:
        factors[base] = factors.get(base, 0) + n
    return product(a * b, factors.items())


def divide(x, y):
    """x / y."""
    return multiply(x, power(y, ("number", -1.0)))


def power(x, y):
    """x ** y; a high power of a product with constants stays one, whose constants alone might overflow."""
    if y == ("number", 0.5) and x[0] != "number":
        return call("sqrt", x)
    if y[0] != "number" or (x[0] != "number" and y[1] != int(y[1])):
        return ("power", x, y)
    coefficient, factors = as_product(x)
    constant = coefficient != 1 or not all(depends_on_r(base) for base, _ in factors)
    try:
        coefficient **= y[1]
    except (OverflowError, ZeroDivisionError):
        coefficient = math.inf
    if isinstance(coefficient, complex):
        coefficient = math.nan
    exact = coefficient != 0 and math.isfinite(coefficient)
    if factors and ((constant and abs(y[1]) > 2) or not exact):
        return product(1.0, [(x, int(y[1]))])
    return product(coefficient, [(base, n * int(y[1])) for base, n in factors])


def call(name, *arguments):
    """A function of trees."""
    return ("call", name, *arguments)


OPERATIONS = {ast.Add: add, ast.Sub: subtract, ast.Mult: multiply, ast.Div: divide, ast.Pow: power}


def as_product(tree):
    """Return a tree as a number and its factors, pairs of a base and a whole exponent."""
    if tree[0] == "number":
        return tree[1], ()
    return tree[1:] if tree[0] == "product" else (1.0, ((tree, 1),))


def product(coefficient, factors):
    """The tree of a number times factors, of which each base occurs once."""
    factors = tuple(sorted((factor for factor in factors if factor[1]), key=repr))
    if not factors or coefficient == 0:
        return ("number", coefficient)
    if coefficient == 1 and len(factors) == 1 and factors[0][1] == 1:
        return factors[0][0]
    return ("product", coefficient, factors)


@cache
def depends_on_r(tree):
    """Whether a tree contains r."""
    if tree[0] == "product":
        return any(depends_on_r(base) for base, _ in tree[2])
    return tree == R or any(depends_on_r(part) for part in tree[1:] if isinstance(part, tuple))


VECTORS = ("sqrt", "exp", "abs", "sign", "minimum", "maximum")


def calls_functions(tree):
    """Whether a tree contains a function of which compiled loops make no vectors."""
    if tree[0] == "product":
        return any(calls_functions(base) for base, _ in tree[2])
    called = tree[0] == "power" or (tree[0] == "call" and tree[1] not in VECTORS)
    return called or any(calls_functions(part) for part in tree[1:] if isinstance(part, tuple))


def derivative(tree):
    """d tree / dr, a tree.

    Examples
    --------
    >>> derivative(parse("c * r ** 2"))
    ('product', 2.0, ((('name', 'c'), 1), (('name', 'r'), 1)))
    """
    if tree == R:
        return ONE
    if not depends_on_r(tree):
        return ZERO
    kind = tree[0]
    if kind == "call":
        return _chain(tree)
    if kind == "add":
        return add(derivative(tree[1]), derivative(tree[2]))
    if kind == "product":
        total = ZERO
        for base, n in tree[2]:
            rest = multiply(tree, product(float(n), [(base, -1)]))
            total = add(total, multiply(rest, derivative(base)))
        return total
    x, y = tree[1:]
    along = multiply(multiply(y, power(x, subtract(y, ONE))), derivative(x))
    return add(along, multiply(multiply(tree, call("log", x)), derivative(y)))


def slope(tree):
    """(d tree / dr) / r: times a difference of places it is a gradient.

    Examples
    --------
    >>> slope(parse("3 / r"))
    ('product', -3.0, ((('name', 'r'), -3),))
    """
    return _over_r(derivative(tree))


def _over_r(tree):
    if tree[0] == "add" and _has_factor_r(tree):  # no division is left, and nothing is infinite at r = 0
        return add(_over_r(tree[1]), _over_r(tree[2]))
    return divide(tree, R)


def _has_factor_r(tree):
    if tree[0] == "add":
        return _has_factor_r(tree[1]) and _has_factor_r(tree[2])
    return dict(as_product(tree)[1]).get(R, 0) > 0


def _chain(tree):
    name, x = tree[1], tree[2]
    dx = derivative(x)
    if name in ("minimum", "maximum"):
        # (x + y -+ |x - y|) / 2: where the two are equal the slope is the middle of both.
        half = ("number", 0.5 if name == "maximum" else -0.5)
        share = multiply(half, call("sign", subtract(x, tree[3])))
        of_x, of_y = add(("number", 0.5), share), subtract(("number", 0.5), share)
        return add(multiply(of_x, dx), multiply(of_y, derivative(tree[3])))
    square = power(x, TWO)
    inner = {
        "sqrt": lambda: divide(("number", 0.5), tree),
        "exp": lambda: tree,
        "log": lambda: divide(ONE, x),
        "sin": lambda: call("cos", x),
        "cos": lambda: negative(call("sin", x)),
        "tan": lambda: add(ONE, power(tree, TWO)),
        "sinh": lambda: call("cosh", x),
        "cosh": lambda: call("sinh", x),
        "tanh": lambda: subtract(ONE, power(tree, TWO)),
        "arctan": lambda: divide(ONE, add(ONE, square)),
        "erf": lambda: multiply(("number", 2 / math.sqrt(math.pi)), call("exp", negative(square))),
        "abs": lambda: call("sign", x),
        "sign": lambda: ZERO,
    }[name]()
    return multiply(inner, dx)
