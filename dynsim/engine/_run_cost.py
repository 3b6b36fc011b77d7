"""What a run will cost, from a trial of a few steps."""

from __future__ import annotations

import math

import numpy as np

from dynsim._ranks import by_all_ranks, world

from ._echo_gain import echo_gain
from ._machine import is_small
from ._recorder import EveryStep, LastOnly, Times
from ._small_loop import PATIENCE, compiled_at_once
from ._solve import as_method, solve
from ._system import System
from ._zero_delay import ZeroDelaySolver

TRIAL_STEPS = 30
MOST_STEPS = 2.0**62  # more are counted as these


@by_all_ranks
def estimate(system: System, span: tuple[float, float], **options) -> dict:
    """Return steps, seconds, memory, file size and echo gain of a run that has not begun, as a dict.

    A trial of 30 steps is made and scaled to the span; where steps grow or shrink later, so do the true numbers.

    Parameters
    ----------
    system, span, **options
        As for `solve`.

    Returns
    -------
    dict
        `steps`, `frames`, `seconds`, `memory_bytes` (state, stages and delay memory), `file_bytes`, `echo_gain`; under
        `mpiexec`, where every rank calls it, `ranks`, `threads` (of each) and `gather_bytes` (received by each in a
        sum over all pairs; 0 where these are not divided), and the memory is that of each rank; and
        `status` and `message` of the trial if it failed, else 0 and "". The numbers are then those of the part before.

    Examples
    --------
    >>> from dynsim.engine.presets import preset
    >>> system, span, options = preset("pulse")
    >>> estimate(system, span, **options)["steps"]
    400
    """
    trial = dict(options)
    trial.pop("record", None)
    # The first call may compile; the second is timed.
    solve(system, span, **{**trial, "record": LastOnly(), "max_steps": 1})
    solution, failed, share = _tried(system, span, trial)
    if is_small(system) and world().asked(lambda: solution.wall_time * share > PATIENCE):
        with compiled_at_once():  # as most of such a run would be
            solve(system, span, **{**trial, "record": LastOnly(), "max_steps": 1})
            solution, failed, share = _tried(system, span, trial)
    tableau = as_method(options.get("method", "dopri5"))
    steps = max(1, round(min(float(solution.naccepted) * share, MOST_STEPS)))
    if not (tableau.adaptive or failed):
        steps = math.ceil(min((span[1] - span[0]) / float(options["dt"]) - 1e-9, MOST_STEPS))
    places = math.prod(system._state_shape)
    signals = system.neurons * system.signals
    numbers = (tableau.stages + 6) * places + 6 * signals
    if system.looks_back:
        segments = 2 * math.ceil(min(_reach(system) / (span[1] - span[0]) * steps, MOST_STEPS) + 1)
        numbers += segments * tableau.nodes * (places + math.prod(system._emitted_shape))
    view = 0 if system.dimension == 3 else 3 * math.prod(system._state_shape[:2])
    frames = _frames(options.get("record"), steps)
    return {
        "steps": steps,
        "frames": frames,
        "seconds": solution.wall_time * share,
        "memory_bytes": 8 * numbers,
        "file_bytes": 8 * frames * (places + view + 2 * signals),
        "echo_gain": echo_gain(system, together=True),
        **_shared(system, options),
        "status": solution.status if failed else 0,
        "message": solution.message if failed else "",
    }


def _tried(system, span, options):
    """The solution of a few steps, whether it failed, and how many such trials the span is long."""
    solution = solve(system, span, **{**options, "record": LastOnly(), "max_steps": TRIAL_STEPS})
    failed = solution.status < 0 and solution.naccepted + solution.nrejected < TRIAL_STEPS
    reached = float(solution.t[-1]) - span[0] if len(solution.t) else 0.0
    return solution, failed, 1.0 if failed or not reached else (span[1] - span[0]) / reached


def _shared(system, options):
    """What several ranks have in common."""
    ranks = world()
    if ranks.size == 1:
        return {}
    divided = not is_small(system) and system.speed is None and (system.looks_back or not _alone(system))
    gathered = system._coupling.gathered(system.signals) if divided else 0
    return {"ranks": ranks.size, "threads": ranks.threads, "gather_bytes": gathered}


def _reach(system):
    """How far back the memory of delays reaches, about."""
    sides = np.ptp(system._places(system.q), axis=1)
    crossing = np.linalg.norm(sides, ord=1 if system.kernel.metric == "l1" else 2, axis=-1).max()
    return system._delays.longest + (0.0 if system.speed is None else crossing / system.speed)


def _alone(system):
    """Whether every rank computes all of the sums at delay 0."""
    solver = ZeroDelaySolver(system)
    return solver.factorises or solver.layered


def _frames(record, steps):
    if isinstance(record, Times):
        return len(record.times)
    if isinstance(record, LastOnly):
        return 1
    return 1 + math.ceil(steps / (record.n if isinstance(record, EveryStep) else 1))
