"""Which backend computes pair sums: Numba on the processor, or CuPy on a CUDA card where one works."""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

from dynsim._check import as_choice, as_number, refusal

BACKENDS = ("auto", "numba", "cupy")
# Pairs times axes from which a card pays although arrays are copied there and back. On an H100 beside 16 cores 2,000
# neurons (1.2e7) took 0.7 ms instead of 0.3, 10,000 neurons (3e8) 1.8 ms instead of 6.6: the two cross near 5e7.
LARGE_SUM = 1e8


class Backend(NamedTuple):
    """The name of a backend and why it was taken."""

    name: str
    reason: str


def find_backend(backend: str = "auto", work: float | None = None) -> Backend:
    """Choose the backend.

    Parameters
    ----------
    backend : {"auto", "numba", "cupy"}
        "auto" is CuPy if an array can be made on a card and the sum is large, and Numba otherwise.
    work : float, optional
        Pairs times axes of the sum, 1e8 or more of a large one; None stands for a large one.

    Returns
    -------
    Backend
        `name`, "numba" or "cupy", and the `reason` for it.

    Raises
    ------
    ValueError, TypeError
        If the backend is not known, or CuPy is asked for and cannot be used; if `work` is no number.

    Examples
    --------
    >>> find_backend("numba")
    Backend(name='numba', reason='asked for')
    """
    as_choice(backend, BACKENDS, "backend")
    if backend == "numba":
        return Backend("numba", "asked for")
    if work is not None and as_number(work, "work", minimum=0) < LARGE_SUM and backend == "auto":
        return Backend("numba", "the sums are too small for a card")
    trouble = _trouble()
    if trouble is None:
        return Backend("cupy", "asked for" if backend == "cupy" else "a CUDA card answered")
    if backend == "cupy":
        raise refusal(
            "backend", f"'cupy', but {trouble}", "a CUDA card and CuPy (pip install 'dynsim[gpu]'), or backend='numba'"
        )
    return Backend("numba", trouble)


@cache
def _trouble():
    """Why CuPy cannot be used, or None: an import alone says little, so an array is made on the card."""
    try:
        import cupy
    except ImportError:
        return "CuPy is not installed"
    except Exception as error:  # a CuPy of another CUDA fails in ways of its own
        return f"CuPy cannot be loaded ({type(error).__name__}: {_line(error)})"
    try:
        return None if float(cupy.arange(4.0).sum()) == 6.0 else "the CUDA card computes wrongly"
    except Exception as error:
        return f"no CUDA card answers ({type(error).__name__}: {_line(error)})"


def _line(error):
    return (str(error).strip().splitlines() or ["no message"])[0]
