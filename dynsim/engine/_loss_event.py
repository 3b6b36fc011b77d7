"""An event that ends a run where the loss of a system's teacher has fallen to a value."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from dynsim._check import as_instance, as_number, refusal

from ._failure import NoConvergence, NotFinite
from ._machine import SignalsAtOnce
from ._system import System
from .integrators import METHODS


def loss_below(system: System, x: float) -> Callable:
    """Return the event "loss < x" for `solve(events=)`, a function (t, q) -> L - x that ends the run.

    It is found where the loss falls through x, not where a run begins below it. Every evaluation computes the signals
    of the system once, as one of the right-hand side does without its forces. It can be pickled if the system can.
    Where groups act on each other in circles, it solves for signals near those of its last call: a run that goes on may
    find the event at another time, within the rounding of that solution.

    Parameters
    ----------
    system : System
        One with a teacher and no delay: with a delay the signals do not follow from places alone.
    x : float
        Above 0.

    Raises
    ------
    ValueError, TypeError
        If the system has no teacher or a delay, or x is not above 0.

    Examples
    --------
    >>> import numpy as np
    >>> from dynsim.engine import Operators, System, Teacher, solve
    >>> system = System(
    ...     np.array([[0.0], [1.0]]), operators=Operators(A=1.0), groups=[0, 1], strengths=[[0, 1], [0, 0]],
    ...     clamped={0: 1.0}, teacher=Teacher(1, [[0.5]]),
    ... )
    >>> solution = solve(system, (0.0, 100.0), events=loss_below(system, 0.01))
    >>> solution.status, round(system.teacher.value(solution.E[-1, 1:]).item(), 9)
    (1, 0.01)
    """
    as_instance(system, System, "system")
    if system.teacher is None:
        raise refusal("system", "one without a teacher", "one that has a loss", "give it a teacher")
    if system.delay:
        expected = "delay 0, at which signals follow from places alone"
        raise refusal("system", f"one with the delay {system.delay:g}", expected, "end its run by a callback")
    return LossBelow(system, as_number(x, "x", above=0))


class LossBelow:
    """The event: L - x of the places at a time."""

    terminal, direction = True, -1

    def __init__(self, system, x):
        self.system, self.x, self.R = system, x, None
        self.signals = SignalsAtOnce(system, METHODS["euler"])
        self.judged = system._members == system.teacher.group
        self.__name__ = f"loss < {x:g}"

    def __reduce__(self):
        return LossBelow, (self.system, self.x)

    def __call__(self, t, q):
        state = np.zeros(self.system._state_shape)  # without C, which teachers refuse, velocities emit nothing
        state[: self.system.copies] = self.system._places(np.asarray(q, dtype=float))
        try:
            # Where groups act on each other in a circle, the solution near the last one is that of the run.
            self.R, E = self.signals.at(t, state, within=t, start=self.R)
        except (NotFinite, NoConvergence):
            return math.nan
        return float(self.system.teacher.value(E[self.judged])) - self.x
