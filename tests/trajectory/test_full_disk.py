"""A disk that fills up in the middle of a run: one sentence, a file that opens, and a run that goes on afterwards."""

import os
import resource
import subprocess
import sys
from contextlib import contextmanager

import h5py
import numpy as np
import pytest

from dynsim.trajectory import Trajectory

SIMULATE = [
    "simulate",
    "--preset",
    "cluster",
    "--set",
    "run.rtol=1e-9",
    "--set",
    "run.frames=3000",
    "--checkpoint",
    "0.05",
]


def dynsim(*arguments, limit=None):
    def limited():
        if limit is not None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

    return subprocess.run([sys.executable, "-m", "dynsim", *map(str, arguments)], capture_output=True, text=True,
                          preexec_fn=limited, check=False)  # fmt: skip


@contextmanager
def small_disk(folder, size):
    """A file system of its own in memory."""
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", folder], capture_output=True, text=True, check=False
    )
    if mounted.returncode:
        pytest.skip(f"needs the right to mount a file system ({mounted.stderr.strip()})")
    try:
        yield lambda larger: subprocess.run(["mount", "-o", f"remount,size={larger}", folder], check=True)
    finally:
        subprocess.run(["umount", folder], check=False)


def contents(path):
    found = {}
    with h5py.File(path) as file:
        keep = lambda name, item: isinstance(item, h5py.Dataset) and "parameters" not in name  # noqa: E731
        file.visititems(lambda name, item: found.update({name: item[()]}) if keep(name, item) else None)
    return found


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    path = tmp_path_factory.mktemp("whole") / "run.h5"
    done = dynsim(*SIMULATE, "-o", path)
    assert done.returncode == 0, done.stderr
    return contents(path), path.stat().st_size


def check(path, stopped, whole, resumed):
    assert stopped.returncode == 1 and "Traceback" not in stopped.stderr
    last = stopped.stderr.strip().splitlines()[-1]
    assert "room on the disk" in last or "space" in last.lower(), stopped.stderr
    with Trajectory(path) as trajectory:
        assert 0 < trajectory.frames < 3000 and np.isfinite(trajectory.q[...]).all()
    done = resumed()
    assert done.returncode == 0, done.stderr
    ours = contents(path)
    assert set(ours) == set(whole) and all(np.array_equal(ours[name], whole[name]) for name in whole)


@pytest.mark.skipif(not hasattr(os, "posix_fallocate"), reason="needs a system that reserves room on the disk")
def test_a_file_that_may_not_grow(tmp_path, whole):
    path = tmp_path / "run.h5"
    stopped = dynsim(*SIMULATE, "-o", path, limit=int(0.6 * whole[1]))
    check(path, stopped, whole[0], lambda: dynsim("resume", path))


def test_a_disk_that_is_full(tmp_path, whole):
    with small_disk(tmp_path, int(0.6 * whole[1])) as grow:
        path = tmp_path / "run.h5"
        stopped = dynsim(*SIMULATE, "-o", path)
        grow(3 * whole[1])
        check(path, stopped, whole[0], lambda: dynsim("resume", path))
