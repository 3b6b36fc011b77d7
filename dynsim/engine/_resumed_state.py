"""What a run goes on from, checked before anything is made of it: a file may say anything."""

from __future__ import annotations

import numpy as np

from dynsim._check import as_array, as_count, as_flag, as_number, refusal

from ._breaking_points import Cuts, merged_within
from ._delay_sums import expect_sums
from ._interpolation import lobatto
from ._noise import as_seed
from ._recorder import time_slack

KEYS = ("method", "t", "q", "velocity", "R", "E", "control", "recorded", "start", "memory")
NOISE_KEYS = ("seed", "drawn", "stages")  # not in those of earlier versions
LATER_KEYS = ("events", "breaks", "free", "taken")  # not in states of version 0.1.0


def expect_state(state, system, tableau):
    """Return the time of a state of `checkpoint` or Solution.state, from which a run of `system` can go on.

    Raises ValueError or TypeError where a part is missing, of another shape, or none that a run can have had.

    Examples
    --------
    >>> from dynsim.engine import METHODS, System, solve
    >>> system = System(np.ones((1, 1)), delay=0.5)
    >>> expect_state(solve(system, (0.0, 2.0)).state, system, METHODS["dopri5"])
    2.0
    """
    if not isinstance(state, dict) or not set(KEYS) <= set(state):
        raise refusal("resume", type(state).__name__, "a state of `checkpoint` or Solution.state", error=TypeError)
    if not set(LATER_KEYS) <= set(state):
        raise refusal("resume", "a state without breaking points, as of version 0.1.0", "one that this version made")
    if state["method"] != tableau.name:
        raise refusal("resume", f"a state of method {state['method']}", tableau.name)
    moved, emitted = system._state_shape, system._emitted_shape
    received = (system.neurons, system.signals)
    for name, shape in (("q", moved), ("velocity", moved), ("R", received), ("E", emitted)):
        as_array(state[name], f"resume {name}", shape, np.float64)
    if (state["memory"] is None) == system.looks_back:
        raise refusal("resume", "a state of another delay", f"one of delay {system._delays}")
    if state["start"] is not None:
        as_array(state["start"], "resume start", received, np.float64)
    t = as_number(state["t"], "resume t")
    for name in ("recorded", "taken"):
        as_count(state[name], f"resume {name}", minimum=0)
    as_flag(state["free"], "resume free")
    _expect_drawn(state, system, tableau)
    _expect_control(state["control"], tableau, t)
    _expect_events(state["events"])
    if system._delays.several:
        start, seen = expect_sums(state["breaks"], system._delays, system.strengths.shape[-1], t)
    else:
        one = system.delay if system.speed is None else 0.0
        start, seen = _expect_breaks(state["breaks"], one, t)
    if system.looks_back:
        nodes = len(lobatto(tableau.nodes).x)
        _expect_memory(state["memory"], (moved, emitted), nodes, start, t if seen is None else seen, t)
    return t


def _expect_drawn(state, system, method):
    """What noise and the choice of stages need to go on."""
    choice = method.stage_choice()
    if not set(NOISE_KEYS) <= set(state):
        if method.noisy or choice is not None:
            raise refusal("resume", f"a state without {', '.join(NOISE_KEYS)}", "one that this version made")
        return
    as_seed(state["seed"], "resume seed")
    as_count(state["drawn"], "resume drawn", minimum=0)
    if choice is not None:
        _parts(state["stages"], "stages", "radius", "since", "direction")
        choice.expect(state["stages"], system._state_shape)


def _parts(value, name, *keys):
    """The parts of a table that has them all."""
    if not isinstance(value, dict) or not set(keys) <= set(value):
        raise refusal(f"resume {name}", type(value).__name__, f"a table with {', '.join(keys)}", error=TypeError)
    return [value[key] for key in keys]


def _expect_control(control, tableau, t):
    if tableau.adaptive:
        h, last_error, rejected = _parts(control, "control", "h", "last_error", "rejected")
        as_number(h, "resume control h", above=0)
        as_number(last_error, "resume control last_error", above=0)
        as_flag(rejected, "resume control rejected")
        return
    dt, anchor, count = _parts(control, "control", "dt", "anchor", "count")
    dt, anchor = as_number(dt, "resume control dt", above=0), as_number(anchor, "resume control anchor")
    count = as_number(as_count(count, "resume control count", minimum=0), "resume control count")
    begin, end = anchor + count * dt, anchor + (count + 1) * dt
    if not begin - 1e-6 * dt - time_slack(t, anchor) <= t < end:
        raise refusal("resume control", f"a step from {begin!r} to {end!r}", f"one that t = {t!r} lies in")


def _expect_events(events):
    lists = _parts(events, "events", "sides", "counts", "skip")
    if not all(isinstance(part, list) and len(part) == len(lists[0]) for part in lists):
        raise refusal("resume events", "sides, counts and skip of unequal lengths", "one of each for every function")
    for side, count, skip in zip(*lists, strict=True):
        if as_count(side, "resume events sides", minimum=-1) > 2:
            raise refusal("resume events sides", side, "-1, 0, 1 or 2")
        as_count(count, "resume events counts", minimum=0)
        as_flag(skip, "resume events skip")


def _expect_breaks(breaks, delay, t):
    """Where the run started, and from when on the current interval sees it."""
    start = as_number(_parts(breaks, "breaks", "start")[0], "resume breaks start")
    if not start <= t:
        raise refusal("resume t", repr(t), f"a time from the start of the run on, {start!r}")
    if not delay:
        as_number(_parts(breaks, "breaks", "since")[0], "resume breaks since")
        return start, None
    place, *arrays = _parts(breaks, "breaks", "place", *Cuts._fields)
    count = np.size(breaks["times"])
    shapes = {name: (count, 2) if name == "pasts" else (count,) for name in Cuts._fields}
    block = Cuts(
        *(as_array(a, f"resume breaks {k}", shapes[k], np.float64) for k, a in zip(shapes, arrays, strict=True))
    )
    place, number = as_count(place, "resume breaks place", minimum=0), block.numbers[0] if count else 0.0
    slack = 2 * merged_within(start, number, delay)
    whole = all((a == np.rint(a)).all() and (abs(a) < 2**53).all() for a in (block.numbers, block.ages, block.levels))
    ends = np.append(block.times[1:], start + (number + 1) * delay)
    sound = (
        place < count
        and whole
        and number >= 0
        and (block.numbers == number).all()
        and abs(block.times[0] - (start + number * delay)) <= slack
        and (np.diff(block.times) > 0).all()
        and block.times[place] <= t < ends[place]
        and (abs(block.sources + block.ages * delay - block.times) <= slack).all()
        and (block.pasts[:, 0] <= block.pasts[:, 1]).all()
        and (abs(block.pasts + delay - block.times[:, None]) < 0.5 * delay).all()
    )
    if not sound:
        raise refusal("resume breaks", "breaking points that no run has", f"those of the delay around t = {t!r}")
    return start, max(start, float(block.pasts[place, 1]))


def _expect_memory(memory, shapes, nodes, start, seen, t):
    steps, q, E = _parts(memory, "memory", "steps", "q", "E")
    steps = as_array(steps, "resume memory steps", ("K", 2), np.float64)
    for name, values, shape in zip("qE", (q, E), shapes, strict=True):
        as_array(values, f"resume memory {name}", (len(steps), nodes, *shape), np.float64)
    begins, lengths = steps.T
    ends = np.append(begins[1:], t)[: len(steps)]
    slack = time_slack(start, t)
    if not (
        (lengths > 0).all()
        and (abs(begins + lengths - ends) <= slack).all()
        and (begins[0] <= seen + slack if len(steps) else t == start)
    ):
        raise refusal("resume memory steps", "steps with gaps", f"all from t = {seen!r} to {t!r}, one after another")
