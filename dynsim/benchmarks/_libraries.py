"""The libraries that compute beside ours: which kernels of BLAS run, and what holds them to slower ones."""

from __future__ import annotations

import os

# Each of them can make a library use older instructions than the processor has.
HOLDING = (
    "OPENBLAS_CORETYPE", "MKL_ENABLE_INSTRUCTIONS", "ONEDNN_MAX_CPU_ISA", "DNNL_MAX_CPU_ISA",
    "ATEN_CPU_CAPABILITY", "NPY_DISABLE_CPU_FEATURES", "NUMBA_CPU_NAME", "NUMBA_CPU_FEATURES", "NUMBA_ENABLE_AVX",
)  # fmt: skip


def holding() -> dict[str, str]:
    """Variables of the environment that hold a library to slower instructions, and their values.

    >>> isinstance(holding(), dict)
    True
    """
    return {name: os.environ[name] for name in HOLDING if os.environ.get(name)}


def blas() -> list[dict]:
    """NumPy's BLAS as it runs in this process: `library`, `version`, `kernel` (None where it is not told), `threads`.

    >>> import numpy
    >>> all(found["threads"] >= 1 for found in blas())
    True
    """
    import threadpoolctl

    return [
        {"library": pool["internal_api"], "version": pool["version"], "kernel": pool.get("architecture"),
         "threads": pool["num_threads"]}
        for pool in threadpoolctl.threadpool_info()
        if pool["user_api"] == "blas"
    ]  # fmt: skip


def report() -> dict:
    """What NumPy computes with, for a process of its own."""
    import numpy as np

    np.ones((2, 2)) @ np.ones((2, 2))
    return {"blas": blas()}
