"""The public function that integrates a system: it checks the arguments and begins the run."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from dynsim._check import as_array, as_callable, as_choice, as_count, as_flag, as_instance, as_number, describe, refusal
from dynsim._ranks import by_all_ranks

from ._events import Events
from ._failure import Misbehaved
from ._integration import Integration
from ._noise import as_seed
from ._recorder import EveryStep, LastOnly, Times, time_slack
from ._resumed_state import expect_state
from ._solution import Solution
from ._step_size import SHORTEST
from ._system import System
from .integrators import METHODS, Method, Tableau


@dataclass(eq=False)
class Options:
    """The checked arguments of `solve`."""

    t0: float
    t1: float
    tableau: Tableau
    dt: float | None
    rtol: float
    atol: float
    events: Events
    dense_output: bool
    history: object
    callback: object
    max_steps: int | None
    max_step: float | None
    first_step: float | None
    record: object
    sink: object
    keep: bool
    checkpoint: object
    resume: dict | None
    seed: int


@by_all_ranks
def solve(
    system: System,
    span: tuple[float, float],
    *,
    method: str | Tableau = "dopri5",
    dt: float | None = None,
    rtol: float = 1e-6,
    atol: float = 1e-9,
    t_eval: npt.ArrayLike | None = None,
    events: Callable | Sequence[Callable] | None = None,
    dense_output: bool = False,
    history: Callable | Solution | None = None,
    callback: Callable | None = None,
    max_steps: int | None = None,
    max_step: float | None = None,
    first_step: float | None = None,
    record: EveryStep | Times | LastOnly | None = None,
    sink: Callable | None = None,
    keep: bool | None = None,
    checkpoint: Callable | None = None,
    resume: dict | None = None,
    backend: str | None = None,
    seed: int = 0,
) -> Solution:
    """Integrate equations (1') to (3) from span[0] to span[1].

    With a delay eps the steps land on every t0 + k eps, where signals may jump, and are never longer than eps; the
    delayed places and signals are interpolated at the method's own order. At delay 0 the received signals are
    solved for in every evaluation.

    Steps also land on every known jump and kink of a drive, a clamp or a history (the samples of a sampled one), and on
    their echoes one delay later, two, ...: as many as the method's order feels, all of them if the equation is neutral
    (a != 0). What is given by a function cannot be looked into: it may be stepped over, unless max_step is given.

    Under `mpiexec` every rank calls it with the same arguments, sums a part of the targets of all pair sums, and
    returns the same Solution, with the bits that one process gives.

    Parameters
    ----------
    system : System
    span : (float, float)
        t0 < t1.
    method : str or Tableau
        dopri5 (default), tsit5: order 5, adaptive. bs32: order 3, adaptive, for loose tolerances. rkc2: order 2,
        adaptive, for stiff motion along gradients. rk4, heun, euler: orders 4, 2, 1 with a fixed step. verlet: order 2,
        fixed step, for neurons with mass. For a temperature above 0, with a fixed step: euler_maruyama and sra1, of
        strong orders 1 and 1.5, and baoab for neurons with mass.
    dt : float
        The step of a method of fixed step, counted from the last t0 + k eps. Steps are cut to land where they must,
        and the next one ends where the whole one would have ended.
    rtol, atol : float
        An adaptive method keeps the root mean square of error / (atol + rtol |q|) per step below 1, and with a delay
        that of the interpolation error of E.
    t_eval : array_like, (T,), optional
        Times to record at, increasing, within the span; short for record=Times(t_eval).
    events : callable or list of callables, optional
        event(t, q) -> float, with the optional attributes `terminal` and `direction`, as in SciPy's solve_ivp. An
        event is seen where its sign differs between two ends of a step, and found there to rounding. One zero is one
        event: also at the end of a step, at the start, and where the function stays at 0. A run that goes on from one
        does not find it again, and counts a `terminal` number anew.
    dense_output : bool
        Keep every step's polynomial as Solution.sol; its memory grows with the run.
    history : callable or Solution, optional
        Before t0: a function t -> q or (q, E), or an earlier Solution with dense output. Default: places as at t0,
        signals at rest, E = act(0) + B Q, clamped groups as at t0.
    callback : callable, optional
        callback(t, q) after every step; a true value stops the run (status 2).
    max_steps : int, optional
        Most steps, taken and refused, after which the run ends with status -1.
    max_step : float, optional
        Longest step of an adaptive method. Give one below the width of what a function of time has in store: its short
        pulses would be stepped over.
    first_step : float, optional
        Length of an adaptive method's first step; default chosen by the sizes of q, q' and its change.
    record : EveryStep, Times or LastOnly, optional
        What to record; default EveryStep().
    sink : callable, optional
        sink(t, q, R, E) is given every frame as it comes; for neurons with mass sink(t, q, R, E, velocity), velocities
        shaped as q. The frames are then not kept in memory and the Solution holds the last one only, unless keep=True.
    keep : bool, optional
        Whether frames are kept in memory; default yes without a sink, no with one.
    checkpoint : callable, optional
        checkpoint(t, state, bound) after every step, where state() returns all that the rest of the run depends on, and
        `bound` says whether the next step is shorter because the span ends: states up to the first such one, and
        including it, are also those of a longer run; state()["free"] says whether this one is.
    resume : dict, optional
        Such a state, or Solution.state: the run goes on from it, bit for bit as if it had not been interrupted (with
        the same system, method, history, events and options). span[0] is then ignored. After a terminal event within a
        step this is the state before that step, which is made again, whole.
    backend : {"auto", "numba", "cupy"}, optional
        What computes the pair sums; default the system's own.
    seed : int
        Of the noise at a temperature above 0, below 2^64. A run that goes on has that of its state.

    Returns
    -------
    Solution
        Always, with what was reached and a status; see there. A drive, clamp, history or event that gives what cannot
        be used (not finite, another shape) at some time ends the run before it with status -1.

    Raises
    ------
    ValueError, TypeError
        If an argument is not what it should be, as far as it shows at the start; nothing is integrated then.
    Exception
        What a function of yours raises is not caught, as in SciPy; a note says how far the run was. Frames before it
        are with the `sink`, or in the file of `dynsim.solve(path=...)`.

    References
    ----------
    Bellen & Zennaro, Numerical Methods for Delay Differential Equations, Oxford 2003; Hairer, Norsett & Wanner,
    Solving Ordinary Differential Equations I, Springer 1993.

    Examples
    --------
    >>> import numpy as np
    >>> from dynsim.engine import Operators, System, solve
    >>> system = System(np.array([[1.0], [2.0]]), operators=Operators(B=1.0, D=-0.1), delay=0.5)
    >>> solution = solve(system, (0.0, 2.0), t_eval=[0.0, 1.0, 2.0])
    >>> solution.q.shape, solution.success
    ((3, 2, 1), True)
    """
    as_instance(system, System, "system")
    if backend is not None:
        system = system.on(backend)
    t0, t1 = expect_span(span)
    tableau = as_method(method)
    _expect_fit(tableau, system)
    if resume is not None:
        t0 = expect_state(resume, system, tableau)
        if not t0 < t1:
            raise refusal("resume", f"a state at t = {t0!r}", f"one before the span's end, {t1!r}")
    options = Options(
        t0=t0,
        t1=t1,
        tableau=tableau,
        dt=_dt(dt, tableau, t0, t1),
        rtol=as_number(rtol, "rtol", minimum=0),
        atol=as_number(atol, "atol", minimum=0),
        events=Events(events, system),
        dense_output=as_flag(dense_output, "dense_output"),
        history=history,
        callback=as_callable(callback, "callback"),
        max_steps=None if max_steps is None else as_count(max_steps, "max_steps"),
        max_step=_max_step(max_step, tableau, t0, t1),
        first_step=_step(first_step, "first_step", tableau),
        record=_record(record, t_eval, t0, t1),
        sink=as_callable(sink, "sink"),
        keep=sink is None if keep is None else as_flag(keep, "keep"),
        checkpoint=as_callable(checkpoint, "checkpoint"),
        resume=resume,
        seed=as_seed(seed),
    )
    if options.rtol == 0 and options.atol == 0:
        raise refusal("rtol, atol", "0 and 0", "at least one above 0")
    if tableau.adaptive and options.rtol and options.rtol < 1e-13:
        raise refusal("rtol", f"{options.rtol:g}", "at least 1e-13, the rounding of a step, or 0")
    if history is not None and not system.looks_back:
        raise refusal("history", "one for a system of delay 0", "None, as such a system does not look back")
    try:
        integration = Integration(system, options)
    except Misbehaved as trouble:
        raise trouble.refusal from None
    return integration.go()


def expect_span(span: tuple[float, float]) -> tuple[float, float]:
    """Return the span as two floats, t0 < t1; raises ValueError or TypeError.

    Examples
    --------
    >>> expect_span((0, 2))
    (0.0, 2.0)
    """
    array = as_array(span, "span", (2,), np.float64)
    t0, t1 = float(array[0]), float(array[1])
    if not t0 < t1:
        raise refusal("span", f"({t0!r}, {t1!r})", "t0 < t1")
    return t0, t1


def as_method(method):
    """Return a method by its name, or itself; raises ValueError."""
    return method if isinstance(method, Method) else METHODS[as_choice(method, METHODS, "method")]


def _expect_fit(method, system):
    """Refuse a method that cannot move the system, or that would leave out its noise."""
    if system._inertia.warm and not method.noisy:
        noisy = ", ".join(name for name, known in METHODS.items() if known.noisy)
        raise refusal(
            "method", f"{method.name} at a temperature above 0", f"one with noise, {noisy}", "or temperature=0"
        )
    method.expect(system)


def _dt(dt, tableau, t0, t1):
    if tableau.adaptive:
        if dt is not None:
            fixed = ", ".join(
                name for name, known in METHODS.items() if isinstance(known, Tableau) and not known.adaptive
            )
            raise refusal(
                "dt",
                f"{dt!r} with {tableau.name}, which chooses its own steps",
                f"rtol and atol instead, or a method of fixed step, such as {fixed}",
            )
        return None
    if dt is None:
        raise refusal("dt", "None", f"a step above 0, which {tableau.name} needs")
    return _resolved(as_number(dt, "dt", above=0), "dt", t0, t1)


def _max_step(value, tableau, t0, t1):
    if isinstance(value, float) and value == math.inf:
        return None
    value = _step(value, "max_step", tableau)
    return None if value is None else _resolved(value, "max_step", t0, t1, SHORTEST)


def _resolved(value, name, t0, t1, spacings=1):
    """A length of steps, refused where numbers lie so far apart that there are none so short."""
    far = max(abs(t0), abs(t1))
    least = spacings * np.spacing(far)
    if value < least:
        expected = f"at least {least:.3g}, the shortest step that numbers near t = {far:g} resolve"
        raise refusal(name, f"{value:g}", expected)
    return value


def _step(value, name, tableau):
    if value is None:
        return None
    if not tableau.adaptive:
        raise refusal(name, f"{value!r} with {tableau.name}, whose steps are dt", "None, or an adaptive method")
    return as_number(value, name, above=0)


def _record(record, t_eval, t0, t1):
    if t_eval is not None and record is not None:
        raise refusal("t_eval, record", "both", "one of them")
    if t_eval is not None:
        record = Times(as_array(t_eval, "t_eval", ("T",), np.float64))
    if record is None:
        return EveryStep()
    if not isinstance(record, EveryStep | Times | LastOnly):
        raise refusal("record", describe(record), "EveryStep, Times or LastOnly", error=TypeError)
    if isinstance(record, Times):
        slack, ends = time_slack(t0, t1), (record.times[0], record.times[-1]) if len(record.times) else ()
        for t in ends:  # the others lie between
            if not t0 - slack <= t <= t1 + slack:
                raise refusal("t_eval", repr(float(t)), f"times within the span, {t0!r} to {t1!r}")
    return record
