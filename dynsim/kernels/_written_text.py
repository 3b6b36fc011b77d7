"""Functions whose source is written for a case, with its loops over a few axes or sums as straight code.

A text is a constant of what is compiled around it, and so part of what Numba's cache on the disk knows that by.
"""

from __future__ import annotations

from functools import cache

from numba import njit
from numba.extending import overload

from ._compilation import MATH_OF_A_SUM, apart, widest_vectors


@cache
def _function(text):
    # The source consists of what this package writes and nothing else.
    names = {"apart": apart, "widest_vectors": widest_vectors}
    exec(compile(text, "<written loops>", "exec"), names)
    return names["run"]


def run_text(text, *arguments):
    """Run the function `run` of a text, a constant where this is compiled; sums take the compiler's order.

    >>> run_text("def run(x):\\n    return 2 * x", 3)
    6
    """
    return _function(text)(*arguments)


@overload(run_text, prefer_literal=True)
def _run_text(text, *arguments):
    run = njit(fastmath=set(MATH_OF_A_SUM), error_model="numpy", nogil=True)(_function(text.literal_value))
    return lambda text, *arguments: run(*arguments)
