"""Profiles that a user writes as an expression in r: read, checked, and differentiated. Nothing here is executed.

A checked expression is a tree of tuples: ("number", 2.0), ("name", "r"), ("negative", x), ("add", x, y) or
("call", "exp", x). Only what is listed below gets in; `_formula` writes code from such trees.
"""

from __future__ import annotations

import ast
import math
from difflib import get_close_matches
from functools import cache

LONGEST, DEEPEST, HIGHEST = 400, 40, 64  # characters; nested operations; power of a number
NAMES = ("r", "c", "eta", "length", "pi")
OPERATIONS = {ast.Add: "add", ast.Sub: "subtract", ast.Mult: "multiply", ast.Div: "divide", ast.Pow: "power"}
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
    >>> parse("c / r")
    ('divide', ('name', 'c'), ('name', 'r'))
    """
    if len(text) > LONGEST:
        raise ValueError(f"kernel profile: got an expression of {len(text)} characters; expected at most {LONGEST}.")
    try:
        body = ast.parse(text.strip(), mode="eval").body
    except (SyntaxError, ValueError, MemoryError, RecursionError) as error:
        reason = getattr(error, "msg", None) or "too deep, or with characters that are not text"
        raise ValueError(
            f"kernel profile: got {_short(text)}, which is no expression ({reason}); expected one such as "
            f"'c / (1 + r)'."
        ) from None
    return _read(body, text.strip(), DEEPEST)


def _read(node, text, depth):
    if not depth:
        raise ValueError(f"kernel profile: {_short(text)} is nested too deeply; expected at most {DEEPEST} levels.")
    match node:
        case ast.Constant(value=int() | float() as value) if not isinstance(value, bool):
            return _number(value, node, text)
        case ast.Name(id=name):
            if name not in NAMES:
                raise ValueError(_unknown(name, "name", NAMES, text))
            return ("number", math.pi) if name == "pi" else ("name", name)
        case ast.UnaryOp(op=ast.UAdd(), operand=operand):
            return _read(operand, text, depth - 1)
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            return negative(_read(operand, text, depth - 1))
        case ast.BinOp(op=op, left=left, right=right) if type(op) in OPERATIONS:
            tree = _join(OPERATIONS[type(op)], _read(left, text, depth - 1), _read(right, text, depth - 1))
            _expect_bounded(tree, node, text)
            return tree
        case ast.Call(func=ast.Name(id=name), args=arguments, keywords=[]):
            if name not in FUNCTIONS:
                raise ValueError(_unknown(name, "function", FUNCTIONS, text))
            if len(arguments) != FUNCTIONS[name]:
                raise ValueError(
                    f"kernel profile: got {_part(node, text)} with {len(arguments)} argument(s); "
                    f"expected {FUNCTIONS[name]}."
                )
            return ("call", name, *(_read(argument, text, depth - 1) for argument in arguments))
    raise ValueError(
        f"kernel profile: got {_part(node, text)}, which is not allowed; expected numbers, the names "
        f"{', '.join(NAMES)}, + - * / ** and the functions {', '.join(FUNCTIONS)}."
    )


def _number(value, node, text):
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise ValueError(f"kernel profile: got the number {_part(node, text)}; expected one below 1.8e308.")
    return ("number", number)


def _expect_bounded(tree, node, text):
    if tree[0] == "number" and not math.isfinite(tree[1]):
        raise ValueError(f"kernel profile: {_part(node, text)} is not a finite number.")
    if tree[0] == "power" and tree[2][0] == "number" and abs(tree[2][1]) > HIGHEST:
        raise ValueError(
            f"kernel profile: got the power {tree[2][1]:g} in {_part(node, text)}; expected at most {HIGHEST}."
        )


def _part(node, text):
    return _short(ast.get_source_segment(text, node) or type(node).__name__)


def _short(text):
    return repr(text if len(text) < 60 else text[:57] + "...")


def _unknown(name, what, known, text):
    near = get_close_matches(name, known, 1, 0.5)
    hint = f"did you mean {near[0]!r}? " if near else ""
    return f"kernel profile: got the unknown {what} {name!r} in {_short(text)}; {hint}Known are {', '.join(known)}."


def _join(operation, x, y):
    return {"add": add, "subtract": subtract, "multiply": multiply, "divide": divide, "power": power}[operation](x, y)


# What makes a tree also makes it small: numbers are computed, and 0 and 1 leave no trace.


def negative(x):
    """-x."""
    if x[0] == "number":
        return ("number", -x[1])
    return x[1] if x[0] == "negative" else ("negative", x)


def add(x, y):
    """x + y."""
    if x[0] == y[0] == "number":
        return ("number", x[1] + y[1])
    if x == ZERO or y == ZERO:
        return y if x == ZERO else x
    return ("subtract", x, y[1]) if y[0] == "negative" else ("add", x, y)


def subtract(x, y):
    """x - y."""
    if x[0] == y[0] == "number":
        return ("number", x[1] - y[1])
    if y == ZERO:
        return x
    return negative(y) if x == ZERO else ("subtract", x, y)


def multiply(x, y):
    """x y."""
    if x[0] == y[0] == "number":
        return ("number", x[1] * y[1])
    if ZERO in (x, y):
        return ZERO
    if ONE in (x, y):
        return y if x == ONE else x
    if x[0] == "negative":
        return negative(multiply(x[1], y))
    return negative(multiply(x, y[1])) if y[0] == "negative" else ("multiply", x, y)


def divide(x, y):
    """x / y."""
    if x[0] == y[0] == "number":
        return ("number", x[1] / y[1] if y[1] else math.nan)
    if y == ONE or (x == ZERO and y != ZERO):
        return x
    return negative(divide(x[1], y)) if x[0] == "negative" else ("divide", x, y)


def power(x, y):
    """x ** y."""
    if x[0] == y[0] == "number":
        try:
            value = x[1] ** y[1]
        except (OverflowError, ZeroDivisionError):
            value = math.inf
        return ("number", math.nan if isinstance(value, complex) else value)
    if y == ZERO:
        return ONE
    return x if y == ONE else ("power", x, y)


def call(name, *arguments):
    """A function of trees."""
    return ("call", name, *arguments)


def derivative(tree):
    """d tree / dr, a tree.

    Examples
    --------
    >>> derivative(parse("c * r ** 2"))
    ('multiply', ('name', 'c'), ('multiply', ('number', 2.0), ('name', 'r')))
    """
    kind = tree[0]
    if kind == "number":
        return ZERO
    if kind == "name":
        return ONE if tree == R else ZERO
    if kind == "negative":
        return negative(derivative(tree[1]))
    if kind == "call":
        return _chain(tree)
    x, y = tree[1:]
    dx, dy = derivative(x), derivative(y)
    if kind == "add":
        return add(dx, dy)
    if kind == "subtract":
        return subtract(dx, dy)
    if kind == "multiply":
        return add(multiply(dx, y), multiply(x, dy))
    if kind == "divide":
        return subtract(divide(dx, y), divide(multiply(x, dy), power(y, TWO)))
    along = multiply(multiply(y, power(x, subtract(y, ONE))), dx)
    return along if dy == ZERO else add(along, multiply(multiply(tree, call("log", x)), dy))


def _chain(tree):
    name, x = tree[1], tree[2]
    dx = derivative(x)
    if name in ("minimum", "maximum"):
        # (x + y -+ |x - y|) / 2: where the two are equal the slope is the middle of both.
        dy, half = derivative(tree[3]), ("number", 0.5 if name == "maximum" else -0.5)
        sign = call("sign", subtract(x, tree[3]))
        return add(multiply(("number", 0.5), add(dx, dy)), multiply(multiply(half, sign), subtract(dx, dy)))
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
