"""10,000 frames of 1,000 neurons: drawn, filmed and played within 1 GB of memory."""

import subprocess
import sys

import numpy as np
import pytest

import dynsim
from dynsim.trajectory import TrajectoryWriter
from dynsim.trajectory._stored_system import describe_system

LIMIT = 1_000_000_000  # bytes
CODE = """
import resource, sys
from dynsim.cli import main
try:
    main(sys.argv[1:])
except SystemExit as stop:
    assert stop.code in (0, None), stop.code
try:  # Linux counts what the parent had when it started this process towards ru_maxrss
    with open("/proc/self/status") as status:
        taken = next(int(line.split()[1]) * 1024 for line in status if line.startswith("VmHWM"))
except OSError:
    taken = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
print(taken, file=sys.stderr)
"""
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def large(tmp_path_factory):
    path = tmp_path_factory.mktemp("large") / "run.h5"
    rng = np.random.default_rng(0)
    centre, phase = rng.normal(size=(2, 1000, 3))
    groups = np.arange(1000) // 250
    system = dynsim.System(np.zeros((1000, 3)), operators=dynsim.Operators(F=-1.0), groups=groups)
    records = {"system": describe_system(system)}
    with TrajectoryWriter(path, neurons=1000, dimension=3, signals=1, groups=groups, provenance=records) as writer:
        for k in range(10_000):
            t = 0.01 * k
            R = np.sin(t + phase[:, 0])
            writer.write(k, t, centre + 0.3 * np.sin(t + phase), R, np.tanh(R))
    return path


def peak(*arguments):
    """Bytes that the command took at most, in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-c", CODE, *map(str, arguments)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    print(arguments[0], *arguments[2:4], f"{int(done.stderr.splitlines()[-1]) / 1e6:.0f} MB")
    return int(done.stderr.splitlines()[-1])


@pytest.mark.parametrize(
    "kind", ["trajectories", "signals", "distances", "entropy", "energy", "phase", "forces", "neurons"]
)
def test_figures(large, tmp_path, kind):
    assert peak("plot", large, "--kind", kind, "-o", tmp_path / "figure.png") < LIMIT


@pytest.mark.parametrize("stride", [17, 500])
def test_films_take_the_same_memory_however_long(large, tmp_path, stride):
    taken = peak("animate", large, "-o", tmp_path / "film.gif", "--stride", stride, "--size", "480x360")
    assert taken < LIMIT


def test_frames_stream(large, tmp_path):
    """What is drawn is not kept: the memory for 3,334 frames is near that for twenty."""
    small = ("--size", "200x160", "--neurons", "0,1,2")
    few = peak("animate", large, "-o", tmp_path / "few.gif", "--frames", 20, *small)
    many = peak("animate", large, "-o", tmp_path / "many.gif", "--stride", 3, *small)
    # A picture of 200 x 160 points in RGBA is 128 kB, 3,334 of them 430 MB; blocks that are read stay below 100 MB.
    assert many < few + 150_000_000


def test_the_player(large, tmp_path):
    page = tmp_path / "run.html"
    assert peak("view", large, "-o", page) < LIMIT
    assert page.stat().st_size < 20_000_000 and "every frame out of 10" in page.read_text("utf-8").lower()
