"""How the package's loops are compiled, where they are kept between runs, and on how many threads they run."""

from __future__ import annotations

import atexit
import hashlib
import os
import shutil
import sys
import tempfile
from contextlib import suppress
from functools import cache
from pathlib import Path

# An idle thread of OpenMP spins for long unless told otherwise, and takes the core from BLAS, whose products alternate
# with the kernels' loops in training: on two cores a batch of LeNet-5 then took ten times as long. To sleep at once
# costs 50 microseconds a loop, so it spins a little. It must be said before the first loop.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
os.environ.setdefault("GOMP_SPINCOUNT", "3000")

import numba
from llvmlite.binding import Linkage
from numba import types
from numba.core.caching import CompileResultCacheImpl
from numba.core.codegen import CPUCodeLibrary
from numba.extending import intrinsic, overload

from dynsim._check import refusal

# NaN and infinity keep their meaning, so that a singular pair is seen. Sums keep their order (see `_lanes`), or a loop
# that is compiled twice, or in two versions, would give two results; only where there is one version of a loop for sure
# (see `apart`) may its sums be taken in the order that the compiler likes.
MATH = {"contract", "arcp", "afn", "nsz"}
MATH_OF_A_SUM = MATH | {"reassoc"}
SMALL = 100_000  # elementary operations, about as long as waking a sleeping thread takes
HERE = Path(__file__).parent


class PackageLocator:
    """Says where Numba keeps the compiled functions of this package, and what makes them out of date.

    The folder is the one that Numba finds by itself: NUMBA_CACHE_DIR, beside the package, or in the user's cache. Where
    none of them can be written Numba would refuse to declare a function at all; then it is a temporary folder, and
    every run compiles anew. Numba knows a function by its own file. Ours are made from other files, too, so a function
    is out of date if any file of its folder or of this one has changed. Nothing changes for functions of others.
    """

    @staticmethod
    def from_function(function, file):
        """Return a locator for a function of this package, None for any other."""
        if HERE.parent not in Path(file).parents:
            return None
        kinds = [kind for kind in CompileResultCacheImpl._locator_classes if kind is not PackageLocator]
        found = next(filter(None, (kind.from_function(function, file) for kind in kinds)), None)
        if found is None:
            found = kinds[1](function, file)
            found.get_cache_path = _temporary_folder
        found.get_source_stamp = lambda: _digest(Path(file).parent) + _digest(HERE)
        return found


def is_compiled(function, *arguments):
    """Whether a function declared by `njit(cache=True)` is there for arguments, in memory or in the cache on the disk.

    >>> is_compiled(numba.njit(cache=True)(expect_threads))
    False
    """
    signature = tuple(numba.typeof(argument) for argument in arguments)
    if function.nopython_signatures:
        return signature in function.overloads
    stored = function._cache
    return stored._index_key(signature, function.targetctx.codegen()) in stored._cache_file._load_index()


@cache
def _temporary_folder():
    folder = tempfile.mkdtemp(prefix="dynsim-kernels-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


@cache
def _digest(folder):
    return hashlib.sha256(b"\0".join(file.read_bytes() for file in sorted(folder.glob("*.py")))).hexdigest()


CompileResultCacheImpl._locator_classes.insert(0, PackageLocator)
_found = PackageLocator.from_function(_digest.__wrapped__, __file__).get_cache_path()
TEMPORARY_CACHE = _found if _temporary_folder.cache_info().currsize else None


WIDEST = '"prefer-vector-width"="512"'


def widest_vectors():
    """Called in a compiled function: let LLVM use vectors of 512 bits in it where the processor has some.

    By itself LLVM stays at 256, at half the pairs a second. This concerns the one function, not others of the process.
    Whoever has set NUMBA_CPU_NAME or NUMBA_CPU_FEATURES is obeyed.
    """


def apart():
    """Called in a compiled function: its arrays share no memory, so LLVM writes one version of a loop, not two."""


def on_its_own():
    """Called in a compiled function: it is called where it is used, not written into each of its callers.

    A function that is used in several places is then compiled once.
    """


if not numba.config.DISABLE_JIT:

    @intrinsic
    def _on_its_own(typing_context):
        """`on_its_own`, compiled."""

        def generate(context, builder, signature, arguments):
            builder.function.attributes.add("noinline")
            return context.get_dummy_value()

        return types.void(), generate

    @intrinsic
    def _apart(typing_context):
        """`apart`, compiled."""

        def generate(context, builder, signature, arguments):
            for argument in builder.function.args:
                # An array is handed over number by number; the fifth one points to its elements.
                if argument.name.startswith("arg.") and argument.name.endswith(".4") and argument.type.is_pointer:
                    argument.add_attribute("noalias")
            return context.get_dummy_value()

        return types.void(), generate

    @intrinsic
    def _widest_vectors(typing_context):
        """`widest_vectors`, compiled."""

        def generate(context, builder, signature, arguments):
            if not (numba.config.CPU_NAME or numba.config.CPU_FEATURES):
                # llvmlite's own `add` takes the attributes that it knows only; any is written out as it is.
                set.add(builder.function.attributes, WIDEST)
            return context.get_dummy_value()

        return types.void(), generate

    # Written into their callers, whose attributes they set; in Python, called as they are, they do nothing.
    overload(on_its_own, inline="always")(lambda: lambda: _on_its_own())
    overload(apart, inline="always")(lambda: lambda: _apart())
    overload(widest_vectors, inline="always")(lambda: lambda: _widest_vectors())


def _keep_own_copies(library):
    """Let a compiled library of this package use its own copy of every function that it was linked with.

    Numba marks these copies as replaceable. In the process that compiles, they are then replaced by the functions as
    they were compiled first; in those that load the library from the cache there are only the copies, which were
    optimised once more, within their callers. The two round differently (fused products, reciprocals), so a result
    would depend on whether its loop had been found in the cache.
    """
    functions = [function for function in library._final_module.functions if not function.is_declaration]
    # One of ours is what the library was made for; within the body of a parallel loop, a library of its own that is
    # linked with the loop's later, there are only copies of ours.
    if any(function.name.startswith(OURS) and function.linkage == Linkage.external for function in functions):
        for function in functions:
            if function.linkage in REPLACEABLE:
                function.linkage = "internal"
    FINALIZE(library)


OURS = f"_ZN{len(__name__.partition('.')[0])}{__name__.partition('.')[0]}"  # how the names of compiled functions begin
REPLACEABLE = (Linkage.linkonce_odr, Linkage.weak_odr)
FINALIZE = CPUCodeLibrary._finalize_final_module
CPUCodeLibrary._finalize_final_module = _keep_own_copies
_forked = False  # whether this process is the copy of one whose threads it lacks


def _after_fork():
    """GNU OpenMP has threads of its own in the process that was copied, and none in the copy: it would end or hang."""
    global _forked
    if numba.config.DISABLE_JIT:  # loops are Python's
        return
    with suppress(ValueError):  # no threads were started yet: the copy starts its own
        _forked = _forked or (numba.threading_layer() == "omp" and sys.platform.startswith("linux"))


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


def expect_threads():
    """Refuse to start threads where they cannot be started; raises RuntimeError.

    >>> expect_threads()
    """
    if _forked:
        raise refusal(
            "parallel loops", "a process that was forked after another loop ran in parallel", "one of its own",
            "start processes by spawn, as multiprocessing.get_context('spawn') does", error=RuntimeError,
        )  # fmt: skip


def launch(loop, work, *arguments):
    """Call a parallel loop on `arguments`; `work` is a count of its elementary operations, such as pairs times axes.

    Where waking the other threads costs more than they save it runs on one. Results do not depend on this: every sum in
    the project belongs to one thread.

    Examples
    --------
    >>> launch(print, 10, "done")
    done
    """
    expect_threads()
    threads = numba.get_num_threads()
    if work >= SMALL or threads == 1:
        loop(*arguments)
        return
    numba.set_num_threads(1)
    try:
        loop(*arguments)
    finally:
        numba.set_num_threads(threads)
