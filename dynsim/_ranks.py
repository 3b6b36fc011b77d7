"""Several processes that run the same program, started by `mpiexec`, and divide what takes the time.

Every rank holds the whole state and takes every decision by itself from the same numbers. Only pair sums are divided;
what depends on files, on the clock or on signals is done by rank 0, which tells the others. Each of these meetings
begins with one number from every rank, so that a rank that has left by an exception, or computes something else, is
seen by all: no rank waits for one that does not come.
"""

from __future__ import annotations

import os
import pickle
import signal
import sys
import threading
import traceback
from collections.abc import Callable
from contextlib import contextmanager, suppress
from functools import cache, wraps
from typing import ParamSpec, TypeVar

# The command line asks for its rank before anything heavy is loaded: NumPy only where there are several.
# What launchers tell a process: its rank, and how many there are. PMIx does not tell the latter: MPI is asked then.
RANKS = ("OMPI_COMM_WORLD_RANK", "MV2_COMM_WORLD_RANK", "PMI_RANK", "PMIX_RANK")
SIZES = ("OMPI_COMM_WORLD_SIZE", "MV2_COMM_WORLD_SIZE", "PMI_SIZE")
P, T = ParamSpec("P"), TypeVar("T")
OFF = "DYNSIM_MPI"  # an environment variable: with the value 0 every process is alone, whoever started it
LEFT, DONE, TOLD, ASKED = -1, -2, -3, -4  # meetings that are no sum, whose number is a checksum from 0 on


class Ranks:
    """The processes of one program: `rank` of `size`, and the `threads` that each of them uses.

    Parameters
    ----------
    comm : mpi4py.MPI.Comm, optional
        What they speak through; default none, a process alone.
    threads : int, optional
        Threads of this rank; default None: alone as many as Numba takes, otherwise its share of the machine, which the
        ranks settle when they first are `together`.

    Examples
    --------
    >>> alone = Ranks()
    >>> alone.rank, alone.size, alone.part(10)
    (0, 1, (0, 10))
    """

    def __init__(self, comm=None, threads=None):
        self.comm, self.threads = comm, threads
        self.rank, self.size = (0, 1) if comm is None else (comm.rank, comm.size)
        self.depth = 0  # blocks of `together` around what runs
        self.error = None  # by which this rank left
        self.over = False  # whether all know that one has left
        self.busy = False  # whether a meeting has begun and not ended

    @property
    def first(self):
        """Whether this is rank 0, which writes files and speaks.

        >>> Ranks().first
        True
        """
        return self.rank == 0

    def part(self, n, multiple=1, rank=None):
        """Return the range (begin, end) of n items that belongs to a rank, by default to this one.

        Ranges of all ranks follow one another and begin at multiples of `multiple`, or at n where they are empty.

        >>> Ranks().part(7)
        (0, 7)
        """
        rank = self.rank if rank is None else rank
        groups = -(-n // multiple)
        return tuple(min(n, multiple * (groups * place // self.size)) for place in (rank, rank + 1))

    def gather(self, pieces, sizes, state, multiple=1):
        """Return arrays (n, s) on all ranks, of which each rank gives its part of the rows.

        Parameters
        ----------
        pieces : list of numpy.ndarray
            One for each of the sizes, with the rows `part(n, multiple)`, all with the same number of columns.
        sizes : list of int
            The numbers n.
        state : iterable of numpy.ndarray
            What the pieces were computed from; ranks that hold other numbers are refused (RuntimeError).

        Examples
        --------
        >>> import numpy as np
        >>> Ranks().gather([np.ones((3, 1))], [3], [])[0].shape
        (3, 1)
        """
        if self.size == 1:
            return pieces
        import numpy as np

        columns = pieces[0].shape[1]
        own = np.concatenate([piece.reshape(-1) for piece in pieces])
        parts = [[self.part(n, multiple, rank) for n in sizes] for rank in range(self.size)]
        counts = [columns * sum(end - begin for begin, end in part) for part in parts]
        starts = np.concatenate([[0], np.cumsum(counts)[:-1]])
        every = np.empty(sum(counts))
        self._meet(_checksum(state))
        self.comm.Allgatherv(own, [every, (counts, starts.tolist())])
        self.busy = False
        whole = [np.empty((n, columns)) for n in sizes]
        place = 0
        for part in parts:
            for array, (begin, end) in zip(whole, part, strict=True):
                after = place + columns * (end - begin)
                array[begin:end] = every[place:after].reshape(-1, columns)
                place = after
        return whole

    def told(self, make):
        """Return what `make()` gives on rank 0, on all ranks; it must be possible to pickle it.

        What it raises there ends the block of `together` on all.

        >>> Ranks().told(lambda: "five")
        'five'
        """
        made = make() if self.first else None
        if self.size > 1:
            self._meet(TOLD)
            made = self.comm.bcast(made, root=0)
            self.busy = False
        return made

    def asked(self, count):
        """Return the whole number that `count()` gives on rank 0, on all ranks; as `told`, and quicker.

        >>> Ranks().asked(lambda: 5)
        5
        """
        number = int(count()) if self.first else 0
        if self.size > 1:
            number = self._meet(ASKED, number)
            self.busy = False
        return number

    @contextmanager
    def together(self):
        """A block that all ranks run; an exception that ends it on one ends it on all, at their next meeting.

        >>> with Ranks().together():
        ...     pass
        """
        if self.size == 1:
            yield
            return
        if self.threads is None:
            self.threads = _threads(self.comm)
            _use_threads(self.threads)
        if not self.depth:
            self.over = False
        self.depth += 1
        try:
            yield
            if self.depth == 1:
                self._meet(DONE)
                self.busy = False
        except BaseException as error:
            self._leave(error)
            raise
        finally:
            self.depth -= 1

    def _meet(self, code, number=0):
        """Exchange codes, and return the number of rank 0; what follows the meeting ends with `busy` set to False."""
        import numpy as np

        self.busy = True
        every = np.empty((self.size, 2), np.int64)
        self.comm.Allgather(np.array([code, number], np.int64), every)
        codes = every[:, 0]
        left = np.flatnonzero(codes == LEFT)
        if len(left):
            error = self.comm.bcast(_portable(self.error), root=int(left[0]))
            self.busy, self.over = False, True
            raise error
        if (codes != codes[0]).any():
            self.busy, self.over = False, True
            other = int(np.flatnonzero(codes != codes[0])[0])
            from dynsim._check import refusal

            raise refusal(
                "mpiexec", f"ranks 0 and {other} that do not compute the same", "one program on machines of one kind",
                f"set {OFF}=0 where every process is to run by itself", error=RuntimeError,
            )  # fmt: skip
        self.over = False
        return int(every[0, 1])

    def _leave(self, error):
        """Tell the others of an exception; where they cannot hear, because it broke a meeting, end all processes."""
        if self.over:
            return
        if not self.busy:
            self.error = error
            with suppress(BaseException):  # that of the first rank that has left; ours is on its way
                self._meet(LEFT)
            self.error = None
        elif self.depth == 1:  # what is open has been closed
            code = error.code if isinstance(error, SystemExit) else 130 if isinstance(error, KeyboardInterrupt) else 1
            self.abort(code if isinstance(code, int) else 1)

    def abort(self, code):
        """End all processes at once with an exit code."""
        sys.stderr.flush()
        if self.size > 1:
            self.comm.Abort(code)
        raise SystemExit(code)


ALONE = Ranks()


def started_as():
    """Return the rank and the number of processes that a launcher has told this one: (0, 1) where there is none.

    The number is None where a launcher tells the rank only.

    >>> rank, size = started_as()
    """
    if os.environ.get(OFF) == "0":
        return 0, 1
    rank, size = (next((os.environ[name] for name in names if name in os.environ), None) for names in (RANKS, SIZES))
    if rank is None:
        return 0, 1
    return int(rank), None if size is None else int(size)


@cache
def world():
    """Return the `Ranks` that this process is one of; without a launcher, or with one process, it is alone.

    MPI is loaded only where a launcher has started more than one process. Raises ImportError where mpi4py is missing
    then, and RuntimeError where it belongs to another MPI than the launcher: every process would write the same file.

    >>> world().size
    1
    """
    _, size = started_as()
    if size == 1:
        return ALONE
    from dynsim._check import refusal

    try:
        from mpi4py import MPI
    except (ImportError, RuntimeError) as error:  # the latter where mpi4py finds no library of MPI
        raise refusal(
            "mpiexec", f"{size or 'several'} processes, but no MPI in Python ({error})", "mpi4py and its library",
            f"pip install 'dynsim[mpi]', or set {OFF}=0 where every process is to run by itself", error=ImportError,
        ) from None  # fmt: skip
    comm = MPI.COMM_WORLD
    if size is not None and comm.size != size:
        raise refusal(
            "mpiexec", f"{size} processes, of which mpi4py sees {comm.size}", "a launcher and an mpi4py of one MPI",
            "pip install --force-reinstall --no-binary mpi4py mpi4py", error=RuntimeError,
        )  # fmt: skip
    if comm.size == 1:
        return ALONE
    ranks = Ranks(comm)
    sys.excepthook = _ending_all(ranks, sys.excepthook)
    if not ranks.first and threading.current_thread() is threading.main_thread():
        for number in (signal.SIGINT, signal.SIGTERM):  # rank 0 hears them, closes its files and tells the others
            signal.signal(number, signal.SIG_IGN)
    return ranks


def by_all_ranks(function: Callable[P, T]) -> Callable[P, T]:
    """Return a function that is called by all ranks, each with the same arguments, as a block of `Ranks.together`.

    >>> by_all_ranks(abs)(-1)
    1
    """

    @wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> T:
        with world().together():
            return function(*args, **kwargs)

    return call


def _threads(comm):
    """Threads of this rank: the cores that the ranks of one machine may use, divided among them."""
    from mpi4py import MPI

    machine = comm.Split_type(MPI.COMM_TYPE_SHARED)
    given = os.environ.get("NUMBA_NUM_THREADS")
    if given is not None:
        return int(given)
    own = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else set(range(os.cpu_count() or 1))
    cores = set().union(*machine.allgather(own))
    return max(1, min(len(own), len(cores) // machine.size))


def _use_threads(count):
    """Tell Numba, which may be loaded already; nothing else of ours runs in parallel for long."""
    numba = sys.modules.get("numba")
    if numba is None:
        os.environ["NUMBA_NUM_THREADS"] = str(count)
    else:
        numba.set_num_threads(min(count, numba.config.NUMBA_NUM_THREADS))


def _ending_all(ranks, before):
    """What Python calls at the end of a program by an exception: unless all ranks have the same, all are ended."""

    def hook(kind, error, trace):
        if ranks.first or not ranks.over:
            before(kind, error, trace)
        if not ranks.over:
            ranks.abort(1)

    return hook


def _checksum(arrays):
    """A number, at least 0, of arrays of 8-byte numbers: the sum of their bits, as fast as memory is read."""
    import numpy as np

    with np.errstate(over="ignore"):
        total = sum((np.ascontiguousarray(array).view(np.uint64).sum() for array in arrays), np.uint64(0))
    return int(total) % 2**63


def _portable(error):
    """An exception that can be sent: itself, or one that says the same."""
    if error is None:
        return None
    try:
        return pickle.loads(pickle.dumps(error))
    except Exception:  # pickling runs code of the exception's class
        said = "".join(traceback.format_exception_only(error)).strip()
        return RuntimeError(said)
