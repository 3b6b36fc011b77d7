"""Under mpiexec a run has the bits of one process; what ends it on one rank ends it on all; it goes on afterwards."""

import os
import shutil
import signal
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from dynsim.trajectory import Trajectory

BESIDE = str(Path(sys.executable).parent)
PATIENCE = 600.0  # seconds; only ranks that wait for each other for ever let them pass
MPIEXEC = shutil.which("mpiexec", path=BESIDE) or shutil.which("mpiexec")
pytestmark = pytest.mark.skipif(
    not (MPIEXEC and find_spec("mpi4py")), reason="needs mpi4py and mpiexec: pip install 'dynsim[mpi]' mpich"
)
# Open MPI has no more ranks than cores, and none for root, unless it is told.
ENVIRONMENT = {**os.environ, "OMPI_MCA_rmaps_base_oversubscribe": "1", "OMPI_ALLOW_RUN_AS_ROOT": "1",
               "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1", "NUMBA_NUM_THREADS": "1"}  # fmt: skip
# Each rank leaves its process id in a file, in the folder of the first argument, and becomes the program.
NAMED = 'echo $$ > "$0/process-${PMI_RANK:-$OMPI_COMM_WORLD_RANK}"; exec "$@"'

CONFIG = """
seed = 2
delay = 0.5
[kernel]
softening = 0.1
[operators]
A = 0.01
B = [[0.1, 0.0, 0.0]]
D = [[0.01], [0.0], [0.0]]
F = -0.1
[[groups]]
name = "all"
neurons = 301
[run]
until = 2.0
rtol = 1e-5
"""

# Runs systems of many kinds into files whose names begin with the number of ranks; each is above LARGEST_WORK.
CASES = """
import sys
import numpy as np
import dynsim
from dynsim import Kernel, Operators, System
from dynsim.trajectory import run

generator = np.random.default_rng(7)
places = generator.normal(size=(303, 3))
moving = {"B": [[0.1, 0.0, 0.0]], "D": [[0.01], [0.0], [0.0]], "F": -0.1}
kernel = Kernel("inverse", softening=0.1)
groups, strengths = np.arange(303) % 2, [[0.5, 1.0], [-1.0, 0.0]]
fixed = {"method": "rk4", "dt": 0.1}
cases = {
    "adaptive": (System(places, kernel=kernel, operators=Operators(A=0.01, **moving), delay=0.3), {}),
    "fixed": (System(places, kernel=kernel, operators=Operators(A=0.01, **moving), delay=0.3), fixed),
    "groups": (System(places, kernel=kernel, operators=Operators(A=0.01, **moving), delay=0.3, groups=groups,
                      strengths=strengths), {"method": "bs32"}),
    "at once": (System(generator.normal(size=(3001, 2)), kernel=kernel, operators=Operators(A=1e-5, F=-0.1)),
                {"method": "euler", "dt": 0.5}),
    "activation": (System(places, kernel=kernel, operators=Operators(A=1e-3, activation="tanh", **moving)), fixed),
    "small": (System(places[:20], kernel=kernel, operators=Operators(A=0.01, **moving), delay=0.3), {}),
}
for name, (system, options) in cases.items():
    solution = run(system, (0.0, 1.0), path=f"{sys.argv[1]} {name}.h5", **options)
    assert solution.success and len(solution.q) == len(solution.t), solution.message
    if len(system.q) < 1000:
        assert solution.echo_gain == dynsim.engine.echo_gain(system, solution.q[-1], R=solution.R[-1])
"""
NAMES = ("adaptive", "fixed", "groups", "at once", "activation", "small")


def on(ranks, *words):
    """The command that runs a program of Python on several ranks."""
    return [MPIEXEC, "-n", str(ranks), sys.executable, *map(str, words)]


def dynsim(*words, ranks=1):
    command = [*(on(ranks) if ranks > 1 else [sys.executable]), "-m", "dynsim", *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, check=False, env=ENVIRONMENT, timeout=PATIENCE)


def frames(path):
    with Trajectory(path) as read:
        return [getattr(read, name)[...] for name in ("time", "q", "R", "E")]


def assert_same_bits(path, other):
    assert all(np.array_equal(a, b) for a, b in zip(frames(path), frames(other), strict=True)), path


@pytest.fixture
def config(tmp_path):
    path = tmp_path / "run.toml"
    path.write_text(CONFIG)
    return path


@pytest.fixture(scope="module")
def by_one_process(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cases")
    subprocess.run([sys.executable, "-c", CASES, "1"], check=True, cwd=folder, env=ENVIRONMENT)
    return folder


@pytest.mark.parametrize("ranks", [2, 3, 4])
def test_any_number_of_ranks_gives_the_same_bits(by_one_process, ranks):
    done = subprocess.run(
        on(ranks, "-c", CASES, ranks),
        cwd=by_one_process,
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE,
    )
    assert done.returncode == 0, done.stderr
    for name in NAMES:
        assert_same_bits(by_one_process / f"{ranks} {name}.h5", by_one_process / f"1 {name}.h5")


def test_rank_0_writes_and_speaks(config, tmp_path):
    alone = dynsim("simulate", config, "-o", tmp_path / "alone.h5")
    shared = dynsim("simulate", config, "-o", tmp_path / "shared.h5", ranks=2)
    assert (alone.returncode, shared.returncode) == (0, 0), shared.stderr

    def said(done):
        return [line for line in done.stdout.splitlines() if not line.startswith(("seconds", "output"))]

    assert said(alone) == said(shared) and shared.stderr == ""
    assert_same_bits(tmp_path / "shared.h5", tmp_path / "alone.h5")
    assert {path.name.partition(".h5")[2] for path in tmp_path.glob("shared*")} == {
        path.name.partition(".h5")[2] for path in tmp_path.glob("alone*")
    }


def test_the_dry_run_says_what_ranks_share(config):
    done = dynsim("simulate", config, "--dry-run", ranks=3)
    lines = dict(line.split(maxsplit=1) for line in done.stdout.splitlines() if line[:1].isalpha())
    assert done.returncode == 0, done.stderr
    assert (lines["ranks"], lines["threads"], lines["gather_bytes"]) == ("3", "1", "2,408")


def test_what_is_refused_is_said_once(config, tmp_path):
    (tmp_path / "run.h5").write_text("in the way")
    for words, code, said in [
        (("simulate", config, "-o", tmp_path / "run.h5"), 1, "run.h5 exists"),
        (("simulate", tmp_path / "none.toml", "-o", tmp_path / "new.h5"), 1, "none.toml does not exist"),
        (("resume", tmp_path / "run.h5"), 1, "run.h5 is not an HDF5 file"),
        (("train", "mlp"), 2, "mpiexec: got 2 processes of dynsim train; expected dynsim simulate or dynsim resume"),
        (("simulate", config, "--set", "kernel.soft=1", "-o", tmp_path / "new.h5"), 1, "did you mean 'softening'"),
    ]:
        done = dynsim(*words, ranks=2)
        assert (done.returncode, done.stdout) == (code, "")
        assert done.stderr.count(said) == 1 == done.stderr.count("Error:"), done.stderr
    assert (tmp_path / "run.h5").read_text() == "in the way" and not (tmp_path / "new.h5").exists()


def halted(start, config, tmp_path):
    """A run of three ranks whose rank 0 halts at its third checkpoint, and the processes of the ranks."""
    before = [MPIEXEC, "-n", "3", "sh", "-c", NAMED, str(tmp_path)]
    arguments = ["simulate", config, "-o", tmp_path / "run.h5", "--checkpoint", "0"]
    program = start(*arguments, halt=("run.h5.checkpoint", 3), before=before, env=ENVIRONMENT)
    program.wait_for((tmp_path / "run.h5.checkpoint.previous").exists)
    program.wait_for(lambda: len(list(tmp_path.glob("process-*"))) == 3)
    return program, [int((tmp_path / f"process-{rank}").read_text()) for rank in range(3)]


def test_a_killed_rank_ends_the_run_and_it_goes_on(start, config, tmp_path):
    program, processes = halted(start, config, tmp_path)
    os.kill(processes[1], signal.SIGKILL)
    program.communicate()
    assert program.returncode != 0
    done = dynsim("resume", tmp_path / "run.h5", ranks=2)
    assert done.returncode == 0, done.stderr
    assert dynsim("simulate", config, "-o", tmp_path / "alone.h5").returncode == 0
    assert_same_bits(tmp_path / "run.h5", tmp_path / "alone.h5")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_stopped_run_ends_with_a_checkpoint_and_goes_on(start, config, tmp_path, number):
    program, processes = halted(start, config, tmp_path)
    for process in processes:  # as a launcher passes it on; the others leave it to rank 0
        os.kill(process, number)
    _, error = program.communicate()
    assert program.returncode == 130, error
    assert "Interrupted after a checkpoint. Go on with: dynsim resume" in error and "Traceback" not in error
    done = dynsim("resume", tmp_path / "run.h5")
    assert done.returncode == 0, done.stderr
    assert dynsim("simulate", config, "-o", tmp_path / "alone.h5").returncode == 0
    assert_same_bits(tmp_path / "run.h5", tmp_path / "alone.h5")


ENDS = """
import sys
import numpy as np
import dynsim
from mpi4py import MPI

rank = MPI.COMM_WORLD.rank
places = np.random.default_rng(0).normal(size=(301, 3))
if sys.argv[1] == "differ" and rank == 1:
    places[0, 0] = np.nextafter(places[0, 0], 9.0)

def callback(t, q):
    if sys.argv[1] == "fail" and rank == 1:
        raise LookupError("only here")

operators = dynsim.Operators(B=[[1.0, 0.0, 0.0]], D=[[0.1], [0.0], [0.0]])
system = dynsim.System(places, delay=0.5, operators=operators)
if sys.argv[1] == "before" and rank == 1:
    raise LookupError("only here")
dynsim.solve(system, (0.0, 2.0), path="run.h5", callback=callback)
"""


@pytest.mark.parametrize(
    ("how", "said"),
    [("fail", "only here"), ("before", "only here"), ("differ", "ranks 0 and 1 that do not compute the same")],
)
def test_no_rank_waits_for_one_that_has_failed(tmp_path, how, said):
    done = subprocess.run(
        on(2, "-c", ENDS, how),
        cwd=tmp_path,
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE,
    )
    assert done.returncode == 1 and said in done.stderr
