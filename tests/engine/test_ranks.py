"""Ranks divide pair sums without a change of bits, and none of them waits for one that has left."""

import os
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from dynsim._ranks import ALONE, Ranks, started_as
from dynsim.engine import System
from dynsim.kernels import SIDE_BY_SIDE, Kernel, pair_sum

PATIENCE = 600.0  # seconds; only ranks that wait for each other for ever let them pass


class InTurn:
    """A communicator of ranks that come one after another, twice: first their parts are kept, then they get all."""

    def __init__(self, size, parts):
        self.rank, self.size, self.parts = len(parts) % size, size, parts

    def Allgather(self, own, every):
        every[...] = own

    def Allgatherv(self, own, into):
        every, (counts, starts) = into
        assert len(own) == counts[self.rank] and starts[self.rank] == sum(counts[: self.rank])
        self.parts.append(own.copy())
        every[...] = np.nan if len(self.parts) <= self.size else np.concatenate(self.parts[: self.size])


class Threads:
    """Communicators of ranks that are threads of this process."""

    def __init__(self, size):
        self.size, self.slots, self.barrier = size, [None] * size, threading.Barrier(size, timeout=PATIENCE)

    def of(self, rank):
        comm = Thread()
        comm.rank, comm.size, comm.team = rank, self.size, self
        return comm


class Thread:
    def exchange(self, value):
        self.team.slots[self.rank] = value
        self.team.barrier.wait()
        every = list(self.team.slots)
        self.team.barrier.wait()
        return every

    def Allgather(self, own, every):
        every[...] = self.exchange(own.copy())

    def Allgatherv(self, own, into):
        into[0][...] = np.concatenate(self.exchange(own))

    def bcast(self, value, root):
        return self.exchange(value)[root]


def on_ranks(size, program):
    """What `program(ranks)` returns or raises on each of several ranks."""
    team = Threads(size)

    def one(rank):
        try:
            return program(Ranks(team.of(rank), threads=1))
        except BaseException as error:
            return error

    with ThreadPoolExecutor(size) as pool:
        return list(pool.map(one, range(size)))


@pytest.mark.parametrize("size", [1, 2, 3, 4, 7, 64])
@pytest.mark.parametrize("n", [0, 1, 3, 4, 5, 8, 31, 33, 1000, 3001])
def test_parts_follow_one_another_in_whole_groups(size, n):
    ranks = Ranks(InTurn(size, []))
    parts = [ranks.part(n, SIDE_BY_SIDE, rank) for rank in range(size)]
    assert [place for part in parts for place in range(*part)] == list(range(n))
    assert all(begin % SIDE_BY_SIDE == 0 or begin == n for begin, _ in parts)
    assert max(end - begin for begin, end in parts) <= n / size + 2 * SIDE_BY_SIDE


def systems():
    """Systems by name: groups that are neighbours, groups that are not, copies, kernels and metrics."""
    generator = np.random.default_rng(5)
    neighbours, scattered = np.repeat([0, 1, 2], [70, 1, 132]), np.arange(203) % 3
    few, many = [[0.0, 1.0, 0.5], [2.0, 0.0, 0.0], [0.3, 0.0, -1.0]], [[1.0, 0.5, 1.0]] * 3
    places = generator.normal(size=(203, 3))
    yield "one group", System(places), 1
    yield "three signals", System(places), 3
    yield "many signals", System(places), 6
    yield "another metric", System(places, kernel=Kernel("gaussian", "l1")), 1
    yield "neighbours", System(places, groups=neighbours, strengths=few, kernel=Kernel("exponential")), 1
    softened = Kernel("inverse", softening=0.1)
    yield "scattered", System(places, groups=scattered, strengths=few, kernel=softened), 1
    yield "scattered, many signals", System(places, groups=scattered, strengths=few, kernel=softened), 6
    yield "copies", System(generator.normal(size=(3, 203, 2)), strengths=[1.0, -0.5, 2.0], kernel=Kernel("linear")), 1
    mixed = np.array([np.ones((3, 3)), many])
    yield "copies, mixed", System(generator.normal(size=(2, 203, 2)), groups=scattered, strengths=mixed), 1
    yield "an expression", System(places, kernel=Kernel("c*exp(-r)/(1+r)")), 1
    yield "many axes", System(generator.normal(size=(61, 12))), 1
    yield "sorted", System(generator.normal(size=(2501, 2)), kernel=Kernel("linear", "l1")), 1
    yield "silent", System(places, strengths=0.0), 1


@pytest.mark.parametrize(("name", "system", "signals"), list(systems()), ids=[name for name, *_ in systems()])
def test_the_parts_of_all_ranks_are_the_bits_of_one_process(name, system, signals):
    generator = np.random.default_rng(signals)
    q = system._places(system.q)
    past, E = q + generator.normal(scale=0.1, size=q.shape), generator.normal(size=(system.neurons, signals))
    whole = system._coupling.received(past, q, E)
    assert whole.any() != (name == "silent")
    for size in (2, 3, 4, 100):
        parts = []
        every = [system._coupling.received(past, q, E, Ranks(InTurn(size, parts))) for _ in range(2 * size)]
        assert all(np.array_equal(found, whole) for found in every[size:])


@pytest.mark.parametrize("size", [2, 3])
def test_gathered_sums_stand_in_their_places(size):
    sizes = [9, 1, 30]
    whole = [np.random.default_rng(n).normal(size=(n, 2)) for n in sizes]

    def program(ranks):
        own = [array[slice(*ranks.part(len(array), SIDE_BY_SIDE))] for array in whole]
        return ranks.gather(own, sizes, whole, SIDE_BY_SIDE)

    for found in on_ranks(size, program):
        assert all(np.array_equal(a, b) for a, b in zip(found, whole, strict=True))


def test_a_part_begins_with_a_whole_group():
    q = np.eye(9)
    whole = pair_sum(Kernel(), q, q, q[0], exclude_self=True)
    assert np.array_equal(pair_sum(Kernel(), q, q, q[0], exclude_self=True, part=(4, 7)), whole[4:7])
    assert pair_sum(Kernel(), q, q, q[0], exclude_self=True, part=(9, 9)).shape == (0,)
    for part in [(2, 9), (4, 10), (8, 4)]:
        with pytest.raises(ValueError, match=r"part: got .* a multiple of 4 or 9"):
            pair_sum(Kernel(), q, q, q[0], exclude_self=True, part=part)


def test_rank_0_tells_the_others():
    def program(ranks):
        with ranks.together():
            return ranks.told(lambda: f"from {ranks.rank}"), ranks.asked(lambda: 10 + ranks.rank)

    assert on_ranks(3, program) == [("from 0", 10)] * 3


@pytest.mark.parametrize("leaver", [0, 2])
@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt(), SystemExit(3)])
def test_what_ends_one_rank_ends_all(leaver, error):
    def program(ranks):
        with ranks.together(), ranks.together():
            if ranks.rank == leaver:
                raise error
            return ranks.told(lambda: 1)

    for found in on_ranks(3, program):
        assert type(found) is type(error) and found.args == error.args


def test_an_exception_that_cannot_be_sent_is_described():
    class Unsendable(ValueError):
        def __reduce__(self):
            raise TypeError("not to be pickled")

    def program(ranks):
        with ranks.together():
            if ranks.first:
                raise Unsendable("three words here")
            ranks.asked(lambda: 0)

    first, second = on_ranks(2, program)
    assert isinstance(first, Unsendable)
    assert isinstance(second, RuntimeError) and "Unsendable: three words here" in str(second)


def test_what_all_ranks_raise_may_be_caught_and_they_go_on():
    def program(ranks):
        with pytest.raises(ValueError, match="no"), ranks.together():
            raise ValueError("no")
        with ranks.together():
            return ranks.asked(lambda: 7)

    assert on_ranks(3, program) == [7, 7, 7]


def test_ranks_that_hold_other_numbers_are_refused():
    def program(ranks):
        state = np.array([1.0, np.nextafter(2.0, 2.0 + ranks.rank)])
        with ranks.together():
            return ranks.gather([np.zeros((0, 1))], [0], [state])

    for found in on_ranks(3, program):
        assert isinstance(found, RuntimeError) and "ranks 0 and 1 that do not compute the same" in str(found)


def test_a_rank_that_ends_before_the_others_is_seen():
    def program(ranks):
        with ranks.together():
            return ranks.first or ranks.asked(lambda: 1)

    assert all("do not compute the same" in str(found) for found in on_ranks(2, program))


def test_launchers_are_known_by_what_they_tell(monkeypatch):
    for name in [name for name in os.environ if "MPI" in name or name.startswith("PMI")]:
        monkeypatch.delenv(name)
    assert started_as() == (0, 1)
    monkeypatch.setenv("SLURM_NTASKS", "8")  # a batch script is one process, whatever it asked for
    assert started_as() == (0, 1)
    monkeypatch.setenv("PMIX_RANK", "2")
    assert started_as() == (2, None)
    monkeypatch.setenv("OMPI_COMM_WORLD_RANK", "1")
    monkeypatch.setenv("OMPI_COMM_WORLD_SIZE", "4")
    assert started_as() == (1, 4)
    monkeypatch.setenv("DYNSIM_MPI", "0")
    assert started_as() == (0, 1)


@pytest.mark.parametrize("rank", [0, 1])
def test_without_mpi4py_several_processes_are_refused_once(tmp_path, rank):
    (tmp_path / "mpi4py.py").write_text("raise ImportError('it is not here')")
    environment = {**os.environ, "PYTHONPATH": str(tmp_path), "PMI_RANK": str(rank), "PMI_SIZE": "2"}
    command = [sys.executable, "-m", "dynsim", "simulate", "--preset", "pair", "-o", str(tmp_path / "run.h5")]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 1 and not (tmp_path / "run.h5").exists() and done.stdout == ""
    said = "Error: mpiexec: got 2 processes, but no MPI in Python (it is not here); expected mpi4py and its library; "
    said += "pip install 'dynsim[mpi]', or set DYNSIM_MPI=0 where every process is to run by itself.\n"
    assert done.stderr == ("" if rank else said)


def test_one_process_needs_no_mpi():
    assert ALONE.size == 1 and ALONE.first and ALONE.threads is None
    with pytest.raises(SystemExit, match="5"):
        ALONE.abort(5)
