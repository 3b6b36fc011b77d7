"""The loop of a small system: as Python where a run is shorter than a compilation, else compiled, with the same bits.

To compile the loop takes some twenty seconds, once on a machine; a run of a pair of neurons takes half a second in
Python. Both do the same operations in the same order, so results do not depend on which of them ran.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache

import numba
import numpy as np
from numba import njit
from numba.extending import overload

from dynsim.kernels import Kernel, in_python, is_compiled, row_specialisation

from ._by_arrays import by_arrays
from ._equations import ACTIVATIONS, right_hand_side
from ._received_signals import receive_directly
from ._stepping import ACCEPTED, ENOUGH, LAST, NOW, PENDING, REFUSED, as_it_is, machine

PATIENCE = 10.0  # seconds that a process spends in Python on kernels of the same expressions before it compiles
TELLING = 0.5  # seconds after which the speed of a run is known
BUILT_IN = row_specialisation(Kernel())[0]  # the expressions of the built-in kernels
_spent = {}  # seconds so far, by expressions
_at_once = ContextVar("at_once", default=False)


@contextmanager
def compiled_at_once() -> Iterator[None]:
    """Within it, in this thread, small systems never run as Python: for measurements, or where a run may not pause.

    A run of a small system begins in Python where the compiled loop is not in the cache yet, since compilation takes
    longer than short runs do. Results are the same.

    Examples
    --------
    >>> from dynsim.engine import compiled_at_once, solve
    >>> from dynsim.engine.presets import preset
    >>> with compiled_at_once():
    ...     solve(preset("pair")[0], (0.0, 1.0)).status
    0
    """
    token = _at_once.set(True)
    try:
        yield
    finally:
        _at_once.reset(token)


class SmallLoop:
    """Called as a loop of `machine`, for the expressions of kernels (`pair_arrays`).

    `look`, where Python has something to do before every evaluation, is a function (t) -> code, and `scheme` is as for
    `machine`. Only the evaluations are compiled where there is one of them.
    """

    def __init__(self, expressions, look=None, scheme=None):
        self.expressions, self.aside = expressions, 0.0
        self.look = None if look is None else self._timed(look)
        if look is None:
            self.compiled = self.kept = compiled_machine(expressions)
        else:
            self.kept = compiled_equations(expressions)
            self.compiled = machine(asking(self.look, self.kept), as_it_is, scheme)
        # NumPy's own functions, which expressions may call, have other last bits, and so have vectors of Intel's.
        same = expressions == BUILT_IN and not getattr(numba.config, "USING_SVML", False)
        first = same and not _at_once.get() and not numba.config.DISABLE_JIT
        self.python = _in_python(expressions, self.look, scheme) if first else None
        self.seconds, self.began = 0.0, None

    def __call__(self, arguments):
        """Go on; returns why the loop stopped."""
        if self.python is None or self._is_worth_compiling(arguments):
            self.python = None
            return self.compiled(arguments)
        *others, steps, tries = arguments
        if steps == 0:
            return self._patiently(arguments)
        counts = arguments[1]
        while True:
            finished, tried = _finished(counts), counts[ACCEPTED] + counts[REFUSED]
            code = self._patiently((*others, 1, tries))
            finished, tried = _finished(counts) - finished, counts[ACCEPTED] + counts[REFUSED] - tried
            steps, tries = steps - finished, tries - tried
            if code != ENOUGH or not finished or steps == 0:
                return code
            if self._is_worth_compiling(arguments):
                return self((*others, steps, tries))

    def _timed(self, look):
        """`look`, whose seconds are put aside: no compilation makes a user's function faster."""

        def timed(t):
            began = time.perf_counter()
            try:
                return look(t)
            finally:
                self.aside += time.perf_counter() - began

        return timed

    def _patiently(self, arguments):
        began = time.perf_counter() - self.aside
        try:
            return self.python(arguments)
        finally:
            seconds = time.perf_counter() - self.aside - began
            self.seconds += seconds
            _spent[self.expressions] = _spent.get(self.expressions, 0.0) + seconds

    def _is_worth_compiling(self, arguments):
        """Whether what is compiled is there already, or the run is known to be long."""
        now, last = arguments[0][NOW], arguments[0][LAST]
        if self.began is None:
            self.began = now
            return self._is_compiled(*arguments)
        spent = _spent.get(self.expressions, 0.0)
        if self.seconds > TELLING:
            spent += self.seconds * (last - now) / max(now - self.began, np.spacing(abs(now)))
        return spent > PATIENCE

    def _is_compiled(self, *arguments):
        if self.look is None:
            return is_compiled(self.kept, arguments)
        clock, (q, f, R, E) = arguments[0], arguments[5]
        return is_compiled(self.kept, clock[NOW], q, *arguments[4], R, E, f)


def _finished(counts):
    return int(counts[ACCEPTED] - counts[PENDING])


def asking(look, evaluate):
    """An evaluation of the right-hand side before which Python looks at the time, and may give a code other than 0."""

    def evaluate_after_looking(t, *arguments):
        return look(t) or evaluate(t, *arguments)

    return evaluate_after_looking


def _in_python(expressions, look, scheme):
    if look is None:
        return python_machine(expressions)
    evaluate = right_hand_side(receive_directly(expressions), as_it_is)
    return in_python(machine(asking(look, evaluate), as_it_is, scheme), by_arrays(expressions))


@cache
def python_machine(expressions):
    """The whole loop for expressions of kernels, one a line, in Python."""
    evaluate = right_hand_side(receive_directly(expressions), as_it_is)
    return in_python(machine(evaluate, as_it_is), by_arrays(expressions))


# Numba's cache on the disk knows a function by its file and by what it closes over: a text is known again, a compiled
# function is not. So these two close over texts: the expressions of kernels, for which `_evaluation` gives the compiled
# parts, and the table of activations, so that a longer one is compiled anew.


@cache
def compiled_machine(expressions, activations=str(ACTIVATIONS)):
    """The whole loop, compiled for the expressions of kernels, one a line (`dynsim.kernels.row_specialisation`)."""

    @njit(cache=True, nogil=True)
    def loop(arguments):
        return run_machine(expressions, activations, arguments)

    return loop


@cache
def compiled_equations(expressions, activations=str(ACTIVATIONS)):
    """The evaluation of the right-hand side, compiled for the expressions of kernels."""

    @njit(cache=True, nogil=True)
    def equations(t, q, pairs, operators, given, memory, R, E, f):
        return run_equations(expressions, activations, (t, q, pairs, operators, given, memory, R, E, f))

    return equations


def run_machine(expressions, activations, arguments):
    """The loop for kernels, called from compiled code with constant texts."""
    return machine(_evaluation(expressions), as_it_is)(arguments)


def run_equations(expressions, activations, arguments):
    """The evaluation for kernels, called from compiled code with constant texts."""
    return _evaluation(expressions)(*arguments)


@overload(run_machine, prefer_literal=True, jit_options={"error_model": "numpy", "no_cfunc_wrapper": True})
def _run_machine(expressions, activations, arguments):
    within = njit(nogil=True, error_model="numpy", inline="always")
    loop = within(machine(_evaluation(expressions.literal_value), within))
    return lambda expressions, activations, arguments: loop(arguments)


@overload(run_equations, prefer_literal=True, jit_options={"error_model": "numpy", "no_cfunc_wrapper": True})
def _run_equations(expressions, activations, arguments):
    evaluate = _evaluation(expressions.literal_value)
    return lambda expressions, activations, arguments: evaluate(*arguments)


@cache
def _evaluation(expressions):
    # Called from compiled code only: without the functions by which Python and C would call it.
    build = njit(nogil=True, error_model="numpy", no_cpython_wrapper=True, no_cfunc_wrapper=True)
    return right_hand_side(receive_directly(expressions), build)
