"""A run: steps in portions, and what Python looks at between and within them."""

from __future__ import annotations

import math
import time
from functools import partial

import numpy as np

from dynsim._ranks import world

from ._echo_gain import echo_gain
from ._failure import Misbehaved, NoConvergence, NotFinite, divergence, failure, growth_rate
from ._interpolation import DenseOutput, Step
from ._known_breaks import breaking_points, longest_seen
from ._machine import Machine, SignalsAtOnce, delay_memory
from ._recorder import Recorder, Times, time_slack
from ._solution import Solution
from ._step_size import SHORTEST, STEP, AdaptiveSteps, FixedSteps, first_step
from ._stepping import ENOUGH, FULL, PAUSED

BEYOND = 0.5 * np.finfo(float).max  # a span without end: times near it have a spacing, infinity has none
CHUNK = 256  # steps after which the loop looks for a signal from outside, Ctrl-C


class Integration:
    """A run from its first to its last step; `options` are the checked arguments of `solve`."""

    def __init__(self, system, options):
        self.system, self.options, self.tableau = system, options, options.tableau
        state = options.resume
        began = options.t0 if state is None else float(state["breaks"]["start"])
        self.breaks = breaking_points(system, began, self.tableau, options.dt, options.history)
        self.breaks.passed = [] if options.dense_output else None
        self.memory = delay_memory(system, self.breaks, self.tableau.nodes, options.history)
        self.machine = Machine(system, self.memory, self.tableau, t=options.t0, t1=options.t1, rtol=options.rtol,
                               atol=options.atol, ranks=world(), seed=options.seed)  # fmt: skip
        self.stages = self.tableau.stage_choice()
        self.recorder = Recorder(options.record, system, options.sink, options.keep)
        self.steps = []  # of the dense output
        self.control = None
        self.started = False  # whether the machine holds a state
        self.free = True  # whether the state is also one of a run over a longer span
        self.before = 0  # steps of the run that goes on
        self.left = None  # the state that a run goes on from which ended within a step

    def go(self):
        """Run to the end, whatever the end is; returns the Solution."""
        began = time.perf_counter()
        try:
            self._start()
            status, message = self._steps()
        except (NotFinite, NoConvergence, Misbehaved) as trouble:
            status, message = self._failed(trouble, self.machine.t)
        except Exception as error:  # of a function of the user's, whose it stays
            if self.started:
                error.add_note(f"Raised in a run that had reached t = {self.machine.t:.9g}.")
            raise
        return self._solution(status, message, time.perf_counter() - began)

    def _start(self):
        options, machine = self.options, self.machine
        if options.resume is not None:
            self._restore(options.resume)
        else:
            machine.place(machine.t, machine.q, *self._first_evaluation())
            self.started = True
            self.control = self._controller()
        machine.control = self.control.numbers
        known = None if options.resume is None else options.resume["events"]
        try:
            options.events.start(machine.t, machine.places.copy(), known)
        except Misbehaved as trouble:
            raise trouble.refusal from None
        if options.resume is None or isinstance(options.record, Times):
            self.recorder.at(machine.t, machine.q, machine.R, machine.E, stepped=False)
        self.free = self.free and not self._bound()

    def _first_evaluation(self):
        """q', R and E at the start, where a function that gives what is no number at all is refused as an argument."""
        try:
            return self.machine.evaluate(self.machine.t, self.machine.q)
        except Misbehaved as trouble:
            if trouble.number:
                raise
            raise trouble.refusal from None

    def _controller(self):
        options, machine = self.options, self.machine
        if options.dt is not None:
            return FixedSteps(options.dt, machine.t)
        h, order = options.first_step, self.tableau.error_order
        if h is None:
            stop = machine.stop()[0]
            h, cut = first_step(machine, stop - machine.t, order, options.rtol, options.atol)
            self.free = not (cut and stop != machine.stop(BEYOND)[0])
        return AdaptiveSteps(max(h, SHORTEST * np.spacing(abs(machine.t))), order, self._longest())

    def _longest(self):
        """The longest step that is allowed: the user's max_step, and what known signals need to be seen."""
        asked = self.options.max_step
        return min(math.inf if asked is None else asked, longest_seen(self.system))

    def _steps(self):
        machine, options = self.machine, self.options
        while machine.t < options.t1:
            left = CHUNK if options.max_steps is None else options.max_steps - self._taken()
            if left <= 0:
                return -1, (
                    f"max_steps = {options.max_steps} steps reached at t = {machine.t:.9g}, before the end "
                    f"{options.t1:.9g}; increase max_steps, or resume from this state."
                )
            outcome = self._advance(left)
            if outcome is not None:
                return outcome
        return 0, "Reached the end of the time span."

    def _taken(self):
        """Steps taken and refused that count towards max_steps: also those before the run was stopped."""
        accepted, refused, _ = self.machine.numbers
        return self.before + accepted + refused

    def _advance(self, left):
        """Take steps up to the next at which Python has something to do; the outcome if the run ends there."""
        options, machine = self.options, self.machine
        pause_at = -math.inf if options.events.functions or options.dense_output else self.recorder.next_inside()
        one = options.callback is not None or options.checkpoint is not None
        before = self._before_step() if options.events.functions else None
        if self.stages is not None:
            self._choose_stages()
        steps = 1 if one or self.stages is not None else min(CHUNK, self.recorder.until_due())
        refused = machine.numbers[1]
        code, finished = machine.advance(pause_at, steps, left if self.stages is None else 1)
        self.recorder.skip(finished - 1)
        ends = False
        if code == PAUSED:
            E_nodes = machine.E_nodes.reshape(-1, *machine.E.shape).copy() if self.memory.nodes else None
            R = None if machine.solver is None else machine.R.copy()
            step = Step(machine.t, machine.end, machine.q.copy(), machine.K, machine.tableau[4], E_nodes, R,
                        self.system.copies)  # fmt: skip
            if options.dense_output:
                self.steps.append(step)
            try:
                at = options.events.check(step, machine.new_q[: self.system.copies].copy())
                ends = at is not None
                self.recorder.inside(step, at if ends else step.end, partial(machine.signals, start=step.R))
            except ArithmeticError:
                self._leave(before)
                raise
            if ends and at < step.end:
                return self._end_inside(step, at, before)
            code, finished = machine.advance(math.inf, 1, 0)
        if code == FULL:
            self.memory.grow()
            machine.bind()
        elif code != ENOUGH:
            return self._failed(machine.failure(code), machine.end)
        if self.stages is not None and (finished or machine.numbers[1] > refused):
            self.stages.tried(not finished)
        if not finished:
            return None
        return self._ended_by_event() if ends else self._arrived()

    def _choose_stages(self):
        """Before a step of a method that chooses its stages by the length of the step."""
        machine, numbers = self.machine, self.control.numbers
        if not machine.pending and machine.t < self.options.t1:
            # As long as the controller wants it, whatever the step is cut to: so it does not depend on the span's end.
            numbers[STEP] = self.stages.begin(machine, numbers[STEP])

    def _before_step(self):
        """What the loop changes before its step is known to be a step: the controller and where iterations start."""
        solver = self.machine.solver
        stages = None if self.stages is None else self.stages.state()
        return self.control.numbers.copy(), None if solver is None else solver.R, stages

    def _leave(self, before):
        """The run ends within a step: one that goes on makes it again, whole, and so has the bits of a longer run."""
        if before is None:
            return
        self.control.numbers[:] = before[0]
        if self.machine.solver is not None:
            self.machine.solver.R = before[1]
        if self.stages is not None:
            self.stages.restore(before[2])
        self.left = self.state()

    def _end_inside(self, step, at, before):
        self._leave(before)
        q = step.state(at)
        values = self.machine.evaluate(at, q)
        if not np.isfinite(values[0]).all():
            raise NotFinite(values[0])
        self.machine.place(at, q, *values)
        return self._ended_by_event(stepped=False)

    def _ended_by_event(self, stepped=True):
        machine = self.machine
        self.recorder.at(machine.t, machine.q, machine.R, machine.E, stepped=stepped, final=True)
        return 1, f"A terminal event occurred at t = {machine.t:.9g}."

    def _arrived(self):
        """After a step: callback, frame and checkpoint; the outcome if the callback stops the run."""
        callback, machine, t = self.options.callback, self.machine, self.machine.t
        stopped = bool(callback is not None and callback(t, self._places()))
        ended = t >= self.options.t1
        slack = time_slack(self.options.t0, t) if ended else 0.0
        self.recorder.at(t, machine.q, machine.R, machine.E, final=stopped or ended, slack=slack)
        if self.options.checkpoint is not None:
            bound = self._bound()
            self.options.checkpoint(t, self.state, bound)
            self.free = self.free and not bound
        if stopped:
            return 2, f"Stopped by the callback at t = {t:.9g}."
        return None

    def _places(self):
        """Places as the user's are shaped, a copy."""
        return self.machine.places.reshape(self.system.q.shape).copy()

    def _bound(self):
        """Whether the next step, if there is one, depends on where the span ends."""
        machine = self.machine
        if machine.t >= self.options.t1:
            return True
        stop = machine.stop()[0]
        return stop != machine.stop(BEYOND)[0] and self.control.bent(machine.t, stop)

    def _failed(self, trouble, end):
        """Status and sentence of a run that cannot go on; `trouble` is None where steps became too small."""
        machine, options = self.machine, self.options
        gain = None if isinstance(trouble, Misbehaved) else self._gain()
        good, q, f = machine.t, machine.places, machine.f[: self.system.copies]
        if isinstance(trouble, NotFinite):
            step, rate, tried = machine.numbers[0] + 1, growth_rate(q, f), machine.new_q[: self.system.copies]
            return -2, divergence(self.system, trouble, step, end, good, q, tried, rate, gain, options.dt)
        t = machine.end if machine.pending else good
        return -1, failure(self.system, trouble, t, good, options.t0, q, f, gain)

    def _gain(self):
        machine = self.machine
        R = machine.R if self.started else None
        return echo_gain(self.system, self._places(), R=R, together=True)

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
            "events": self.options.events.state(),
            "free": self.free,
            "taken": self._taken(),
            "start": None if start is None else start.copy(),
            "breaks": self.breaks.state(),
            "memory": self.memory.state(machine.pending),
            "seed": machine.noise.seed,
            "drawn": machine.noise.before + machine.numbers[0] - machine.pending,
            "stages": None if self.stages is None else self.stages.state(),
        }

    def _restore(self, state):
        machine, options = self.machine, self.options
        machine.place(float(state["t"]), state["q"], state["velocity"], state["R"], state["E"])
        self.started = True
        order = self.tableau.error_order
        fixed = options.dt is not None
        self.control = FixedSteps(options.dt, machine.t) if fixed else AdaptiveSteps(1.0, order, self._longest())
        self.control.restore(state["control"])
        self.free = bool(state["free"])
        taken, most = int(state["taken"]), options.max_steps
        self.before = 0 if most is None or taken >= most else taken  # one that max_steps ended counts anew
        self.recorder.go_on(machine.t, int(state["recorded"]))
        self.breaks.restore(state["breaks"], machine.t)
        self.memory.restore(state["memory"])
        machine.noise.seed, machine.noise.before = int(state.get("seed", 0)), int(state.get("drawn", 0))
        if self.stages is not None:
            self.stages.restore(state["stages"])
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
            signals = None if self.system.looks_back else SignalsAtOnce(self.system, self.tableau)
            breaks = self.breaks.until(machine.t)
            dense = DenseOutput(self.system.q.shape, signals, self.steps, machine.t, breaks)
        t_events, q_events = events.results()
        *frames, velocity = self.recorder.arrays(self.system.neurons, self.system.signals)
        solution = Solution(
            *frames,
            velocity=velocity,
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
            state=self.left or (None if self.control is None else self.state()),
            _last=(self.system, self._places(), machine.R if self.started else None),
        )
        if machine.ranks.size > 1:
            solution.echo_gain = self._gain()  # now, by all: later one of them may read it alone
        return solution
