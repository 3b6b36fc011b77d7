"""Ask for a row of an array before it is needed: rows that are visited at random come late from memory."""

from __future__ import annotations

import numba
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic, overload
from numba.np import arrayobj


def fetch(rows, i):
    """Called in a compiled function: let the processor load the cache line at which row i (unsigned) begins."""


if not numba.config.DISABLE_JIT:

    @intrinsic
    def _fetch(typing_context, rows, i):
        def generate(context, builder, signature, arguments):
            kind = signature.args[0]
            array = arrayobj.make_array(kind)(context, builder, arguments[0])
            place = [arguments[1], *(context.get_constant(types.uint64, 0) for _ in range(kind.ndim - 1))]
            byte, whole = ir.IntType(8).as_pointer(), ir.IntType(32)
            pointer = builder.bitcast(cgutils.get_item_pointer(context, builder, kind, array, place), byte)
            function = ir.FunctionType(ir.VoidType(), [byte, whole, whole, whole])
            prefetch = cgutils.get_or_insert_function(builder.module, function, "llvm.prefetch.p0i8")
            # To be read, kept in all caches, data.
            builder.call(prefetch, [pointer, whole(0), whole(3), whole(1)])
            return context.get_dummy_value()

        return types.void(rows, i), generate

    overload(fetch, inline="always")(lambda rows, i: lambda rows, i: _fetch(rows, i))
