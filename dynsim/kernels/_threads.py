"""On how many threads a loop runs: on one where waking the others costs more than they save."""

from __future__ import annotations

import os

# An idle thread of OpenMP spins for long unless told otherwise, and takes the core from BLAS, whose products alternate
# with the kernels' loops in training: on two cores a batch of LeNet-5 then took ten times as long. To sleep at once
# costs 50 microseconds a loop, so it spins a little. It must be said before the first loop.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
os.environ.setdefault("GOMP_SPINCOUNT", "3000")

import llvmlite.binding
import numba


def _widest_vectors():
    """Let LLVM use vectors of 512 bits where there are some; by itself it stays at 256, at half the pairs a second.

    Whoever has said otherwise by NUMBA_CPU_NAME or NUMBA_CPU_FEATURES is obeyed.
    """
    features = llvmlite.binding.get_host_cpu_features()
    if features.get("avx512f") and not (numba.config.CPU_NAME or numba.config.CPU_FEATURES):
        numba.config.CPU_NAME = llvmlite.binding.get_host_cpu_name()
        numba.config.CPU_FEATURES = features.flatten() + ",-prefer-256-bit"


_widest_vectors()

SMALL = 100_000  # elementary operations, about as long as waking a sleeping thread takes


def launch(loop, work, *arguments):
    """Call a parallel loop on `arguments`; `work` is a count of its elementary operations, such as pairs times axes.

    Results do not depend on the choice: every sum in this project belongs to one thread.

    Examples
    --------
    >>> launch(print, 10, "done")
    done
    """
    threads = numba.get_num_threads()
    if work >= SMALL or threads == 1:
        loop(*arguments)
        return
    numba.set_num_threads(1)
    try:
        loop(*arguments)
    finally:
        numba.set_num_threads(threads)
