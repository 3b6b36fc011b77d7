"""Benchmarks: this program and others do the same work, side by side in one run.

Every program runs in its own process, in turn, for several rounds: the threads of one library do not disturb those of
another, and a slow minute of the machine affects all of them.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

from dynsim._check import as_choice, as_count, as_flag

from ._comparison_of_runs import compare_runs, in_one_only
from ._libraries import blas, holding

BENCHMARKS = {
    "pairs": "pair sums, 1 / r in float32, against KeOps",
    "engine": "RK4 against SciPy's solve_ivp over NumPy; a delay system against jitcdde and ddeint",
    "growth": "time of an evaluation against the number of neurons: every pair, trees, sorted",
    "product": "weight-free products with l1 distances against BLAS on the full matrix",
    "fit": "places fitted to weights, Gauss-Newton against Adam in the same time",
    "sharing": "errors of layers that share neurons, and of layers fitted separately, with equally many numbers",
    "train": "an epoch of LeNet-5 in DyN form against PyTorch with weights",
    "start": "the first commands after an installation, with nothing compiled yet, and the same ones afterwards",
}
DRAWN = ("growth", "product")
_MODULES = {
    "pairs": "pair_speed",
    "engine": "simulation_speed",
    "growth": "simulation_growth",
    "product": "product_speed",
    "fit": "fit_quality",
    "sharing": "sharing_quality",
    "train": "training_speed",
    "start": "start_time",
}


def measure(
    name: str, *, rounds: int = 3, full: bool = False, progress: Callable | None = None, **options: Any
) -> dict[str, Any]:
    """Run one benchmark and return its numbers, with the machine and the versions.

    Parameters
    ----------
    name : str
        One of BENCHMARKS.
    rounds : int
        How often every program runs; the median counts.
    full : bool
        Also the largest sizes.
    progress : callable, optional
        Called as progress(done, None) with the number of programs that have run; if it returns true, the
        benchmark stops with KeyboardInterrupt.
    options
        Of one benchmark: `backend` and `native` of pairs.

    Raises
    ------
    ValueError
        If there is no benchmark of this name, or no such backend.
    """
    from ._contestants import machine, reported

    module = _module(name)
    with reported(progress):
        found = module.measure(as_count(rounds, "rounds"), as_flag(full, "full"), **options)
    return {"benchmark": name, "machine": machine(), **found}


def draw(found: dict[str, Any], output: str | Path) -> None:
    """Draw what `measure` returned for one of DRAWN, and save it as `dynsim.plots.save` does."""
    _module(as_choice(found["benchmark"], DRAWN, "benchmark")).draw(found, output)


def _module(name):
    return import_module(f"{__name__}.{_MODULES[as_choice(name, BENCHMARKS, 'benchmark')]}")


__all__ = ["BENCHMARKS", "DRAWN", "blas", "compare_runs", "draw", "holding", "in_one_only", "measure"]
