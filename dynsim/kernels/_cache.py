"""Where compiled kernels are kept between runs; it must be known before the first of them is declared."""

from __future__ import annotations

import atexit
import shutil
import tempfile

import numba


def settle():
    """Let Numba keep compiled kernels in a temporary folder if it finds no other that can be written.

    Numba looks at NUMBA_CACHE_DIR, then beside the package, then in the user's cache. Where all three fail it
    refuses to declare a kernel at all. The temporary folder, which is returned (else None), goes away with the process:
    every run compiles anew until NUMBA_CACHE_DIR names a folder that can be written.
    """
    try:
        numba.njit(cache=True)(_probe)
    except RuntimeError:
        folder = tempfile.mkdtemp(prefix="dynsim-kernels-")
        atexit.register(shutil.rmtree, folder, ignore_errors=True)
        numba.config.CACHE_DIR = folder
        return folder
    return None


def _probe():
    """What is declared to see whether a kernel can be."""


TEMPORARY = settle()
