"""How contestants are run and timed."""

from __future__ import annotations

import itertools
import json
import os
import platform
import statistics
import subprocess
import sys
from contextlib import contextmanager
from importlib import metadata

from dynsim._files import to_json

from ._libraries import holding

CALL = (
    "import json, sys; from importlib import import_module; name, function, arguments = sys.argv[1:]; "
    "print('\\n' + json.dumps(getattr(import_module(name), function)(**json.loads(arguments))))"
)


_reports = []


@contextmanager
def reported(progress):
    """Within it, `progress(done, None)` is called after every run of a contestant; a true answer stops."""
    counter = itertools.count(1)
    _reports.append(lambda: progress is not None and progress(next(counter), None))
    try:
        yield
    finally:
        _reports.pop()


def isolated(module, function, **arguments):
    """Call a function in a process of its own; it returns a dict. {"missing": reason} if its peer is not installed.

    What in the environment would hold a library to slower instructions is left out, for all contestants alike.
    """
    environment = {name: value for name, value in os.environ.items() if name not in holding()}
    command = [sys.executable, "-c", CALL, module, function, to_json(arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    if any([report() for report in _reports]):
        raise KeyboardInterrupt
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        if "ModuleNotFoundError" in last or "ImportError" in last:
            return {"missing": last}
        raise RuntimeError(f"benchmark: {function} ended with {done.returncode}: {last}")
    return json.loads(done.stdout.strip().splitlines()[-1])


def rounds_of(contestants, rounds):
    """Run contestants {name: (module, function, arguments)} in turn.

    Returns for each its median "seconds", those of all "rounds", and the rest as it was last.
    """
    results = {name: [] for name in contestants}
    for _ in range(rounds):
        for name, (module, function, arguments) in contestants.items():
            if not results[name] or "missing" not in results[name][-1]:
                results[name].append(isolated(module, function, **arguments))
    return {name: found[-1] if "missing" in found[-1] else _median(found) for name, found in results.items()}


def _median(found):
    seconds = [one["seconds"] for one in found]
    return {**found[-1], "seconds": statistics.median(seconds), "rounds": seconds}


def ratio(slow, fast):
    """How many times faster, or None if one of the two is missing."""
    if "seconds" not in slow or "seconds" not in fast:
        return None
    return slow["seconds"] / fast["seconds"]


def machine():
    """Processor, cores, versions, NumPy's BLAS as the contestants have it, and what was left out for them."""
    found = {"processor": _processor(), "cores": len(os.sched_getaffinity(0)), "python": platform.python_version()}
    found |= isolated(f"{__package__}._libraries", "report") | {"left_out": holding()}
    for name in ("dynsim", "numpy", "numba", "scipy", "torch", "pykeops", "jitcdde", "ddeint"):
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = None
    return found


def clock_rate():
    """The highest clock rate that the cores report now, in hertz, or None."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            return max(1e6 * float(line.split(":", 1)[1]) for line in file if line.startswith("cpu MHz"))
    except (OSError, ValueError):
        return None


def _processor():
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            return next(line.split(":", 1)[1].strip() for line in file if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()
