"""The loop over steps, written once: compiled whole for small systems, else Python that calls compiled parts.

What is compiled is one function, so a run has the same bits whether it is called for every step or for thousands. It
computes everything as it is written, no product fused with a sum, so these are the bits of the same loop in Python.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from ._delay_memory import begin_interval, fill, keep_step
from ._equations import NOT_FINITE, OK, all_finite
from ._step_size import SHORTEST, SHRINK, STEP, step_accepted, step_end, step_refused, step_restart

# Why the loop returned, besides NOT_FINITE and UNSOLVED of an evaluation.
ENOUGH, PAUSED, FULL, TOO_SMALL = 3, 4, 5, 6
# Places in `counts`; and in `clock`: now, begin and end of the last step, end of the span, error norm.
ACCEPTED, REFUSED, EVALUATIONS, PENDING, CUT = range(5)
NOW, BEGIN, END, LAST, ERROR = range(5)


@njit(cache=True, nogil=True, error_model="numpy")
def scaled_norm(error, before, after, rtol, atol):
    """Root mean square of error / (atol + rtol size); infinite if anything is not finite. No error is within any."""
    total = 0.0
    for j in range(len(error)):
        if error[j] == 0.0:
            continue
        ratio = error[j] / (atol + rtol * max(abs(before[j]), abs(after[j])))
        total += ratio * ratio
    norm = math.sqrt(total / len(error))
    return norm if math.isfinite(norm) else math.inf


@njit(cache=True, nogil=True, error_model="numpy")
def next_stop(last, memory):
    """The time that the next step may not pass, at most `last`, and whether it is a breaking point."""
    cut = memory[5][memory[4][0] + 1]
    if abs(cut - last) <= 8 * np.spacing(max(abs(last), abs(memory[13][0]))):
        return last, True
    return (cut, True) if cut < last else (last, False)


@njit(cache=True, nogil=True, error_model="numpy")
def combine(h, weights, K, count, q, out):
    """out = q + h sum_k weights_k K_k over the first `count` stages."""
    for j in range(len(q)):
        total = 0.0
        for k in range(count):
            if weights[k] != 0.0:
                total += (h * weights[k]) * K[k, j]
        out[j] = q[j] + total


@njit(cache=True, nogil=True, error_model="numpy")
def interpolate_step(theta, h, P, K, q, out):
    """Places at t + theta h by the method's interpolant."""
    weights = np.empty(len(P))
    for i in range(len(P)):
        power, total = 1.0, 0.0
        for degree in range(P.shape[1]):
            power *= theta
            total += P[i, degree] * power
        weights[i] = total
    combine(h, weights, K, len(P), q, out)


@njit(cache=True, nogil=True, error_model="numpy")
def interpolation_error(E_nodes, defect, rtol, atol):
    """How badly the polynomial through all nodes but one gives E there, as an error norm."""
    largest, missed = np.zeros(E_nodes.shape[1]), np.zeros(E_nodes.shape[1])
    for k in range(len(defect)):
        for j in range(len(largest)):
            largest[j] = max(largest[j], abs(E_nodes[k, j]))
            missed[j] += defect[k] * E_nodes[k, j]
    return scaled_norm(missed, largest, largest, rtol, atol)


def as_it_is(function):
    """What `machine` is given to write into its functions where nothing is compiled."""
    return function


def machine(evaluate, write_into, scheme=None):
    """Return the loop over steps with an evaluation of the right-hand side, not compiled as yet.

    `write_into` is what makes a function part of its caller where that is compiled: the evaluation is then called by
    one function only, and compiled and optimised once. `scheme` makes the attempt of a step where it is not that of a
    Runge-Kutta table; it is never compiled.
    """

    @write_into
    def emit_nodes(t, h, parameters, tableau, q, E, trial, counts):
        # q and E at the Lobatto nodes of the step; returns a code and how badly E is interpolated.
        pairs, operators, given, memory = parameters
        P, numbers = tableau[4], tableau[5]
        new_q, new_R, new_E, _, K, q_nodes, E_nodes = trial
        x, defect = memory[9], memory[11]
        shape, last = q.shape, len(x) - 1
        fill(q_nodes[0], q)
        fill(q_nodes[last], new_q)
        fill(E_nodes[0], E)
        fill(E_nodes[last], new_E)
        R, none = np.empty_like(new_R), np.empty((0, 0, 0))
        for k in range(1, last):
            interpolate_step(x[k], h, P, K, q.ravel(), q_nodes[k])
            counts[EVALUATIONS] += 1
            code = evaluate(t + x[k] * h, q_nodes[k].reshape(shape), pairs, operators, given, memory, R,
                            E_nodes[k].reshape(E.shape), none)  # fmt: skip
            if code != OK:
                fill(new_q, q_nodes[k])  # what is to be named
                fill(new_R, R)
                fill(new_E, E_nodes[k])
                return code, math.inf
        if numbers[0] == 0.0 or len(x) < 3:
            return OK, 0.0
        error = interpolation_error(E_nodes, defect, numbers[1], numbers[2])
        # The node left out lowers the order by one, h^(n - 1); the controller expects h^(error order + 1).
        return OK, error ** (numbers[3] / (len(x) - 1)) if math.isfinite(error) else error

    @write_into
    def attempt(t, end, parameters, tableau, q, f, E, trial, counts):
        # One step; returns a code and the error norm. Leaves the new state in `trial`.
        pairs, operators, given, memory = parameters
        A, b, c, b_error, _, numbers = tableau
        new_q, new_R, new_E, new_f, K, _, _ = trial
        h, S, flat = end - t, len(b), q.ravel()
        fill(K[0], f)
        for i in range(1, S):
            combine(h, A[i], K, i, flat, new_q.ravel())
            counts[EVALUATIONS] += 1
            code = evaluate(end if c[i] == 1.0 else t + c[i] * h, new_q, pairs, operators, given, memory, new_R, new_E,
                            new_f)  # fmt: skip
            if code != OK:
                return code, math.inf
            fill(K[i], new_f)
        same = numbers[4] != 0.0  # the last stage is the new state
        if not same:
            combine(h, b, K, S, flat, new_q.ravel())
        error = 0.0
        if numbers[0] != 0.0:
            wrong = np.zeros(len(flat))
            combine(h, b_error, K, S, np.zeros(len(flat)), wrong)
            error = scaled_norm(wrong, flat, new_q.ravel(), numbers[1], numbers[2])
        if len(memory[6]) > 0 and error < 1.0:
            if not same:
                counts[EVALUATIONS] += 1
                code = evaluate(end, new_q, pairs, operators, given, memory, new_R, new_E, new_f)
                if code != OK:
                    return code, math.inf
            code, missed = emit_nodes(t, h, parameters, tableau, q, E, trial, counts)
            if code != OK:
                return code, math.inf
            # E that jumps within a step is missed by as much in the shortest one, which ends where the jump is; what
            # that does to q one delay later is as small as the step.
            if h * SHRINK >= SHORTEST * np.spacing(abs(t)) or not math.isfinite(missed):
                error = max(error, missed)
        return (OK, error) if all_finite(new_q) and math.isfinite(error) else (NOT_FINITE, math.inf)

    if scheme is not None:
        attempt = scheme(evaluate, emit_nodes)

    def loop(arguments):
        # Goes on until `steps` steps are finished, `tries` are made, or a step that reaches `pause_at` is accepted,
        # which is then PENDING until the next call. With no steps to take only R, E and q' of the state are computed.
        clock, counts, control, tableau, parameters, state, trial, pause_at, steps, tries = arguments
        pairs, operators, given, memory = parameters
        numbers = tableau[5]
        times, firsts, current, cuts, anew = memory[0], memory[3], memory[4], memory[5], memory[12]
        delayed = len(memory[6]) > 0
        adaptive, k = numbers[0] != 0.0, numbers[3]
        q, f, R, E = state
        new_q, new_R, new_E, new_f, _, q_nodes, E_nodes = trial
        if steps == 0:
            counts[EVALUATIONS] += 1
            return evaluate(clock[NOW], q, pairs, operators, given, memory, R, E, f)
        while steps > 0:
            if not counts[PENDING]:
                if clock[NOW] >= clock[LAST] or tries <= 0:
                    return ENOUGH
                if current[0] + 2 >= len(cuts) or (delayed and firsts[-1] - firsts[0] >= len(times)):
                    return FULL
                tries -= 1
                stop, cut = next_stop(clock[LAST], memory)
                clock[BEGIN], clock[END] = clock[NOW], step_end(adaptive, control, clock[NOW], stop)
                if adaptive and not clock[END] > clock[BEGIN]:
                    return TOO_SMALL
                code, error = attempt(clock[BEGIN], clock[END], parameters, tableau, q, f, E, trial, counts)
                clock[ERROR] = error
                if code != OK and not adaptive:
                    return code
                if error >= 1.0:
                    counts[REFUSED] += 1
                    step_refused(control, error, k)
                    if not control[STEP] >= SHORTEST * np.spacing(abs(clock[NOW])):
                        return code if code != OK else TOO_SMALL
                    continue
                counts[ACCEPTED] += 1
                if delayed:
                    keep_step(clock[BEGIN], clock[END], q_nodes, E_nodes, memory)
                step_accepted(adaptive, control, error, k, clock[END])
                counts[CUT], counts[PENDING] = cut and clock[END] == stop, 1
                if clock[END] >= pause_at:
                    return PAUSED
            known = numbers[4] != 0.0 or delayed  # q', R and E at the end
            if counts[CUT]:
                # There q' and E may jump: the last stage was the limit from the left, what follows needs the right.
                begin_interval(memory)
                if anew[current[0]]:
                    step_restart(adaptive, control, clock[END])
            if counts[CUT] or not known:
                counts[EVALUATIONS] += 1
                code = evaluate(clock[END], new_q, pairs, operators, given, memory, new_R, new_E, new_f)
                if code != OK:
                    return code
            if not all_finite(new_f):
                fill(new_q, new_f)  # what is reported
                return NOT_FINITE
            fill(q, new_q)
            fill(f, new_f)
            fill(R, new_R)
            fill(E, new_E)
            clock[NOW], counts[PENDING] = clock[END], 0
            steps -= 1
        return ENOUGH

    return loop
