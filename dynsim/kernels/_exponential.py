"""exp(x) of a number in compiled loops, as arithmetic of which LLVM makes vectors; the C library's is called for each.

x = k ln 2 + r with a whole k, |r| <= ln(2) / 2 (Cody & Waite 1980), and exp(x) = 2^k exp(r), exp(r) by its Taylor
series to order 7 in single and 13 in double precision, whose rest, 5e-9 and 4e-18 of it, is below rounding.

`plain_exponential` is the same in double precision without fused products, so that NumPy computes the same bits.
"""

from __future__ import annotations

import math
from functools import cache

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic, overload

ORDERS = {types.float32: 7, types.float64: 13}
# ln 2 in two parts, the first with few digits, so that its product with any k is exact.
PARTS = {
    types.float32: (0.693359375, -2.12194440e-4),
    types.float64: (0.693147180369123816490, 1.90821492927058770e-10),
}
RANGES = {types.float32: (-110.0, 90.0), types.float64: (-760.0, 720.0)}  # beyond, the result is 0 or infinite


def exponential(x):
    """exp(x); infinite where it is too large."""
    return math.exp(x) if x < 709.0 else float(np.exp(x))


@intrinsic
def two_to_the(typing_context, k):
    """2^k for a whole number k in floating point, of the exponents of numbers that are not subnormal."""

    def generate(context, builder, signature, arguments):
        single = k == types.float32
        integer, digits, bias = (ir.IntType(32), 23, 127) if single else (ir.IntType(64), 52, 1023)
        kind = arguments[0].type
        # With a large number added, k stands in the last bits, in two's complement.
        shifted = builder.bitcast(builder.fadd(arguments[0], kind(1.5 * 2.0**digits)), integer)
        exponent = builder.shl(builder.add(shifted, integer(bias)), integer(digits))
        return builder.bitcast(exponent, kind)

    return k(k), generate


def _two_to_the(k):
    return np.ldexp(1.0, np.asarray(k).astype(np.intc))


@cache
def _function(kind, bounded, floor, two_to_the):
    """exp of numbers of one type; a literal of another would make everything float64."""
    number = np.float32 if kind == types.float32 else np.float64
    low, high = map(number, RANGES[kind])
    first, rest = map(number, PARTS[kind])
    inverse, half = number(1.0 / math.log(2.0)), number(0.5)
    terms = [number(1.0 / math.factorial(n)) for n in range(ORDERS[kind] + 1)]
    lines = [
        "def exponential(x):",
        "    x = bounded(x, low, high)",  # what is no number stays it
        "    k = floor(x * inverse + half)",
        "    r = (x - k * first) - k * rest",
        f"    total = c_{ORDERS[kind]}",
        *(f"    total = total * r + c_{n}" for n in range(ORDERS[kind] - 1, -1, -1)),
        "    some = floor(k * half)",  # 2^k itself can be too large or small for a number where the product is not
        "    return total * two_to_the(some) * two_to_the(k - some)",
    ]
    names = {f"c_{n}": term for n, term in enumerate(terms)}
    names |= {"bounded": bounded, "floor": floor, "two_to_the": two_to_the, "low": low, "high": high}
    names |= {"first": first, "rest": rest, "inverse": inverse, "half": half}
    exec("\n".join(lines), names)
    return names["exponential"]


@njit(cache=True, error_model="numpy", inline="always")
def _bounded(x, low, high):
    x = low if x < low else x
    return high if x > high else x


@cache
def _compiled(kind, fused):
    # Not inlined by Numba, which would apply the caller's freedom to reorder sums: r depends on their order.
    function = _function(kind, _bounded, np.floor, two_to_the)
    return njit(fastmath={"contract"} if fused else False, error_model="numpy")(function)


@overload(exponential, jit_options={"fastmath": {"contract"}})
def _exponential(x):
    compiled = _compiled(x if x in ORDERS else types.float64, True)
    return lambda x: compiled(x)


def plain_exponential(x):
    """exp(x) of float64 numbers or arrays, the same bits compiled and by NumPy."""
    return _function(types.float64, np.clip, np.floor, _two_to_the)(x)


@overload(plain_exponential)
def _plain_exponential(x):
    compiled = _compiled(types.float64, False)
    return lambda x: compiled(x)
