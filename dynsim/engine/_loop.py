"""The stepping loop."""

from __future__ import annotations

import math
import time

import numpy as np

from ._controller import AdaptiveSteps, FixedSteps, first_step
from ._dense import DenseOutput
from ._echo import echo_gain
from ._failure import NoConvergence, NotFinite, advice, divergence, gain_text
from ._field import Field
from ._history import make_history
from ._memory import DelayMemory
from ._record import Recorder, Times
from ._solution import Solution
from ._stepper import Stepper


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
        self.naccepted = self.nrejected = 0
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
        options = self.options
        while self.t < options.t1:
            if options.max_steps is not None and self.naccepted + self.nrejected >= options.max_steps:
                return -1, (
                    f"max_steps = {options.max_steps} steps reached at t = {self.t:.9g}, before the end "
                    f"{options.t1:.9g}; increase max_steps, loosen rtol, or resume from this state."
                )
            stop, cut = self._stop()
            end = self.control.end(self.t, stop)
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
                self.control.refused(error)
                if self.control.h < 10 * np.spacing(abs(self.t)):
                    return self._trouble(trouble, end)
                continue
            outcome = self._accept(end, error, cut and end == stop)
            if outcome is not None:
                return outcome
        return 0, "Reached the end of the time span."

    def _accept(self, end, error, cut):
        """Take the step that `stepper` holds: memory, events, frames, then the signals at its end."""
        step, q, memory = self.stepper.step, self.stepper.q, self.memory
        self.naccepted += 1
        if memory is not None:
            memory.store(self.t, end - self.t, self.stepper.q_nodes, self.stepper.E_nodes)
        if self.store_steps:
            self.steps.append(step)
        self.control.accepted(error)
        at = self.events.check(step, q)
        self.recorder.inside(step, end if at is None else at, self.field.signals)
        if at is not None and at < end:
            q = step.places(at)
            self._move(at, q, self.field.evaluate(at, q))
            return self._terminal()
        if cut:
            memory.turn()
            self.control.restart(end)
        # At a cut q' and E jump: the last stage was the limit from the left, what follows needs the right.
        values = None if cut else self.stepper.end_values
        self.t, self.q = end, q  # the state to name, should the signals fail here
        self._move(end, q, self.field.evaluate(end, q) if values is None else values)
        if at is not None:
            return self._terminal()
        stopped = bool(self.options.callback is not None and self.options.callback(end, q.reshape(self.system.q.shape)))
        self.recorder.at(end, q, *self.values[1:], final=stopped or end >= self.options.t1)
        if self.options.checkpoint is not None:
            self.options.checkpoint(end, self.state, self._bound())
        if stopped:
            return 2, f"Stopped by the callback at t = {end:.9g}."
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
