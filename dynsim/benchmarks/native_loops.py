"""Pair sums, forces and weights, phi = 1 / r, as loops in C: what the processor can do, as the measure of ours.

With AVX-512 they are written by hand: four or two targets share the sources in registers, the processor's estimate of
the reciprocal root is refined, in single precision by a Newton step, in double precision by one of order four. For
other processors the compiler makes vectors of the same loop as plain C. Targets are shared among threads by OpenMP.
"""

from __future__ import annotations

import ctypes
import shutil
import subprocess
import tempfile
from pathlib import Path

import numpy as np

from dynsim._check import refusal

SOURCE = r"""
#include <math.h>
#define LONG_BLOCK 2048
#ifdef __AVX512F__
#include <immintrin.h>
#if DOUBLE
typedef __m512d vector;
#define LANES 8
#define ALL _mm512_set1_pd
#define LOAD _mm512_loadu_pd
#define STORE _mm512_storeu_pd
#define ADDED _mm512_reduce_add_pd
#define FUSED _mm512_fmadd_pd
static inline vector reciprocal_root(vector x) {
    const vector y = _mm512_rsqrt14_pd(x), e = _mm512_fnmadd_pd(x * y, y, ALL(1.0));
    return FUSED(y * e, FUSED(FUSED(e, ALL(0.3125), ALL(0.375)), e, ALL(0.5)), y);
}
#else
typedef __m512 vector;
#define LANES 16
#define ALL _mm512_set1_ps
#define LOAD _mm512_loadu_ps
#define STORE _mm512_storeu_ps
#define ADDED _mm512_reduce_add_ps
#define FUSED _mm512_fmadd_ps
static inline vector reciprocal_root(vector x) {
    const vector y = _mm512_rsqrt14_ps(x);
    return y * _mm512_fnmadd_ps(x * y * y, ALL(0.5f), ALL(1.5f));
}
#endif
#else
typedef real vector;
#define LANES 1
#define ALL(x) (x)
#define LOAD(x) (*(x))
#define STORE(x, y) (*(x) = (y))
#define ADDED(x) (x)
#define FUSED(a, b, c) ((a) * (b) + (c))
static inline vector reciprocal_root(vector x) { return 1 / (DOUBLE ? sqrt(x) : sqrtf(x)); }
#endif

/* sources (D, n), targets (m, D), x (n), out (m); n and m are multiples of 16. */
void sums(const real *sources, const real *targets, const real *x, real *out, long n, long m) {
#pragma omp parallel for schedule(static)
    for (long i = 0; i < m; i += T) {
        double total[T] = {0};
        for (long start = 0; start < n; start += LONG_BLOCK) {
            const long stop = start + LONG_BLOCK < n ? start + LONG_BLOCK : n;
            vector sum[T];
            for (int r = 0; r < T; ++r) sum[r] = ALL(0);
            for (long j = start; j < stop; j += LANES) {
                const vector signal = LOAD(x + j);
                for (int r = 0; r < T; ++r) {
                    vector r2 = ALL(0);
                    for (int k = 0; k < D; ++k) {
                        const vector difference = ALL(targets[(i + r) * D + k]) - LOAD(sources + k * n + j);
                        r2 = FUSED(difference, difference, r2);
                    }
                    sum[r] = FUSED(reciprocal_root(r2), signal, sum[r]);
                }
            }
            for (int r = 0; r < T; ++r) total[r] += ADDED(sum[r]);
        }
        for (int r = 0; r < T; ++r) out[i + r] = total[r];
    }
}

/* out (m, D): the gradient of sum_ij taken_i x_j phi in the targets' places. */
void forces(const real *sources, const real *targets, const real *x, const real *taken, real *out, long n, long m) {
#pragma omp parallel for schedule(static)
    for (long i = 0; i < m; i += F) {
        double total[F][D] = {{0}};
        for (long start = 0; start < n; start += LONG_BLOCK) {
            const long stop = start + LONG_BLOCK < n ? start + LONG_BLOCK : n;
            vector sum[F][D];
            for (int r = 0; r < F; ++r)
                for (int k = 0; k < D; ++k) sum[r][k] = ALL(0);
            for (long j = start; j < stop; j += LANES) {
                const vector signal = LOAD(x + j);
                for (int r = 0; r < F; ++r) {
                    vector r2 = ALL(0), difference[D];
                    for (int k = 0; k < D; ++k) {
                        difference[k] = ALL(targets[(i + r) * D + k]) - LOAD(sources + k * n + j);
                        r2 = FUSED(difference[k], difference[k], r2);
                    }
                    const vector y = reciprocal_root(r2), pull = ALL(-1) * y * y * y * signal;
                    for (int k = 0; k < D; ++k) sum[r][k] = FUSED(pull, difference[k], sum[r][k]);
                }
            }
            for (int r = 0; r < F; ++r)
                for (int k = 0; k < D; ++k) total[r][k] += ADDED(sum[r][k]);
        }
        for (int r = 0; r < F; ++r)
            for (int k = 0; k < D; ++k) out[(i + r) * D + k] = total[r][k] * taken[i + r];
    }
}

/* out (m, n): a weight for each pair, strength phi. */
void weights(const real *sources, const real *targets, real strength, real *out, long n, long m) {
#pragma omp parallel for schedule(static)
    for (long i = 0; i < m; ++i)
        for (long j = 0; j < n; j += LANES) {
            vector r2 = ALL(0);
            for (int k = 0; k < D; ++k) {
                const vector difference = ALL(targets[i * D + k]) - LOAD(sources + k * n + j);
                r2 = FUSED(difference, difference, r2);
            }
            STORE(out + i * n + j, reciprocal_root(r2) * ALL(strength));
        }
}
"""


def compiled(d: int, dtype, folder: str):
    """The loops for a dimension and a precision, compiled by the system's C compiler; RuntimeError if there is none."""
    compiler = shutil.which("cc")
    if compiler is None:
        raise refusal("--native", "no C compiler", "a program cc", "install gcc or clang", error=RuntimeError)
    double = np.dtype(dtype) == np.float64
    source, object_file, library = (Path(folder, f"pairs.{suffix}") for suffix in ("c", "o", "so"))
    source.write_text(SOURCE, encoding="utf-8")
    together = {"T": 4 if d <= 4 else 2, "F": 4 if d <= 2 else 2 if d <= 5 else 1}
    named = {"real": "double" if double else "float", "DOUBLE": int(double), "D": d, **together}
    options = ["-O3", "-march=native", "-ffast-math", "-funroll-loops", "-fopenmp", "-fPIC"]
    defined = [f"-D{name}={value}" for name, value in named.items()]
    # Linked by itself: with -ffast-math gcc < 13 links code that, once loaded, makes all subnormal numbers of the
    # whole process zero (https://gcc.gnu.org/bugzilla/show_bug.cgi?id=55522).
    compiling = [compiler, *options, *defined, "-c", source, "-o", object_file]
    for command in (compiling, [compiler, "-fopenmp", "-shared", object_file, "-o", library, "-lm"]):
        done = subprocess.run(command, check=False, capture_output=True, text=True)
        if done.returncode:
            last = (done.stderr.strip().splitlines() or ["no message"])[-1]
            expected = "a compiler with OpenMP"
            raise refusal("--native", f"{compiler}: {last}", expected, "install gcc", error=RuntimeError)
    return ctypes.CDLL(str(library))


def native(d: int, dtype: str, kind: str, n: int):
    """Seconds of the loop for n sources and targets, and a number made of its result, as `pair_speed.ours`."""
    from dynsim.layers import median_seconds

    from .pair_speed import data, outcome

    if n % 16:
        raise refusal("n", n, "a multiple of 16, the numbers in a vector")
    sources, targets, x = data(d, dtype, n)
    sources, taken = np.ascontiguousarray(sources.T), np.ones(n, dtype)
    with tempfile.TemporaryDirectory() as folder:
        library = compiled(d, dtype, folder)
        places = [_pointer(array) for array in (sources, targets)]
        strength = ctypes.c_double(1.0) if np.dtype(dtype) == np.float64 else ctypes.c_float(1.0)
        given = {"sums": [_pointer(x)], "forces": [_pointer(x), _pointer(taken)], "weights": [strength]}[kind]
        loop, shape = getattr(library, kind), {"sums": n, "forces": (n, d), "weights": (n, n)}[kind]

        def run():
            out = np.empty(shape, dtype)  # as ours, a new array each time
            loop(*places, *given, _pointer(out), ctypes.c_long(n), ctypes.c_long(n))
            return out

        return outcome(median_seconds(run, 5), run())


def _pointer(array):
    return array.ctypes.data_as(ctypes.c_void_p)
