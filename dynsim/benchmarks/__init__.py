"""Benchmarks: this program and a peer doing the same work, side by side in one run.

Every contestant runs in a process of its own, in turn, several rounds: threads of one library do not disturb those of
another, and a slow minute of the machine meets all of them.
"""

from importlib import import_module

BENCHMARKS = {
    "pairs": "pair sums, 1 / r in float32, against KeOps",
    "engine": "RK4 against SciPy's solve_ivp over NumPy; a delay system against jitcdde and ddeint",
    "growth": "time of a pair sum against the number of neurons, direct and sorted",
    "product": "weight-free products with l1 distances against BLAS on the full matrix",
    "fit": "places fitted to weights, Gauss-Newton against Adam in the same time",
    "sharing": "neurons that neighbouring layers have in common, against each its own, on as many numbers",
    "train": "an epoch of LeNet-5 in DyN form against PyTorch with weights",
}


def run(name, rounds=3, full=False, progress=None, **options):
    """Run one benchmark and return its numbers, with the machine and the versions.

    Parameters
    ----------
    name : str
        One of BENCHMARKS.
    rounds : int
        Times that every contestant runs; the median counts.
    full : bool
        Also the largest sizes.
    progress : callable, optional
        Called with the number of contestants that have run so far.
    options
        Of one benchmark: `backend` of pairs.

    Raises
    ------
    ValueError
        If there is no benchmark of this name, or no such backend.
    """
    if name not in BENCHMARKS:
        raise ValueError(f"benchmark: got {name!r}; expected one of {', '.join(BENCHMARKS)}.")
    from ._measure import machine, telling

    with telling(progress or (lambda runs: None)):
        found = import_module(f"{__name__}.{name}").run(rounds, full, **options)
    return {"benchmark": name, "machine": machine(), **found}


__all__ = ["BENCHMARKS", "run"]
