"""What made a file: versions, git commit, threads, author."""

from __future__ import annotations

import functools
import getpass
import os
import subprocess
import sys
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path

_PACKAGE = Path(__file__).resolve().parents[1]


def describe_origin(dtype):
    """Everything about the program and the machine that a later reader may ask for."""
    return {
        "versions": versions(),
        "git_commit": git_commit(),
        "threads": threads(),
        "dtype": str(dtype),
        "backend": None,
        "generator": None,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
    }


@functools.cache
def package_version():
    """Version of dynsim as installed, or "0+unknown" from a bare source tree."""
    try:
        return metadata.version("dynsim")
    except metadata.PackageNotFoundError:
        return str(getattr(sys.modules.get("dynsim"), "__version__", "0+unknown"))


def versions():
    """Versions of Python, dynsim and what it computes with, without importing any of them."""
    found = {"python": ".".join(map(str, sys.version_info[:3])), "dynsim": package_version()}
    for name in ("numpy", "numba", "scipy", "h5py"):
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


@functools.cache
def git_commit():
    """Commit of the source tree that dynsim runs from, or None if it is installed elsewhere."""
    # An installed package may lie inside somebody else's repository: only a tree with dynsim at its top
    # counts.
    if not (_PACKAGE.parent / ".git").exists():
        return None
    try:
        done = subprocess.run(
            ["git", "-C", str(_PACKAGE.parent), "rev-parse", "--verify", "--quiet", "HEAD"],
            capture_output=True,
            text=True,
            timeout=5,
            check=False,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip() or None


def threads():
    """Threads that the kernels use, asked of Numba if it is loaded."""
    numba = sys.modules.get("numba")
    if numba is not None and hasattr(numba, "get_num_threads"):
        return int(numba.get_num_threads())
    asked = os.environ.get("NUMBA_NUM_THREADS", "")
    if asked.isdigit():
        return int(asked)
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def author():
    """Name of the user; H5MD wants one."""
    try:
        return getpass.getuser()
    except (KeyError, OSError, ImportError):
        return "unknown"
