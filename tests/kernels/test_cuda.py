"""The CUDA backend: who is chosen; parity where a card is; its C compiled and run on the processor everywhere."""

import ctypes
import shutil
import subprocess

import numpy as np
import pytest

from dynsim.engine import Operators, System, solve
from dynsim.kernels import METRICS, PROFILES, Kernel, _backend, find_backend, pair_force, pair_sum
from dynsim.kernels._block import constants
from dynsim.kernels._cuda import source

EXPRESSION = "c*exp(-r/length)*cos(3*r)/(r**2+eta**2+0.5) - 0.25*tanh(r)**3 + minimum(r, 1.2)*log(1+r)"
# Kernels, dimensions and types as in the other tests, so that their loops are compiled once.
KERNELS = [Kernel(p, m, 1.3, 0.0, 0.8) for p in PROFILES for m in METRICS]
CASES = [(kernel, 3, np.float64) for kernel in KERNELS]
CASES += [(Kernel("inverse", softening=0.2), 3, np.float32), (Kernel(EXPRESSION, "l2", 1.3, 0.2, 0.8), 2, np.float64)]
names = [f"{kernel.profile[:16]}-{kernel.metric}" for kernel, *_ in CASES]

# One thread a block, so that no two have to wait for each other: the same source, run serially.
SHIM = """
#include <cmath>
#include <cstddef>
using namespace std;
#define __global__
#define __device__
#define __shared__ static
#define __syncthreads()
struct Index { int x, y; };
static Index threadIdx = {0, 0}, blockIdx, blockDim = {1, 1};
"""
SERIAL = """
extern "C" void run_sum(const real* q, const real* t, const real* e, const real* k, int n, int m, int s, int x,
                        real* o) {
    for (blockIdx.y = 0; blockIdx.y * COLUMNS < s; ++blockIdx.y)
        for (blockIdx.x = 0; blockIdx.x < m + 1; ++blockIdx.x) pair_sum(q, t, e, k, n, m, s, x, o);
}
extern "C" void run_force(const real* q, const real* t, const real* e, const real* y, const real* k, int n, int m,
                          int s, int x, real* o) {
    for (blockIdx.x = 0; blockIdx.x < m + 1; ++blockIdx.x) pair_force(q, t, e, y, k, n, m, s, x, o);
}
"""


def data(n, m, d, s, dtype):
    generator = np.random.default_rng(n + m)
    return [generator.normal(size=shape).astype(dtype) for shape in ((n, d), (m, d), (n, s), (m, s))]


@pytest.mark.skipif(shutil.which("g++") is None, reason="needs g++")
@pytest.mark.parametrize(("kernel", "d", "dtype"), CASES, ids=names)
def test_the_same_source_on_the_processor(kernel, d, dtype, tmp_path):
    code, library = tmp_path / f"{d}.cpp", tmp_path / f"{d}.so"
    code.write_text(SHIM + source(kernel, d, dtype) + SERIAL)
    subprocess.run(["g++", "-O1", "-shared", "-fPIC", "-o", library, code], check=True)
    run = ctypes.CDLL(str(library))
    numbers, pointer = constants(kernel, dtype), lambda array: array.ctypes.data_as(ctypes.c_void_p)
    # About the tile's edges of 128 sources and the 4 columns of a thread; with and without itself.
    for n, m, s, own in ((1, 1, 2, False), (127, 5, 3, False), (128, 128, 4, True), (129, 129, 5, True)):
        sources, targets, given, taken = data(n, m, d, s, dtype)
        targets = sources if own else targets
        sums, force = np.full((m, s), np.nan, dtype), np.full((m, d), np.nan, dtype)
        common = [pointer(numbers), n, m, s, int(own)]
        run.run_sum(*map(pointer, (sources, targets, given)), *common, pointer(sums))
        run.run_force(*map(pointer, (sources, targets, given, taken)), *common, pointer(force))
        expected = pair_sum(kernel, sources, targets, given, exclude_self=own, method="direct", backend="numba")
        forces = pair_force(kernel, sources, targets, given, taken, exclude_self=own, backend="numba")
        # n terms of some 20 roundings each, of pairs as close as 1e-2 for which phi and its slope are steep.
        error = 1e4 * np.finfo(dtype).eps
        np.testing.assert_allclose(sums, expected, rtol=0, atol=error * np.abs(expected).max())
        np.testing.assert_allclose(force, forces, rtol=0, atol=error * np.abs(forces).max())


@pytest.mark.skipif(shutil.which("nvcc") is None, reason="needs nvcc, the CUDA compiler")
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_nvcc_takes_the_source(dtype, tmp_path):
    code = tmp_path / "pairs.cu"
    kernel = Kernel("exponential") if dtype == np.float32 else CASES[-1][0]  # cos(float) uses doubles for large angles
    code.write_text(source(kernel, 9, dtype))
    done = subprocess.run(
        ["nvcc", "-ptx", "-arch=sm_80", "-o", tmp_path / "pairs.ptx", code], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    text = (tmp_path / "pairs.ptx").read_text()
    assert ".entry pair_sum" in text and ".entry pair_force" in text
    if dtype == np.float32:  # no double arithmetic inside the loops over a tile: only conversions and sums of sums
        assert "mul.f64" not in text and "div.rn.f64" not in text


def test_auto_says_which_and_why():
    found = find_backend()
    assert found.name in ("numba", "cupy") and found.reason
    assert find_backend("numba").reason == "asked for"
    small = System(np.eye(3))
    assert small.backend == ("numba", "the sums are too small for a card") and "backend=numba" in repr(small)
    large = np.random.default_rng(0).normal(size=(6000, 3))
    assert System(large).backend == find_backend()
    # The largest of a system's sums decides for all: these are between the groups only.
    groups = np.arange(6000) // 3000
    assert System(large, groups=groups, strengths=1 - np.eye(2)).backend.reason == small.backend.reason
    assert System(large, kernel=Kernel("linear", "l1")).backend == small.backend  # sorted, not pair by pair


def test_a_card_that_is_not_there_is_an_error_with_the_remedy(monkeypatch):
    monkeypatch.setattr(_backend, "_trouble", lambda: "no CUDA card answers (CUDARuntimeError: none)")
    q, system = np.eye(3), System(np.eye(3), operators=Operators(F=-1.0))
    calls = [
        lambda: pair_sum(Kernel(), q, q, q, exclude_self=True, backend="cupy"),
        lambda: pair_force(Kernel(), q, q, q, q, exclude_self=True, backend="cupy"),
        lambda: System(q, backend="cupy"),
        lambda: solve(system, (0.0, 1.0), backend="cupy"),
    ]
    for call in calls:
        with pytest.raises(ValueError, match=r"got 'cupy', but no CUDA card.*dynsim\[gpu\].*backend='numba'"):
            call()
    assert find_backend() == ("numba", "no CUDA card answers (CUDARuntimeError: none)")
    for call in (lambda: System(q, backend="gpu"), lambda: pair_sum(Kernel(), q, q, q, backend="gpu")):
        with pytest.raises(ValueError, match="backend: got 'gpu'; expected one of auto, numba, cupy"):
            call()
    assert solve(system, (0.0, 0.1), backend="numba").success


def test_a_broken_cupy_does_no_harm(monkeypatch):
    import sys
    import types

    broken = types.ModuleType("cupy")

    def arange(n):
        raise RuntimeError("driver too old\nmore")

    broken.arange = arange
    monkeypatch.setitem(sys.modules, "cupy", broken)
    assert _backend._trouble.__wrapped__() == "no CUDA card answers (RuntimeError: driver too old)"
    monkeypatch.setitem(sys.modules, "cupy", None)
    assert _backend._trouble.__wrapped__() == "CuPy is not installed"


@pytest.mark.gpu
@pytest.mark.skipif(find_backend().name != "cupy", reason=f"needs a CUDA card and CuPy: {find_backend().reason}")
@pytest.mark.parametrize(("kernel", "d", "dtype"), CASES, ids=names)
def test_parity_on_a_card(kernel, d, dtype):
    for n, m, s, own in ((1, 1, 2, False), (1000, 1000, 5, True), (129, 257, 2, False)):
        sources, targets, given, taken = data(n, m, d, s, dtype)
        targets = sources if own else targets
        for function, more in ((pair_sum, (given,)), (pair_force, (given, taken))):
            card, host = (
                function(kernel, sources, targets, *more, exclude_self=own, backend=backend)
                for backend in ("cupy", "numba")
            )
            error = 1e4 * np.finfo(dtype).eps * np.abs(host).max()
            assert card.dtype == host.dtype
            np.testing.assert_allclose(card, host, rtol=0, atol=error)
    operators = Operators(B=np.ones((1, 3)) * 0.1, F=-0.1)
    system = System(data(50, 1, 3, 1, np.float64)[0], kernel=kernel, operators=operators, delay=0.2)
    ends = [solve(system, (0.0, 0.5), method="rk4", dt=0.1, backend=backend).q[-1] for backend in ("cupy", "numba")]
    np.testing.assert_allclose(*ends, rtol=0, atol=1e-9)
