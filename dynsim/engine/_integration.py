"""A run: steps in portions, and what Python looks at between and within them."""

from __future__ import annotations

import math
import time

import numpy as np

from ._breaking_points import breaking_points, longest_seen
from ._delay_memory import DelayMemory
from ._echo_gain import echo_gain
from ._failure import NoConvergence, NotFinite, advice, divergence, gain_text
from ._interpolation import DenseOutput, Step
from ._machine import Machine
from ._recorder import Recorder, Times
from ._solution import Solution
from ._step_size import AdaptiveSteps, FixedSteps, first_step
from ._stepping import ENOUGH, FULL, PAUSED

CHUNK = 256  # steps after which the loop looks for a signal from outside, Ctrl-C


class Integration:
    """A run from its first to its last step; `options` are the checked arguments of `solve`."""

    def __init__(self, system, options):
        self.system, self.options, self.tableau = system, options, options.tableau
        state = options.resume
        began = options.t0 if state is None else float(state["breaks"]["start"])
        self.breaks = breaking_points(system, began, self.tableau, options.dt, options.history)
        self.breaks.passed = [] if options.dense_output else None
        self.memory = DelayMemory(system, self.breaks, self.tableau.nodes, options.history)
        self.machine = Machine(system, self.memory, self.tableau, t=options.t0, t1=options.t1, rtol=options.rtol,
                               atol=options.atol)  # fmt: skip
        self.recorder = Recorder(options.record, system, options.sink, options.keep)
        self.steps = []  # of the dense output
        self.control = None
        self.started = False  # whether the machine holds a state

    def go(self):
        """Run to the end, whatever the end is; returns the Solution."""
        began = time.perf_counter()
        try:
            self._start()
            status, message = self._steps()
        except (NotFinite, NoConvergence) as trouble:
            status, message = self._failed(trouble, self.machine.t)
        return self._solution(status, message, time.perf_counter() - began)

    def _start(self):
        options, machine = self.options, self.machine
        if options.resume is not None:
            self._restore(options.resume)
        else:
            machine.place(machine.t, machine.q, *machine.evaluate(machine.t, machine.q))
            self.started = True
            self.control = self._controller()
        machine.control = self.control.numbers
        options.events.start(machine.t, machine.q.copy())
        if options.resume is None or isinstance(options.record, Times):
            self.recorder.at(machine.t, machine.q, machine.R, machine.E, first=True)

    def _controller(self):
        options, machine = self.options, self.machine
        if options.dt is not None:
            return FixedSteps(options.dt, machine.t)
        h, order = options.first_step, self.tableau.error_order
        if h is None:
            h = first_step(machine, machine.stop()[0] - machine.t, order, options.rtol, options.atol)
        return AdaptiveSteps(h, order, self._longest())

    def _longest(self):
        """The longest step that is allowed: the user's max_step, and what known signals need to be seen."""
        asked = self.options.max_step
        return min(math.inf if asked is None else asked, longest_seen(self.system))

    def _steps(self):
        machine, options = self.machine, self.options
        while machine.t < options.t1:
            accepted, refused, _ = machine.numbers
            left = CHUNK if options.max_steps is None else options.max_steps - accepted - refused
            if left <= 0:
                return -1, (
                    f"max_steps = {options.max_steps} steps reached at t = {machine.t:.9g}, before the end "
                    f"{options.t1:.9g}; increase max_steps, loosen rtol, or resume from this state."
                )
            outcome = self._advance(left)
            if outcome is not None:
                return outcome
        return 0, "Reached the end of the time span."

    def _advance(self, left):
        """Take steps up to the next at which Python has something to do; the outcome if the run ends there."""
        options, machine = self.options, self.machine
        pause_at = -math.inf if options.events.functions or options.dense_output else self.recorder.next_inside()
        one = options.callback is not None or options.checkpoint is not None
        code, finished = machine.advance(pause_at, 1 if one else min(CHUNK, self.recorder.until_due()), left)
        self.recorder.skip(finished - 1)
        ends = False
        if code == PAUSED:
            E_nodes = machine.E_nodes.reshape(-1, *machine.E.shape).copy() if self.memory.nodes else None
            step = Step(machine.t, machine.end, machine.q.copy(), machine.K, self.tableau.P, E_nodes)
            if options.dense_output:
                self.steps.append(step)
            at = options.events.check(step, machine.new_q.copy())
            ends = at is not None
            self.recorder.inside(step, at if ends else step.end, machine.signals)
            if ends and at < step.end:
                return self._end_inside(step, at)
            code, finished = machine.advance(math.inf, 1, 0)
        if code == FULL:
            self.memory.grow()
            machine.bind()
        elif code != ENOUGH:
            return self._failed(machine.failure(code), machine.end)
        if not finished:
            return None
        return self._ended_by_event() if ends else self._arrived()

    def _end_inside(self, step, at):
        q = step.places(at)
        values = self.machine.evaluate(at, q)
        if not np.isfinite(values[0]).all():
            raise NotFinite(values[0])
        self.machine.place(at, q, *values)
        return self._ended_by_event()

    def _ended_by_event(self):
        machine = self.machine
        self.recorder.at(machine.t, machine.q, machine.R, machine.E, final=True)
        return 1, f"A terminal event occurred at t = {machine.t:.9g}."

    def _arrived(self):
        """After a step: callback, frame and checkpoint; the outcome if the callback stops the run."""
        callback, machine, t = self.options.callback, self.machine, self.machine.t
        stopped = bool(callback is not None and callback(t, machine.q.reshape(self.system.q.shape).copy()))
        self.recorder.at(t, machine.q, machine.R, machine.E, final=stopped or t >= self.options.t1)
        if self.options.checkpoint is not None:
            self.options.checkpoint(t, self.state, self._bound())
        if stopped:
            return 2, f"Stopped by the callback at t = {t:.9g}."
        return None

    def _bound(self):
        """Whether the next step, if there is one, depends on where the span ends."""
        if self.machine.t >= self.options.t1:
            return True
        stop, cut = self.machine.stop()
        return not cut and stop == self.options.t1 and self.control.bent(self.machine.t, stop)

    def _failed(self, trouble, end):
        """Status and sentence of a run that cannot go on; `trouble` is None where steps became too small."""
        machine, gain = self.machine, self._gain()
        if isinstance(trouble, NotFinite):
            return -2, divergence(self.system, trouble, machine.numbers[0] + 1, end, machine.t, machine.q, gain)
        t = machine.end if machine.pending else machine.t
        reason = trouble or f"the step fell below what numbers near t = {t:.9g} can resolve"
        text = gain_text(self.system, gain)
        return -1, f"Failed at t = {t:.9g}: {reason}; {text}. {advice(self.system, gain)}"

    def _gain(self):
        machine = self.machine
        return echo_gain(self.system, machine.q.reshape(self.system.q.shape), R=machine.R if self.started else None)

    def state(self):
        """Everything that the rest of the run depends on, as a dict of numbers, arrays and such dicts."""
        machine = self.machine
        start = None if machine.solver is None else machine.solver.R
        return {
            "method": self.tableau.name,
            "t": machine.t,
            "q": machine.q.copy(),
            "velocity": machine.f.copy(),
            "R": machine.R.copy(),
            "E": machine.E.copy(),
            "control": self.control.state(),
            "recorded": self.recorder.steps,
            "start": None if start is None else start.copy(),
            "breaks": self.breaks.state(),
            "memory": self.memory.state(),
        }

    def _restore(self, state):
        machine, options = self.machine, self.options
        machine.place(float(state["t"]), state["q"], state["velocity"], state["R"], state["E"])
        self.started = True
        order = self.tableau.error_order
        fixed = options.dt is not None
        self.control = FixedSteps(options.dt, machine.t) if fixed else AdaptiveSteps(1.0, order, self._longest())
        self.control.restore(state["control"])
        self.recorder.steps = int(state["recorded"])
        self.breaks.restore(state["breaks"], machine.t)
        self.memory.restore(state["memory"])
        machine.bind()
        if machine.solver is not None and state["start"] is not None:
            machine.solver.R = np.array(state["start"], dtype=float)

    def _solution(self, status, message, seconds):
        machine, events = self.machine, self.options.events
        accepted, refused, evaluations = machine.numbers
        if self.started:
            self.recorder.finish(machine.t, machine.q, machine.R, machine.E)
        dense = None
        if self.steps:
            breaks = self.breaks.until(machine.t)
            dense = DenseOutput(self.system.q.shape, machine.signals, self.steps, machine.t, breaks)
        t_events, q_events = events.results()
        return Solution(
            *self.recorder.arrays(self.system.neurons, self.system.signals),
            status=status,
            message=message,
            nfev=evaluations,
            naccepted=accepted,
            nrejected=refused,
            wall_time=seconds,
            method=self.tableau.name,
            sol=dense,
            t_events=t_events,
            q_events=q_events,
            state=self.state() if self.control is not None else None,
            _last=(self.system, machine.q.reshape(self.system.q.shape), machine.R if self.started else None),
        )
