"""Sums with a fixed order: the same bits from every compilation, at every address, on any number of threads.

A compiler that may reassociate a sum splits it as it likes: one loop in two versions, chosen by the distance of two
arrays in memory, or compiled a second time where it is linked into another function, then gives two results. Here the
order is part of the formula. Element j belongs to partial sum j mod 32; the partial sums are added in halves; of what
is left at the end, eights are added in the same way and the last elements one by one.
"""

from __future__ import annotations

from functools import partial

import numba
import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

INDEX = ir.IntType(32)
WIDTHS = (32, 8, 1)  # elements that are taken together: two vectors of 512 bits in single precision


def _sum(term, context, builder, signature, arguments):
    """Write a loop that sums term(numbers of the arrays, other numbers, partial sum) -> partial sum, in this order.

    Arrays come first among the arguments, the count of their elements last.
    """
    arrays = [
        context.make_array(kind)(context, builder, value)
        for kind, value in zip(signature.args, arguments, strict=True)
        if isinstance(kind, types.Array)
    ]
    others, count = arguments[len(arrays) : -1], arguments[-1]
    number = context.get_value_type(signature.return_type)
    total, first = number(0.0), cgutils.alloca_once_value(builder, count.type(0))
    for width in WIDTHS:
        group = _Group(builder, number, width)
        sums = cgutils.alloca_once_value(builder, group.all(number(0.0)))
        with cgutils.for_range(builder, builder.udiv(builder.sub(count, builder.load(first)), count.type(width))):
            group.place = builder.load(first)
            builder.store(term(group, arrays, [group.all(other) for other in others], builder.load(sums)), sums)
            builder.store(builder.add(group.place, count.type(width)), first)
        total = builder.fadd(total, group.sum(builder.load(sums)))
    return total


class _Group:
    """Elements that are taken together, at `place`."""

    def __init__(self, builder, number, width):
        self.builder, self.number, self.width = builder, number, width
        self.type = ir.VectorType(number, width) if width > 1 else number

    def all(self, value):
        """The same number for all."""
        if self.width == 1:
            return value
        one = self.builder.insert_element(ir.Constant(self.type, ir.Undefined), value, INDEX(0))
        return self.builder.shuffle_vector(one, one, ir.Constant(ir.VectorType(INDEX, self.width), [0] * self.width))

    def sum(self, values):
        """Add all in halves."""
        width = self.width
        while width > 1:
            width //= 2
            halves = [
                self.builder.shuffle_vector(values, values, ir.Constant(ir.VectorType(INDEX, width), list(part)))
                for part in (range(width), range(width, 2 * width))
            ]
            values = self.builder.fadd(*halves)
        return self.builder.extract_element(values, INDEX(0)) if self.width > 1 else values

    def at(self, array):
        pointer = self.builder.gep(array.data, [self.place])
        return self.builder.bitcast(pointer, self.type.as_pointer())

    def load(self, array):
        return self.builder.load(self.at(array), align=self.bytes)

    def store(self, array, values):
        self.builder.store(values, self.at(array), align=self.bytes)

    @property
    def bytes(self):
        return 8 if isinstance(self.number, ir.DoubleType) else 4

    def multiply_add(self, a, b, c):
        """a b + c, rounded once where the processor can."""
        name = f"llvm.fmuladd.{f'v{self.width}' if self.width > 1 else ''}f{8 * self.bytes}"
        kind = ir.FunctionType(self.type, [self.type] * 3)
        function = cgutils.get_or_insert_function(self.builder.module, kind, name)
        return self.builder.call(function, [a, b, c])


def lane_sum(a, count):
    """sum_j a_j over the first `count` elements of a contiguous array."""
    return a[:count].sum()


def lane_dot(a, b, count):
    """sum_j a_j b_j over the first `count` elements of two contiguous arrays of one precision."""
    return np.dot(a[:count], b[:count])


def lane_pull_l2(weights, row, place, count):
    """sum_j weights_j (place - row_j)."""
    return np.dot(weights[:count], place - row[:count])


def lane_pull_l1(weights, row, place, count):
    """sum_j weights_j sign(place - row_j)."""
    return np.dot(weights[:count], np.sign(place - row[:count]))


def lane_pull_l2_back(weights, row, back, place, count):
    """As `lane_pull_l2`; each term is taken from back_j."""
    pulls = weights[:count] * (place - row[:count])
    back[:count] -= pulls
    return pulls.sum()


def lane_pull_l1_back(weights, row, back, place, count):
    """As `lane_pull_l1`; each term is taken from back_j."""
    pulls = weights[:count] * np.sign(place - row[:count])
    back[:count] -= pulls
    return pulls.sum()


def _compiled_sum(typing_context, a, count):
    def term(group, arrays, others, sums):
        return group.builder.fadd(group.load(arrays[0]), sums)

    return a.dtype(a, types.intp), partial(_sum, term)


def _compiled_dot(typing_context, a, b, count):
    def term(group, arrays, others, sums):
        return group.multiply_add(*(group.load(array) for array in arrays), sums)

    return a.dtype(a, b, types.intp), partial(_sum, term)


def _pull_l2(group, weights, difference):
    return group.builder.fmul(weights, difference)


def _pull_l1(group, weights, difference):
    zero = group.all(group.number(0.0))
    parts = [
        group.builder.select(group.builder.fcmp_ordered(sign, difference, zero), weights, zero) for sign in (">", "<")
    ]
    return group.builder.fsub(*parts)


def _term_of(pull):
    def term(group, arrays, others, sums):
        weights, row = (group.load(array) for array in arrays[:2])
        pulls = pull(group, weights, group.builder.fsub(others[0], row))
        for back in arrays[2:]:
            group.store(back, group.builder.fsub(group.load(back), pulls))
        return group.builder.fadd(sums, pulls)

    return term


def _compiled(pull, back):
    term = _term_of(pull)
    if back:
        return lambda typing, weights, row, back, place, count: (
            weights.dtype(weights, row, back, weights.dtype, types.intp),
            partial(_sum, term),
        )
    return lambda typing, weights, row, place, count: (
        weights.dtype(weights, row, weights.dtype, types.intp),
        partial(_sum, term),
    )


if not numba.config.DISABLE_JIT:
    lane_sum, lane_dot = intrinsic(_compiled_sum), intrinsic(_compiled_dot)
    lane_pull_l2, lane_pull_l2_back = (intrinsic(_compiled(_pull_l2, back)) for back in (False, True))
    lane_pull_l1, lane_pull_l1_back = (intrinsic(_compiled(_pull_l1, back)) for back in (False, True))
