"""Seconds of the first commands after an installation, with nothing compiled yet, and of the same ones afterwards."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time

from ._contestants import rounds_of

# The commands of a case, in a folder of their own.
CASES = {
    "import": [["-c", "import dynsim"]],
    "help": [["-m", "dynsim", "--help"]],
    "first picture": [
        ["-m", "dynsim", "simulate", "--preset", "pair", "-o", "pair.h5", "--overwrite"],
        ["-m", "dynsim", "plot", "pair.h5", "-o", "pair.png"],
    ],
    "demo": [["-m", "dynsim", "demo", "-o", "demo", "--overwrite"]],
}
COMPILING = ("first picture", "demo")


def measure(rounds, full):
    """Every case after itself, `warm`, and those that compile also `cold`, with an empty cache. No peer."""
    rows = []
    for case in CASES:
        states = ("cold", "warm") if case in COMPILING else ("warm",)
        programs = {state: (__name__, "first_commands", {"case": case, "state": state}) for state in states}
        rows.append({"case": case, **rounds_of(programs, rounds)})
    return {"rows": rows}


def first_commands(case, state):
    """Seconds of a case's commands, one after the other."""
    with tempfile.TemporaryDirectory() as folder:
        # The modules that this process finds, from the other folder too.
        environment = {**os.environ, "NUMBA_CACHE_DIR": os.path.join(folder, "cache"),
                       "PYTHONPATH": os.pathsep.join(os.path.abspath(place) for place in sys.path)}  # fmt: skip
        for _ in range(1 if state == "cold" else 2):
            began = time.perf_counter()
            for arguments in CASES[case]:
                done = subprocess.run(
                    [sys.executable, *arguments],
                    cwd=folder,
                    env=environment,
                    capture_output=True,
                    text=True,
                    check=False,
                )
                if done.returncode:
                    raise RuntimeError(f"{case}: {(done.stderr.strip().splitlines() or ['no message'])[-1]}")
            seconds = time.perf_counter() - began
    return {"seconds": seconds}
