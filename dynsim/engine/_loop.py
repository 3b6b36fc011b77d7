"""The stepping loop."""

from __future__ import annotations

import math
import time

import numpy as np

from ._advance import BEGIN, END, ENOUGH, FULL, NOW, PAUSED, TOO_SMALL
from ._controller import (
    AdaptiveSteps,
    FixedSteps,
    first_step,
    step_accepted,
    step_end,
    step_refused,
    step_restart,
)
from ._dense import DenseOutput, Step
from ._echo import echo_gain
from ._equations import SINGULAR
from ._failure import NoConvergence, NotFinite, advice, divergence, gain_text
from ._field import Field
from ._history import make_history
from ._instant import SINGULAR_FIELD
from ._memory import DelayMemory
from ._record import Recorder, Times
from ._small import SmallSteps, fits
from ._solution import Solution
from ._stepper import Stepper

CHUNK = 256  # steps after which the compiled loop looks for a signal from outside, Ctrl-C


class Run:
    """A run from its first to its last step; `options` are the checked arguments of `solve`."""

    def __init__(self, system, options):
        self.system, self.options, self.tableau = system, options, options.tableau
        self.t, self.q = options.t0, system._places(system.q)
        self.memory = self._memory() if system.delay else None
        self.field = Field(system, self.memory)
        self.stepper = Stepper(self.tableau, self.field, options.rtol, options.atol)
        self.recorder = Recorder(options.record, system, options.sink, options.keep)
        self.events = options.events
        self.steps = []
        self.store_steps = options.dense_output
        self.naccepted = self.nrejected = self.evaluations = 0
        self.control = None
        self.values = None  # q', R, E at the current time, limits from the right
        self.good = None  # the last t, q, R, E that were all finite

    def go(self):
        """Run to the end, whatever the end is; returns the Solution."""
        began = time.perf_counter()
        try:
            self._start()
            status, message = self._steps()
        except NotFinite as error:
            status, message = self._diverged(error, self.t)
        except NoConvergence as error:
            status, message = -1, self._failed(error)
        return self._solution(status, message, time.perf_counter() - began)

    def _start(self):
        options = self.options
        if options.resume is not None:
            self._restore(options.resume)
        else:
            self.values = self.field.evaluate(self.t, self.q)
            self.good = (self.t, self.q, *self.values[1:])
            self.control = self._controller()
        self.events.start(self.t, self.q)
        if options.resume is None or isinstance(options.record, Times):
            self.recorder.at(self.t, self.q, *self.values[1:], first=True)

    def _controller(self):
        options, t = self.options, self.t
        if options.dt is not None:
            return FixedSteps(options.dt, t)
        longest = min(self._stop()[0] - t, options.t1 - t)
        h = first_step(
            self.field,
            t,
            self.q,
            self.values[0],
            longest,
            self.tableau.error_order,
            options.rtol,
            options.atol,
        )
        return AdaptiveSteps(h, self.tableau.error_order)

    def _steps(self):
        small = SmallSteps(self) if fits(self.system, self.options.history) else None
        while self.t < self.options.t1:
            if self._left() <= 0:
                return -1, (
                    f"max_steps = {self.options.max_steps} steps reached at t = {self.t:.9g}, before the end "
                    f"{self.options.t1:.9g}; increase max_steps, loosen rtol, or resume from this state."
                )
            outcome = self._try() if small is None else self._several(small)
            if outcome is not None:
                return outcome
        return 0, "Reached the end of the time span."

    def _left(self):
        most = self.options.max_steps
        return CHUNK if most is None else most - self.naccepted - self.nrejected

    def _try(self):
        """One try of a step, array by array."""
        control = self.control
        stop, cut = self._stop()
        end = step_end(control.adaptive, control.numbers, self.t, stop)
        trouble = None
        try:
            with np.errstate(all="ignore"):  # what is not finite is found and named below
                error = self.stepper.attempt(self.t, end, self.q, self.values[0], self.values[2])
            if not (np.isfinite(self.stepper.q).all() and math.isfinite(error)):
                raise NotFinite(self.stepper.q, self.values[2])
        except (NotFinite, NoConvergence) as raised:
            trouble, error = raised, math.inf
        if trouble is not None and not self.tableau.adaptive:
            return self._trouble(trouble, end)
        if error >= 1.0:
            self.nrejected += 1
            step_refused(control.numbers, error, control.k)
            return self._trouble(trouble, end) if control.numbers[0] < 10 * np.spacing(abs(self.t)) else None
        return self._accept(end, error, cut and end == stop)

    def _accept(self, end, error, cut):
        """Take the step that `stepper` holds: memory, events, frames, then the signals at its end."""
        step, q, memory = self.stepper.step, self.stepper.q, self.memory
        self.naccepted += 1
        if memory is not None:
            memory.store(self.t, end - self.t, self.stepper.q_nodes, self.stepper.E_nodes)
        step_accepted(self.control.adaptive, self.control.numbers, error, self.control.k)
        at = self._look(step, q)
        if at is not None and at < end:
            return self._end_inside(step, at)
        if cut:
            memory.turn()
            step_restart(self.control.adaptive, self.control.numbers, end)
        # At a cut q' and E jump: the last stage was the limit from the left, what follows needs the right.
        values = None if cut else self.stepper.end_values
        self.t, self.q = end, q  # the state to name, should the signals fail here
        self._move(end, q, self.field.evaluate(end, q) if values is None else values)
        return self._terminal() if at is not None else self._arrived()

    def _several(self, small):
        """Compiled steps, up to the next that somebody wants to see."""
        options, watched = self.options, self.events.functions or self.store_steps
        pause_at = -math.inf if watched else self.recorder.next_inside()
        one = options.callback is not None or options.checkpoint is not None
        steps = 1 if one else min(CHUNK, self.recorder.until_due())
        code, finished = small.advance(pause_at, steps, self._left())
        ends = False
        if code == PAUSED:
            self._take_over(small, finished)
            step = Step(small.clock[BEGIN], small.clock[END] - small.clock[BEGIN], small.clock[END], small.q.copy(),
                        small.K, self.tableau.P, small.E_nodes.reshape(-1, *small.E.shape).copy()
                        if self.memory else None)  # fmt: skip
            at = self._look(step, small.new[0])
            if at is not None and at < step.end:
                return self._end_inside(step, at)
            ends = at is not None
            code, finished = small.advance(math.inf, 1, 0)
        self._take_over(small, finished)
        if code == FULL:
            self.memory.make_room()
            small.bind()
        elif code != ENOUGH:
            return self._stuck(code, small)
        if not finished:
            return None
        return self._terminal() if ends else self._arrived()

    def _take_over(self, small, finished):
        self.naccepted, self.nrejected, evaluations = small.numbers
        self.field.nfev += evaluations - self.evaluations
        self.evaluations = evaluations
        self.t, self.q, self.values = float(small.clock[NOW]), small.q, (small.f, small.R, small.E)
        self.good = (self.t, small.q, small.R, small.E)
        self.recorder.skip(finished - 1)

    def _stuck(self, code, small):
        end = float(small.clock[END])
        if code == TOO_SMALL:
            return self._trouble(None, end)
        if code == SINGULAR:
            return self._trouble(NoConvergence(SINGULAR_FIELD), end)
        q, R, E = small.new
        return self._trouble(NotFinite(q, E, R), end)

    def _look(self, step, q):
        """Events within an accepted step, frames at given times; returns the time of an event that ends the run."""
        if self.store_steps:
            self.steps.append(step)
        at = self.events.check(step, q)
        self.recorder.inside(step, step.end if at is None else at, self.field.signals)
        return at

    def _end_inside(self, step, at):
        q = step.places(at)
        self._move(at, q, self.field.evaluate(at, q))
        return self._terminal()

    def _arrived(self):
        """After a step: whoever wants to know is told; the outcome if the callback stops the run."""
        callback, t = self.options.callback, self.t
        stopped = bool(callback is not None and callback(t, self.q.reshape(self.system.q.shape).copy()))
        self.recorder.at(t, self.q, *self.values[1:], final=stopped or t >= self.options.t1)
        if self.options.checkpoint is not None:
            self.options.checkpoint(t, self.state, self._bound())
        if stopped:
            return 2, f"Stopped by the callback at t = {t:.9g}."
        return None

    def _bound(self):
        """Whether the next step, if there is one, depends on where the span ends."""
        if self.t >= self.options.t1:
            return True
        stop, cut = self._stop()
        return not cut and stop == self.options.t1 and self.control.bent(self.t, stop)

    def _move(self, t, q, values):
        if not np.isfinite(values[0]).all():
            raise NotFinite(values[0], values[2], values[1])
        self.t, self.q, self.values = t, q, values
        self.good = (t, q, values[1], values[2])

    def _terminal(self):
        self.recorder.at(self.t, self.q, *self.values[1:], final=True)
        return 1, f"A terminal event occurred at t = {self.t:.9g}."

    def _stop(self):
        """The time that the next step may not pass, and whether it is a cut of the delay."""
        t1 = self.options.t1
        if self.memory is None:
            return t1, False
        cut = self.memory.cut(self.memory.interval + 1)
        if abs(cut - t1) <= 8 * np.spacing(max(abs(t1), abs(self.memory.t0))):
            return t1, True
        return (cut, True) if cut < t1 else (t1, False)

    def _memory(self):
        system, options = self.system, self.options
        anchors = getattr(getattr(options.history, "sol", None), "anchors", ())
        began = options.t0 if options.resume is None else float(options.resume["memory"]["t0"])
        return DelayMemory(
            system.delay,
            began,
            self.tableau.nodes,
            self.q.shape,
            (system.neurons, system.signals),
            make_history(options.history, system, began),
            anchors,
        )

    def _trouble(self, trouble, end):
        if isinstance(trouble, NotFinite):
            return self._diverged(trouble, end)
        if trouble is None:
            trouble = f"the step fell below what numbers near t = {self.t:.9g} can resolve"
        return -1, self._failed(trouble)

    def _failed(self, reason):
        gain = self._gain()
        return f"Failed at t = {self.t:.9g}: {reason}; {gain_text(self.system, gain)}. {advice(self.system, gain)}"

    def _diverged(self, error, t):
        t_good, q_good, *_ = self.good or (self.options.t0, self.q)
        return -2, divergence(self.system, error, self.naccepted + 1, t, t_good, q_good, self._gain())

    def _gain(self):
        q, R = (self.good[1], self.good[2]) if self.good else (self.q, None)
        return echo_gain(self.system, q.reshape(self.system.q.shape), R)

    def state(self):
        """Everything that the rest of the run depends on, as a dict of numbers, arrays and such dicts."""
        f, R, E = self.values
        solver = self.field.solver
        return {
            "method": self.tableau.name,
            "t": self.t,
            "q": self.q.copy(),
            "velocity": np.array(f),
            "R": np.array(R),
            "E": np.array(E),
            "control": self.control.state(),
            "recorded": self.recorder.steps,
            "start": None if solver is None or solver.R is None else np.array(solver.R),
            "memory": None if self.memory is None else self.memory.state(),
        }

    def _restore(self, state):
        self.t, self.q = float(state["t"]), np.array(state["q"], dtype=float).reshape(self.q.shape)
        self.values = tuple(np.array(state[name], dtype=float) for name in ("velocity", "R", "E"))
        self.good = (self.t, self.q, *self.values[1:])
        self.control = (
            FixedSteps(self.options.dt, self.t)
            if self.options.dt is not None
            else AdaptiveSteps(1.0, self.tableau.error_order)
        )
        self.control.restore(state["control"])
        self.recorder.steps = int(state["recorded"])
        if self.memory is not None:
            self.memory.restore(state["memory"])
        elif state["start"] is not None:
            self.field.solver.R = np.array(state["start"], dtype=float)

    def _solution(self, status, message, seconds):
        t, q, R, E = self.good or (self.t, self.q, None, None)
        if R is not None:
            self.recorder.finish(t, q, R, E)
        frames = self.recorder.arrays(self.system.neurons, self.system.signals)
        dense = None
        if self.options.dense_output and self.steps:
            anchors = [self.memory.t0 + phase for phase in self.memory.phases] if self.memory else ()
            dense = DenseOutput(self.system, self.field, self.steps, t, anchors)
        return Solution(
            *frames,
            status=status,
            message=message,
            nfev=self.field.nfev,
            naccepted=self.naccepted,
            nrejected=self.nrejected,
            wall_time=seconds,
            method=self.tableau.name,
            sol=dense,
            t_events=self.events.results()[0],
            q_events=self.events.results()[1],
            state=self.state() if self.values is not None and self.control is not None else None,
            _last=(self.system, q.reshape(self.system.q.shape), R),
        )
