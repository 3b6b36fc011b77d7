"""Pair sums and pair forces on a CUDA card through CuPy: one thread a target, the sources in shared tiles.

The C of a profile and its slope is written by `_formula`.
Each target's sum belongs to one thread and is added in a fixed order; tiles are summed in the working precision, their
sums in float64.
"""

from __future__ import annotations

from functools import cache

import numpy as np

from ._block import constants
from ._formula import write

TILE, COLUMNS = 128, 4  # sources in shared memory, threads of a block; signals that one thread sums

HELPERS = """
#define f_sqrt sqrt
#define f_exp exp
#define f_log log
#define f_sin sin
#define f_cos cos
#define f_tan tan
#define f_sinh sinh
#define f_cosh cosh
#define f_tanh tanh
#define f_arctan atan
#define f_erf erf
#define f_pow pow
__device__ inline real f_reciprocal_root(real x) { return 1 / sqrt(x); }
__device__ inline real f_abs(real x) { return x < 0 ? -x : x; }
__device__ inline real f_sign(real x) { return x > 0 ? real(1) : x < 0 ? real(-1) : x; }
__device__ inline real f_minimum(real x, real y) { return x < y || x != x ? x : y; }
__device__ inline real f_maximum(real x, real y) { return x > y || x != x ? x : y; }
"""

LOOPS = """
// rho^2 to source j of the tile; the differences stay in registers.
__device__ inline real squared_distance(const real* target, const real* source, real* difference) {
    real total = 0;
    for (int k = 0; k < D; ++k) {
        difference[k] = target[k] - source[k];
        total += L1 ? f_abs(difference[k]) : difference[k] * difference[k];
    }
    return L1 ? total * total : total;
}

// Which sources a block has in its tile, and their signals of the columns first .. first + COLUMNS.
__device__ inline void load(const real* sources, const real* strengths, int n, int columns, int first, int start,
                            real (*places)[D], real (*signals)[COLUMNS]) {
    for (int slot = threadIdx.x; slot < TILE; slot += blockDim.x) {
        const int j = start + slot;
        for (int k = 0; k < D; ++k) places[slot][k] = j < n ? sources[(size_t)j * D + k] : real(0);
        for (int c = 0; c < COLUMNS; ++c)
            signals[slot][c] = j < n && first + c < columns ? strengths[(size_t)j * columns + first + c] : real(0);
    }
}

extern "C" __global__ void pair_sum(const real* sources, const real* targets, const real* strengths,
                                    const real* numbers, int n, int m, int columns, int exclude_self, real* out) {
    __shared__ real places[TILE][D];
    __shared__ real signals[TILE][COLUMNS];
    const int i = blockIdx.x * blockDim.x + threadIdx.x, first = blockIdx.y * COLUMNS;
    real target[D], difference[D];
    double sums[COLUMNS] = {0};
    for (int k = 0; k < D; ++k) target[k] = i < m ? targets[(size_t)i * D + k] : real(0);
    for (int start = 0; start < n; start += TILE) {
        load(sources, strengths, n, columns, first, start, places, signals);
        __syncthreads();
        real part[COLUMNS] = {0};
        const int count = n - start < TILE ? n - start : TILE;
        for (int slot = 0; slot < count; ++slot) {
            if (exclude_self && start + slot == i) continue;
            const real weight = value(squared_distance(target, places[slot], difference) + numbers[1], numbers);
            for (int c = 0; c < COLUMNS; ++c) part[c] += weight * signals[slot][c];
        }
        for (int c = 0; c < COLUMNS; ++c) sums[c] += part[c];
        __syncthreads();
    }
    if (i < m)
        for (int c = 0; c < COLUMNS && first + c < columns; ++c) out[(size_t)i * columns + first + c] = sums[c];
}

extern "C" __global__ void pair_force(const real* sources, const real* targets, const real* strengths,
                                      const real* taken, const real* numbers, int n, int m, int columns,
                                      int exclude_self, real* out) {
    __shared__ real places[TILE][D];
    __shared__ real signals[TILE][COLUMNS];
    const int i = blockIdx.x * blockDim.x + threadIdx.x;
    real target[D], difference[D], own[COLUMNS];
    double force[D] = {0};
    for (int k = 0; k < D; ++k) target[k] = i < m ? targets[(size_t)i * D + k] : real(0);
    for (int first = 0; first < columns; first += COLUMNS) {
        for (int c = 0; c < COLUMNS; ++c)
            own[c] = i < m && first + c < columns ? taken[(size_t)i * columns + first + c] : real(0);
        for (int start = 0; start < n; start += TILE) {
            load(sources, strengths, n, columns, first, start, places, signals);
            __syncthreads();
            real part[D] = {0};
            const int count = n - start < TILE ? n - start : TILE;
            for (int slot = 0; slot < count; ++slot) {
                const real rho2 = squared_distance(target, places[slot], difference), r2 = rho2 + numbers[1];
                // Where two neurons meet without softening the gradient is taken as 0.
                if (r2 == 0 || (exclude_self && start + slot == i)) continue;
                real weight = 0;
                for (int c = 0; c < COLUMNS; ++c) weight += own[c] * signals[slot][c];
                weight *= slope(r2, numbers);
                if (L1) weight *= f_sqrt(rho2);
                for (int k = 0; k < D; ++k) part[k] += weight * (L1 ? f_sign(difference[k]) : difference[k]);
            }
            for (int k = 0; k < D; ++k) force[k] += part[k];
            __syncthreads();
        }
    }
    if (i < m)
        for (int k = 0; k < D; ++k) out[(size_t)i * D + k] = force[k];
}
"""


def source(kernel, d, dtype):
    """The CUDA C++ of a kernel in d dimensions, float or double."""
    formula = write(kernel.expression, "c")
    real = "float" if np.dtype(dtype) == np.float32 else "double"
    head = f"#define D {d}\n#define L1 {int(kernel.metric == 'l1')}\n#define TILE {TILE}\n#define COLUMNS {COLUMNS}\n"
    functions = ""
    for name, (lines, result) in (("value", formula.value), ("slope", formula.slope)):
        body = "\n    ".join([*lines, f"return {result};"])
        functions += f"__device__ inline real {name}(real r2, const real* numbers) {{\n    {body}\n}}\n"
    return f"typedef {real} real;\n{head}{HELPERS}{functions}{LOOPS}"


@cache
def _module(code):
    import cupy

    return cupy.RawModule(code=code)


def pair_sum(kernel, sources, targets, strengths, exclude_self):
    """As `_pair_sums.pair_sum`, of checked arrays of one type, strengths (n, s); returns a NumPy array (m, s)."""
    return _launch("pair_sum", kernel, sources, targets, (strengths,), exclude_self, strengths.shape[1])


def pair_force(kernel, sources, targets, given, taken, exclude_self):
    """As `_pair_sums.pair_force`, of checked arrays of one type, strengths (n, s) and (m, s)."""
    return _launch("pair_force", kernel, sources, targets, (given, taken), exclude_self, sources.shape[1])


def _launch(name, kernel, sources, targets, strengths, exclude_self, width):
    import cupy

    (n, d), m, dtype, columns = sources.shape, len(targets), sources.dtype, strengths[0].shape[1]
    out = cupy.zeros((m, width), dtype)
    if not (n and m and columns):
        return cupy.asnumpy(out)
    arrays = [cupy.asarray(array) for array in (sources, targets, *strengths, constants(kernel, dtype))]
    grid = (-(-m // TILE), -(-columns // COLUMNS) if name == "pair_sum" else 1)
    integers = [np.int32(number) for number in (n, m, columns, exclude_self)]
    _module(source(kernel, d, dtype)).get_function(name)(grid, (TILE,), (*arrays, *integers, out))
    return cupy.asnumpy(out)
