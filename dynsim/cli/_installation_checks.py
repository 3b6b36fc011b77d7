"""The checks of `dynsim doctor`: each yields what was checked, what was found, and a remedy."""

from __future__ import annotations

import configparser
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from dataclasses import asdict, dataclass
from importlib import import_module, metadata
from pathlib import Path

from ._computation import compilation_messages

OK, ABSENT, BROKEN = "ok", "absent", "broken"  # absent: only what needs it does not work


@dataclass
class Finding:
    """One line of the report."""

    section: str
    name: str
    status: str
    found: str
    remedy: str | None = None

    def to_dict(self):
        """Plain values."""
        return asdict(self)


def examine():
    """Yield all findings; a check that fails with an unforeseen error is a finding, too."""
    for check in (_python, _needed, _compute, _compiled_functions, _threads, _extras, _gpu, _data, _tools):
        try:
            yield from check()
        except Exception as error:
            yield Finding(check.__name__.strip("_"), "check", BROKEN, f"{type(error).__name__}: {error}", "Report it.")


def _python():
    version = platform.python_version()
    fits = sys.version_info >= (3, 11)
    yield Finding("python", "python", OK if fits else BROKEN, version, None if fits else "Use Python 3.11 or later.")
    yield Finding("python", "dynsim", OK, _version_of_dynsim())


def _version_of_dynsim():
    import dynsim

    return f"{dynsim.__version__} in {Path(dynsim.__file__).parent}"


IMPORTED_AS = {"pillow": "PIL"}  # packages that are imported under another name


def _needed():
    for requirement in requirements()[""]:
        version = installed(requirement.name)
        remedy = f"pip install '{requirement.name}{requirement.specifier}'"
        if version is None:
            yield Finding("packages", requirement.name, BROKEN, "not installed", remedy)
            continue
        if not requirement.specifier.contains(version, prereleases=True):
            yield Finding("packages", requirement.name, BROKEN, f"{version}; {requirement.specifier} needed", remedy)
            continue
        try:
            import_module(IMPORTED_AS.get(requirement.name, requirement.name))
        except Exception as error:  # a package built for another NumPy may raise anything
            yield Finding(
                "packages", requirement.name, BROKEN, f"{version}, but: {error}", f"{remedy} --force-reinstall"
            )
            continue
        yield Finding("packages", requirement.name, OK, version)


def _compute():
    """The kernels against NumPy, on enough pairs for a parallel loop: it also settles the threading layer."""
    import numpy as np

    from dynsim.kernels import Kernel, pair_sum

    generator = np.random.default_rng(0)
    q, E = generator.standard_normal((600, 3)), generator.standard_normal(600)
    with compilation_messages():
        ours = pair_sum(Kernel(softening=1.0), q, q, E)
    plain = (1 / np.sqrt(((q[:, None] - q[None]) ** 2).sum(-1) + 1)) @ E
    # 600 terms of size 1 at most, each off by a few last places, summed in another order.
    right = np.allclose(ours, plain, rtol=0, atol=600 * 8 * np.finfo(float).eps * np.abs(E).max())
    found = "kernels compile and agree with NumPy" if right else f"kernels are off by {np.abs(ours - plain).max():.1e}"
    yield Finding(
        "compute", "kernels", OK if right else BROKEN, found, None if right else "Reinstall numba; report it."
    )


def _compiled_functions():
    import numba

    from dynsim import kernels

    if kernels.TEMPORARY_CACHE is not None:
        remedy = "Set NUMBA_CACHE_DIR to a folder that can be written."
        yield Finding("compute", "kernel cache", ABSENT, "no folder can be written: every run compiles anew", remedy)
        return
    asked = os.environ.get("NUMBA_CACHE_DIR")
    beside = Path(kernels.__file__).parent / "__pycache__"
    if asked and not _writable(Path(asked)):
        remedy = "Set NUMBA_CACHE_DIR to a folder that can be written, or unset it."
        yield Finding("compute", "kernel cache", ABSENT, f"NUMBA_CACHE_DIR = {asked} cannot be written", remedy)
        return
    where = asked or (beside if _writable(beside) else "the user's cache folder of Numba")
    yield Finding("compute", "kernel cache", OK, f"{where} (numba {numba.__version__})")


def _writable(folder):
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return True
    except OSError:
        return False


def _threads():
    import numba

    from dynsim.benchmarks import blas, holding

    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    threads = numba.get_num_threads()
    remedy = None if threads >= cores else "Unset NUMBA_NUM_THREADS to use all cores."
    found = f"{threads} of Numba on {cores} cores, threading layer {numba.threading_layer()}"
    yield Finding("compute", "threads", OK, found, remedy)
    for one in blas():
        kernel = f", kernel {one['kernel']}" if one["kernel"] else ""
        yield Finding("compute", "BLAS", OK, f"{one['library']} {one['version']}{kernel}, {one['threads']} threads")
    for name, value in holding().items():
        remedy = f"Unset {name}, unless it is meant: it may hold a library to slower instructions."
        yield Finding("compute", name, OK, value, remedy)


def _extras():
    for extra, given in sorted(requirements().items()):
        if not extra:
            continue
        missing = [r.name for r in given if not _fits(r)]
        found = ", ".join(f"{r.name} {installed(r.name) or '(not installed)'}" for r in given)
        remedy = f"pip install 'dynsim[{extra}]'" if missing else None
        yield Finding("extras", extra, ABSENT if missing else OK, found, remedy)


def _fits(requirement):
    version = installed(requirement.name)
    return version is not None and requirement.specifier.contains(version, prereleases=True)


def _gpu():
    try:
        import cupy
    except ImportError as error:
        remedy = "pip install 'dynsim[gpu]' where there is an NVIDIA GPU; everything runs without one."
        yield Finding("gpu", "CuPy", ABSENT, f"not importable ({error})", remedy)
        return
    try:
        cupy.zeros(1).sum().item()  # a driver can be there and still fail at the first allocation
        name = cupy.cuda.runtime.getDeviceProperties(0)["name"].decode()
    except Exception as error:  # CuPy raises errors of its own for every layer of the driver
        remedy = "Look at nvidia-smi and at CuPy's installation guide; everything runs without a GPU."
        yield Finding("gpu", "CuPy", ABSENT, f"{cupy.__version__}, but no GPU can be used ({error})", remedy)
        return
    yield Finding("gpu", "CuPy", OK, f"{cupy.__version__} on {name}")


def _data():
    from dynsim.datasets import NAMES, find, search_path

    yield Finding("data", "searched", OK, ", ".join(str(folder) for folder in search_path()))
    for name in NAMES:
        folder = find(name)
        remedy = None if folder else f"dynsim data fetch {name}"
        yield Finding("data", name, OK if folder else ABSENT, str(folder or "not here"), remedy)


def _tools():
    for name, programs, purpose in (
        ("ffmpeg", ("ffmpeg",), "films (.mp4)"),
        ("browser", ("chromium", "chromium-browser", "google-chrome", "firefox"), "pages of dynsim view"),
    ):
        path = next((found for program in programs if (found := shutil.which(program))), None)
        remedy = None if path else f"Install {programs[0]} with the system's package manager; it is for {purpose}."
        yield Finding("tools", name, OK if path else ABSENT, _version(path) if path else "not found", remedy)


def _version(path):
    """First line of what a program says of its version; its path if it does not say."""
    try:
        done = subprocess.run([path, "-version"], capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.SubprocessError):
        return path
    first = (done.stdout.splitlines() or [""])[0].split(" Copyright")[0]
    return f"{path} ({first})" if done.returncode == 0 and first else path


def requirements():
    """{extra, "" for what is always needed: [Requirement]}.

    As the installed package says, or its setup.cfg where it runs from its source tree.
    """
    from packaging.requirements import Requirement

    try:
        extras = metadata.metadata("dynsim").get_all("Provides-Extra") or []
        given = [Requirement(line) for line in metadata.requires("dynsim") or []]
    except metadata.PackageNotFoundError:
        config = configparser.ConfigParser()
        config.read(Path(__file__).parents[2] / "setup.cfg", encoding="utf-8")
        groups = {"": config["options"]["install_requires"], **config["options.extras_require"]}
        return {name: [Requirement(line) for line in text.split("\n") if line.strip()] for name, text in groups.items()}
    found = {"": [r for r in given if r.marker is None or r.marker.evaluate({"extra": ""})]}
    for extra in extras:
        found[extra] = [r for r in given if r not in found[""] and r.marker.evaluate({"extra": extra})]
    return found


def installed(name):
    """Version of an installed distribution, or None."""
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None
