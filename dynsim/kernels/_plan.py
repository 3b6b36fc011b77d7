"""Who computes pair sums: Numba on the processor, or CuPy on a CUDA card where one answers."""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

from dynsim._check import as_choice

BACKENDS = ("auto", "numba", "cupy")
# Pairs times axes from which a card pays although the arrays travel there and back; estimated, not measured.
WORTH_THE_WAY = 3e8


class Backend(NamedTuple):
    """The name of a backend and why it was taken."""

    name: str
    reason: str


def find_backend(backend="auto"):
    """Decide who computes.

    Parameters
    ----------
    backend : {"auto", "numba", "cupy"}
        "auto" takes CuPy if a card can be given an array, and Numba otherwise, and says why.

    Returns
    -------
    Backend
        `name`, "numba" or "cupy", and `reason`.

    Raises
    ------
    ValueError
        If the backend is not known, or CuPy is asked for and there is no card for it; with the remedy.

    Examples
    --------
    >>> find_backend("numba")
    Backend(name='numba', reason='asked for')
    """
    as_choice(backend, BACKENDS, "backend")
    if backend == "numba":
        return Backend("numba", "asked for")
    trouble = _trouble()
    if trouble is None:
        return Backend("cupy", "asked for" if backend == "cupy" else "a CUDA card answered")
    if backend == "cupy":
        raise ValueError(
            f"backend: got 'cupy', but {trouble}; expected a CUDA card and CuPy (pip install 'dynsim[gpu]'), "
            f"or backend='numba'."
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
