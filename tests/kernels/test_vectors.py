"""Numbers and loops that are made of vectors: right to rounding, and loaded, not gathered."""

import json
import os
import platform
import subprocess
import sys

import numpy as np
import pytest
from llvmlite import binding
from numba import njit

from dynsim.kernels._compilation import widest_vectors
from dynsim.kernels._exponential import exponential
from dynsim.kernels._reciprocal_root import reciprocal_root

# Prints, of every loop over pairs, how many gathers stand among its roots of vectors, how many vectors of the widest
# kind it has, and how many estimates of roots. What comes from a cache has no assembly.
PROGRAM = """
import json
import re
import numpy as np
from dynsim.kernels import Kernel
from dynsim.kernels import _pair_sums, _relation
from dynsim.kernels import pair_force, pair_matrix, pair_sum, relation, relation_forces
from dynsim.kernels._block import specialisation

found = {}
for dtype in (np.float32, np.float64):
    for d in (3, 9):
        q, x = np.ones((6, d), dtype), np.ones(6, dtype)
        sides = q[None, None] + dtype(1), q[None, None], np.ones((1, 1, 1), dtype)
        pair_sum(Kernel(), q, q, x), pair_force(Kernel(), q, q, x, x), pair_matrix(Kernel(), q, q)
        relation(Kernel(), *sides), relation_forces(Kernel(), *sides, np.ones((1, 1, 6, 6), dtype))
        key = specialisation(Kernel(), d)
        loops = {
            "sum": _pair_sums._sum_loop(*key, 1), "force": _pair_sums._force_loop(*key, 1),
            "matrix": _pair_sums._matrix_loop(*key), "relation": _relation._relation_loop(*key),
            "relation forces": _relation._forces_loop(*key),
        }
        for name, loop in loops.items():
            text = loop.inspect_asm(loop.signatures[-1])
            text = re.sub(r"\\ndynsim_reciprocal_root\\w*:.*?\\.Lfunc_end", "", text, flags=re.DOTALL)
            roots = r"\\tv\\w*sqrt\\w*p[sd]\\t"
            blocks = [block for block in re.split(r"\\n(?=\\.LBB)", text) if re.search(roots, block)]
            found[f"{name} {dtype.__name__} {d}"] = {
                "gathers": sum(len(re.findall(r"\\tv\\w*gather", block)) for block in blocks) if blocks else None,
                "wide": len(re.findall(r"\\tv\\w+\\t.*%zmm", text)),
                "estimates": len(re.findall(r"\\tvrsqrt14p[sd]", text)),
            }
print(json.dumps(found))
"""


@njit(error_model="numpy")
def roots(x, out):
    widest_vectors()
    for j in range(len(x)):
        out[j] = reciprocal_root(x[j])


@njit(error_model="numpy")
def exponentials(x, out):
    for j in range(len(x)):
        out[j] = exponential(x[j])


@pytest.mark.parametrize("size", [1, 7, 4000])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_reciprocal_root_is_right_to_rounding(dtype, size):
    limits = np.finfo(dtype)
    some = np.random.default_rng(0).uniform(np.log2(limits.tiny) + 1, np.log2(limits.max) - 1, size)
    x = np.exp2(some).astype(dtype)
    out = np.empty_like(x)
    roots(x, out)
    expected = 1 / np.sqrt(x.astype(np.longdouble))
    # Two roundings of a half, of the root and of the quotient; an estimate that is refined has as many.
    assert (np.abs(out / expected - 1) <= 2 * limits.eps).all()


@pytest.mark.parametrize("size", [1, 8, 33])
def test_a_reciprocal_root_knows_zero_infinity_and_small_numbers(size):
    for value, expected in ((0.0, np.inf), (np.inf, 0.0), (5e-324, 5e-324**-0.5), (1e-310, 1e-310**-0.5), (4.0, 0.5)):
        out = np.empty(size)
        roots(np.full(size, value), out)
        assert out == pytest.approx(np.full(size, expected), rel=1e-15)
    out = np.empty(size)
    roots(np.full(size, np.nan), out)
    assert np.isnan(out).all()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_an_exponential_is_right_to_rounding(dtype):
    limits = np.finfo(dtype)
    lowest, highest = np.log(limits.tiny), np.log(limits.max)
    x = np.random.default_rng(0).uniform(lowest, highest, 40_000).astype(dtype)
    out = np.empty_like(x)
    exponentials(x, out)
    expected = np.exp(x.astype(np.longdouble))
    # The last product and sum of the series round once each; all before is smaller by ln(2) / 2 or more.
    assert (np.abs(out / expected - 1) <= 1.5 * limits.eps).all()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_an_exponential_of_any_number(dtype):
    limits = np.finfo(dtype)
    ends = [np.log(limits.max) * 0.9999999, np.log(limits.tiny) - 3, np.log(limits.max) + 1, np.log(limits.tiny) - 40]
    x = np.array([0.0, -0.0, np.inf, -np.inf, np.nan, 1e30, -1e30, limits.tiny, *ends], dtype)
    out = np.empty_like(x)
    exponentials(x, out)
    with np.errstate(over="ignore", under="ignore"):
        expected = np.exp(x)
    assert np.allclose(out, expected, rtol=2 * limits.eps, atol=2 * limits.smallest_subnormal, equal_nan=True)


def test_without_avx_nothing_is_estimated(tmp_path):
    environment = os.environ | {"NUMBA_CACHE_DIR": str(tmp_path), "NUMBA_ENABLE_AVX": "0"}
    program = "import numpy as np; from dynsim.kernels import *; q = np.arange(30.0).reshape(10, 3); "
    program += "print(pair_sum(Kernel(), q, q[:1] + 1.0, np.ones(10))[0])"
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    expected = sum(1 / (3**0.5 * abs(3 * j - 1)) for j in range(10))
    assert float(done.stdout) == pytest.approx(expected, rel=1e-14)


@pytest.mark.skipif(binding.llvm_version_info[0] < 20, reason="older releases of LLVM make other vectors of some loops")
@pytest.mark.skipif(platform.machine() not in ("x86_64", "AMD64"), reason="reads the assembly of x86-64")
def test_loops_over_pairs_load_vectors_and_never_gather(tmp_path):
    environment = os.environ | {"NUMBA_CACHE_DIR": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", PROGRAM], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert len(found) == 20
    assert {name: one["gathers"] for name, one in found.items() if one["gathers"] != 0} == {}
    if any(one["wide"] for one in found.values()):  # a processor with AVX-512: all loops use it, and its estimates
        assert min(one["wide"] for one in found.values()) > 10
        assert min(one["estimates"] for one in found.values()) >= 1
