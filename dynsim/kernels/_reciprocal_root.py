"""1 / sqrt(x) of a number in compiled loops: in double precision, vectors of eight by the processor's estimate.

For single precision LLVM itself writes an estimate with a Newton step. For double precision it writes a square root and
a division, which take a processor with AVX-512 twice as long as all else that a pair of neurons needs. There the
estimate has 14 bits; one step of order four, y + y e (1/2 + 3/8 e + 5/16 e^2) with e = 1 - x y^2, gives all 53. This is
done in functions that call `widest_vectors`. What a loop has left after its vectors takes a root and a division: the
last bit of a number depends on its place in a row.
"""

from __future__ import annotations

import math

from llvmlite import binding, ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic, overload

from ._compilation import WIDEST

LANES = 8
ONE, EIGHT = "dynsim_reciprocal_root", "dynsim_reciprocal_root_of_eight"
# LLVM's loop vectoriser reads it at a call, and calls the second function for eight numbers at once.
VARIANT = f'"vector-function-abi-variant"="_ZGV_LLVM_N{LANES}v_{ONE}({EIGHT})"'
DOUBLE = ir.DoubleType()


def reciprocal_root(x):
    """1 / sqrt(x); of 0 it is infinite."""
    return 1.0 / math.sqrt(x) if x else math.inf


def _estimates(context, function):
    """Whether a function is compiled into vectors of eight, for a processor that estimates as many roots at once."""
    _, _, features = context.codegen().magic_tuple()
    return "+avx512f" in features.split(",") and WIDEST in function.attributes


def _function(module, name, kind, *attributes):
    found = ir.Function(module, ir.FunctionType(kind, [kind]), name)
    found.linkage = "linkonce_odr"
    pure = "memory(none)" if binding.llvm_version_info[0] >= 16 else "readnone"
    for attribute in ("nounwind", "willreturn", pure, *attributes):
        set.add(found.attributes, attribute)  # llvmlite's own `add` takes the attributes that it knows only
    return found, ir.IRBuilder(found.append_basic_block())


def _define_one(module):
    function, builder = _function(module, ONE, DOUBLE, "noinline")  # or no call would be left to be replaced
    builder.ret(_quotient(builder, function.args[0]))
    return function


def _quotient(builder, x):
    root = cgutils.get_or_insert_function(builder.module, ir.FunctionType(x.type, [x.type]), _named("sqrt", x.type))
    return builder.fdiv(x.type(1.0), builder.call(root, [x]))


def _named(name, kind):
    return f"llvm.{name}.f{32 if isinstance(kind, ir.FloatType) else 64}"


def _define_eight(module):
    kind = ir.VectorType(DOUBLE, LANES)
    function, builder = _function(module, EIGHT, kind, "alwaysinline")
    x = function.args[0]
    mask = ir.IntType(LANES)
    signature = ir.FunctionType(kind, [kind, kind, mask])
    estimate = cgutils.get_or_insert_function(module, signature, "llvm.x86.avx512.rsqrt14.pd.512")
    fused = cgutils.get_or_insert_function(module, ir.FunctionType(kind, [kind] * 3), f"llvm.fma.v{LANES}f64")

    def all_of(number):
        return ir.Constant(kind, [number] * LANES)

    y = builder.call(estimate, [x, all_of(0.0), mask(2**LANES - 1)])
    e = builder.call(fused, [builder.fneg(builder.fmul(x, y)), y, all_of(1.0)])
    series = builder.call(fused, [e, all_of(5 / 16), all_of(3 / 8)])
    series = builder.call(fused, [series, e, all_of(1 / 2)])
    refined = builder.call(fused, [builder.fmul(y, e), series, y])
    # At 0 and infinity the estimate is exact, infinity and 0, and e is not a number.
    builder.ret(builder.select(builder.fcmp_ordered("ord", e, e), refined, y))
    _keep(module, function)
    return function


def _keep(module, function):
    """Nothing calls the function before loops are vectorised: LLVM shall not remove it until then."""
    pointer = ir.IntType(8).as_pointer()
    kept = ir.GlobalVariable(module, ir.ArrayType(pointer, 1), "llvm.compiler.used")
    kept.linkage, kept.section = "appending", "llvm.metadata"
    kept.initializer = ir.Constant(kept.value_type, [function.bitcast(pointer)])


@intrinsic
def _compiled_root(typing_context, x):
    def generate(context, builder, signature, arguments):
        module = builder.module
        if x != types.float64 or not _estimates(context, builder.function):
            return _quotient(builder, arguments[0])
        if ONE not in module.globals:
            _define_one(module)
            _define_eight(module)
        call = builder.call(module.globals[ONE], arguments)
        set.add(call.attributes, VARIANT)
        return call

    return x(x), generate


@overload(reciprocal_root, inline="always")
def _reciprocal_root(x):
    return lambda x: _compiled_root(x)
