"""The same bits in the process that compiles as in those that find its work, and wherever arrays lie in memory."""

import hashlib
import os
import subprocess
import sys

import numpy as np
import pytest

from dynsim.kernels import (
    METRICS,
    PROFILES,
    Kernel,
    lane_dot,
    lane_sum,
    pair_force,
    pair_matrix,
    pair_sum,
    relation,
    relation_forces,
    relation_normal,
    relation_tangent,
    shared_relation,
    shared_relation_forces,
)

CASES = [(Kernel("inverse"), np.float32), (Kernel("linear", "l1"), np.float64), (Kernel("gaussian"), np.float32)]
# Prints a digest of every loop whose result is kept, for two kernels, and of a training of each kind of layer.
PROGRAM = """
import sys
import numpy as np
import dynsim
from dynsim.layers import BatchNorm, Conv, Full, LayerNorm
sys.path.insert(0, sys.argv[1])
from test_same_bits import CASES, digest, results

for kernel, dtype in CASES:
    print(digest(results(kernel, 70, dtype)), digest(results(kernel, 17, dtype)))
data = dynsim.datasets.load("digits")
for model in (
    dynsim.models.mlp(widths=(64, 20, 10), copies=2, dim=3, seed=0),
    dynsim.models.lenet5(copies_fc=1, copies_conv=1, dim=3, seed=0),
    dynsim.models.vit(image=8, channels=1, patch=2, width=8, depth=1, heads=2, hidden=8, dim=3, seed=0),
):
    dynsim.train(model, data, epochs=1, batch=64)
    print(digest(model.arrays.values()))
"""


PROGRAM_OF_ALL = """
import sys
import numpy as np
from dynsim.kernels import PROFILES, Kernel, pair_force, relation, relation_forces
sys.path.insert(0, sys.argv[1])
from test_same_bits import digest

for profile in PROFILES:
    for dtype in (np.float32, np.float64):
        g, kernel = np.random.default_rng(0), Kernel(profile, "METRIC", softening=0.1)
        shapes = (2, 2, 70, 3), (2, 2, 73, 3), (2, 2, 2), (2, 2, 73, 70)
        *sides, gradient = (g.normal(size=shape).astype(dtype) for shape in shapes)
        q, p, x, y = (g.normal(size=shape).astype(dtype) for shape in [(70, 3), (73, 3), (70, 2), (73, 2)])
        made = [relation(kernel, *sides), *relation_forces(kernel, *sides, gradient), pair_force(kernel, q, p, x, y)]
        print(digest(made))
"""
# Trains three epochs, or stops in the second one and, called again, goes on.
TRAINING = """
import sys
from pathlib import Path
import dynsim
from dynsim.kernels import Kernel

folder = Path(sys.argv[1])
folder.mkdir(exist_ok=True)
checkpoint = folder / "training.checkpoint"
model = dynsim.models.mlp(widths=(64, 20, 10), copies=2, dim=3, seed=0, kernel=Kernel("linear", "l1"))
stop = int(sys.argv[2]) if sys.argv[2:] else 9

def progress(done, total, epoch, **facts):
    if epoch > stop:
        sys.exit()

data = dynsim.datasets.load("digits")
dynsim.train(model, data, epochs=3, batch=64, checkpoint=checkpoint, resume=checkpoint.exists(), progress=progress)
print([array.tobytes().hex() for array in model.arrays.values()])
"""


def digest(arrays):
    return hashlib.sha256(b"".join(np.ascontiguousarray(array).tobytes() for array in arrays)).hexdigest()[:16]


def placed(array, shift):
    """A copy that begins `shift` elements behind a multiple of 64 bytes, in memory that is used for the first time."""
    raw = np.empty(array.nbytes + 128 + shift * array.itemsize, np.uint8)
    start = -raw.ctypes.data % 64 + shift * array.itemsize
    copy = raw[start : start + array.nbytes].view(array.dtype).reshape(array.shape)
    copy[...] = array
    return copy


def results(kernel, n, dtype, shifts=None):
    """All pairwise results of n sources and n + 3 targets in three dimensions; each array has a shift of its own."""
    g, shifts = np.random.default_rng(n), shifts or (lambda: 0)
    shapes = (n, 3), (n + 3, 3), (n, 2), (n + 3, 2)
    q, p, x, y = (placed(g.normal(size=shape).astype(dtype), shifts()) for shape in shapes)
    shapes = (2, 2, n, 3), (2, 2, n + 3, 3), (2, 2, 2), (2, 2, n + 3, n)
    *sides, gradient = (placed(g.normal(size=shape).astype(dtype), shifts()) for shape in shapes)
    one = placed(np.ascontiguousarray(x[:, 0]), shifts())
    return [
        pair_sum(kernel, q, p, x, method="direct"),
        pair_sum(kernel, q, p, one, method="direct"),
        pair_sum(kernel, q, q, one, exclude_self=True, method="direct"),
        pair_matrix(kernel, q, p),
        pair_force(kernel, q, p, x, y),
        relation(kernel, *sides),
        *relation_forces(kernel, *sides, gradient),
        relation_tangent(kernel, *sides, *sides),
        relation_normal(kernel, *sides),
        shared_relation(kernel, sides[0][0], sides[1][0], sides[2][0]),
        *shared_relation_forces(kernel, sides[0][0], sides[1][0], sides[2][0], gradient[0]),
    ]


@pytest.mark.parametrize("n", [5, 17, 40, 70, 300])
@pytest.mark.parametrize(("kernel", "dtype"), [*CASES, (Kernel("linear", "l1"), np.float32)])
def test_wherever_arrays_lie(kernel, dtype, n):
    g, held, found = np.random.default_rng(0), [], set()
    for _ in range(20):
        held.append(np.empty(int(g.integers(1, 4000)), np.uint8))  # moves what is allocated afterwards
        found.add(digest(results(kernel, n, dtype, lambda: int(g.integers(16)))))
    assert len(found) == 1


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("n", [0, 1, 7, 8, 9, 31, 32, 33, 71, 1000])
def test_lanes_add_in_the_order_that_they_state(n, dtype):
    from numba import njit

    a, b = np.random.default_rng(n).normal(size=(2, n)).astype(dtype)
    expected, first = dtype(0), 0
    for width in (32, 8, 1):
        lanes = np.zeros(width, dtype)
        while first + width <= n:
            lanes += a[first : first + width]
            first += width
        while len(lanes) > 1:
            half = len(lanes) // 2
            lanes = lanes[:half] + lanes[half:]
        expected = expected + lanes[0]
    total, product = njit(lambda a, b: (lane_sum(a, len(a)), lane_dot(a, b, len(a))))(a, b)
    assert total == expected
    # n roundings of terms of size one
    assert product == pytest.approx(
        np.dot(a.astype(float), b), abs=float(4 * np.finfo(dtype).eps * (1 + np.abs(a) @ np.abs(b)))
    )


@pytest.mark.slow
def test_cold_and_warm_processes(tmp_path):
    def process(threads):
        environment = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path), "NUMBA_NUM_THREADS": threads}
        command = [sys.executable, "-c", PROGRAM, os.path.dirname(__file__)]
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout

    cold = process("2")
    assert cold == process("2") == process("1") == process("4")


@pytest.mark.slow
@pytest.mark.parametrize("metric", METRICS)
def test_every_kernel_cold_and_warm(tmp_path, metric):
    """The loops in which the process that compiled once differed from those that came later, for all kernels."""
    program = PROGRAM_OF_ALL.replace("METRIC", metric)

    def process():
        environment = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path)}
        command = [sys.executable, "-c", program, os.path.dirname(__file__)]
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout

    cold = process()
    assert cold.count("\n") == 2 * len(PROFILES) and cold == process() == process()


@pytest.mark.slow
def test_a_training_goes_on_in_a_warm_process_as_it_began_in_a_cold_one(tmp_path):
    def process(folder, *options):
        environment = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path / "cache")}
        command = [sys.executable, "-c", TRAINING, str(tmp_path / folder), *options]
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout

    process("parts", "1")  # it compiles
    assert process("whole") == process("parts")
