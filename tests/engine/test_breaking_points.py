"""Known jumps, kinks and pulses of what is given, and their echoes, are stepped on; every method keeps its order."""

from functools import cache

import numpy as np
import pytest
from scipy.integrate import solve_ivp

from dynsim.engine import METHODS, LastOnly, Operators, System, Tableau, _machine, configure, solve
from dynsim.engine._breaking_points import BreakingPoints
from dynsim.engine._given_signals import SignalsOfParts, kinked, waveform
from dynsim.kernels import Kernel

PULSE = 0.05 * np.sqrt(2 * np.pi)
TABLEAUX = [name for name, method in METHODS.items() if isinstance(method, Tableau)]
ADAPTIVE = [name for name in METHODS if METHODS[name].adaptive]
FIXED = [name for name in TABLEAUX if not METHODS[name].adaptive]


def integral(signal, span=(0.0, 10.0), **options):
    """q' = I(t) from q = 0, as a TOML configuration or Python describes I."""
    if isinstance(signal, dict):
        group = {"places": [[0.0]], "drive": signal}
        run = {"start": span[0], "until": span[1], "method": options.pop("method", "dopri5"), **options}
        ready = configure({"dimension": 1, "operators": {"D": 1.0}, "groups": [group], "run": run})
        return solve(ready.system, ready.span, **ready.options)
    return solve(System(np.zeros((1, 1)), operators=Operators(D=1.0), drive=signal), span, **options)


def samples(times, values):
    return np.array(times, float), np.reshape(np.array(values, float), (-1, 1, 1))


# What a run over ten units stepped over: a signal, its integral.
NARROW = {
    "pulse": ({"kind": "pulse", "at": 5.3, "width": 0.05}, PULSE),
    "narrower pulse": ({"kind": "pulse", "at": 7.77, "width": 1e-4, "height": 1e3}, 2 * PULSE),
    "samples": (samples([0, 5.2, 5.3, 5.4, 10], [0, 0, 1, 0, 0]), 0.1),
    "samples of a table": ({"kind": "samples", "times": [5.2, 5.3, 5.4], "values": [0.0, 1.0, 0.0]}, 0.1),
    "samples near the end": (samples([0, 9.99, 9.995, 10], [0, 0, 2, 0]), 0.01),
    "step": ({"kind": "step", "at": 9.99}, 0.01),
}


@pytest.mark.parametrize("name", ADAPTIVE)
@pytest.mark.parametrize("case", NARROW)
def test_what_is_narrow_is_seen(case, name):
    signal, exact = NARROW[case]
    solution = integral(signal, method=name)
    # Local errors of atol + rtol |q| in at most some 100 steps.
    assert solution.success and abs(solution.q[-1, 0, 0] - exact) < 100 * (1e-9 + 1e-6 * exact)


@pytest.mark.parametrize("name", ADAPTIVE)
def test_the_echo_of_a_narrow_pulse_is_seen(name):
    groups = [
        {"name": "in", "places": [[0.0]], "clamped": {"kind": "pulse", "at": 5.3, "width": 1e-3}},
        {"name": "out", "places": [[1.0]]},
    ]
    ready = configure({"dimension": 1, "delay": 1.0, "kernel": {"profile": "gaussian", "length": 1e9},
                       "operators": {"D": 1.0}, "groups": groups, "strengths": {"in->out": 1.0},
                       "run": {"until": 10.0, "method": name, "rtol": 1e-9, "atol": 1e-12}})  # fmt: skip
    solution = solve(ready.system, ready.span, **ready.options)
    moved = solution.q[:, 1, 0] - 1.0
    exact = 1e-3 * np.sqrt(2 * np.pi)
    assert np.all(moved[solution.t < 6.2] == 0.0) and abs(moved[-1] - exact) < 1e-4 * exact


@pytest.mark.parametrize("name", FIXED)
def test_a_pulse_narrower_than_a_fixed_step_is_seen(name):
    solution = integral({"kind": "pulse", "at": 5.3, "width": 0.05}, method=name, dt=1.0)
    # A sum over values one width apart, at multiples of it or between (Simpson's rule is of both), is the integral to
    # 2 exp(-2 pi^2) = 5e-9; steps of at most 1 beside them have 1.5e-8 at one end, of which they take at most that.
    assert abs(solution.q[-1, 0, 0] - PULSE) < 2e-8
    assert len(integral({"kind": "pulse", "at": 5.3, "width": 1.5}, method=name, dt=1.0).t) == 11  # resolved as it is


@pytest.mark.parametrize("name", ADAPTIVE)
def test_functions_have_max_step(name):
    narrow = lambda t: float(np.exp(-(((t - 5.3) / 0.05) ** 2) / 2))  # noqa: E731
    solution = integral(narrow, method=name, max_step=0.1)
    assert abs(solution.q[-1, 0, 0] - PULSE) < 1e-5 * PULSE
    assert np.diff(solution.t).max() <= 0.1 * (1 + 1e-12)
    free = integral(narrow, method=name, max_step=np.inf)  # SciPy's default: no limit
    assert np.diff(free.t).max() > 0.1
    first = integral(narrow, method=name, first_step=1e-3)
    assert first.t[1] - first.t[0] == pytest.approx(1e-3, rel=1e-12)


def test_steps_of_adaptive_methods_only_are_bounded():
    for key in ("max_step", "first_step"):
        with pytest.raises(ValueError, match=f"{key}: got 0.1 with rk4"):
            integral(lambda t: 0.0, method="rk4", dt=0.1, **{key: 0.1})
        with pytest.raises(ValueError, match=f"{key}: got 0; expected a finite number above 0"):
            integral(lambda t: 0.0, **{key: 0})
    assert np.diff(integral({"kind": "sine", "frequency": 0.01}, max_step=0.5).t).max() <= 0.5 * (1 + 1e-12)


def test_equal_phases_of_a_sine_are_not_all_that_is_seen():
    # All stages of dopri5 in a step of one delay, 45 periods, fall on zeros of the sine.
    groups = [
        {"name": "in", "places": [[0.0]], "clamped": {"kind": "sine", "frequency": 45.0}},
        {"name": "out", "places": [[1.0]]},
    ]
    ready = configure({"dimension": 1, "delay": 1.0, "kernel": {"profile": "gaussian", "length": 1e9},
                       "operators": {"D": 1.0}, "groups": groups, "strengths": {"in->out": 1.0},
                       "run": {"until": 2.0, "rtol": 1e-4, "atol": 1e-6}})  # fmt: skip
    solution = solve(ready.system, ready.span, **ready.options, t_eval=[1 + 0.5 / 45])
    # q' = sin(90 pi (t - 1)) from 1 on: half a period later its integral is 2 / (90 pi). A few steps of 1e-4 |q| each.
    assert abs(solution.q[-1, 1, 0] - 1.0 - 1 / (45 * np.pi)) < 1e-3


STEP = {
    "delay": 1.0,
    "dimension": 2,
    "kernel": {"softening": 0.1},
    "operators": {"A": 1.0, "activation": "tanh"},
    "groups": [
        {"name": "input", "neurons": 3, "clamped": {"kind": "step", "at": 0.73}},
        {"name": "output", "neurons": 3},
    ],
    "strengths": {"input->output": 0.3},
    "run": {"until": 3.0},
}


@pytest.mark.parametrize("at", [0.73, 1.0, 1.0 + 2**-52, 2.0, 0.3])
@pytest.mark.parametrize("delay", [1.0, 0.1])
@pytest.mark.parametrize("run", [{}, {"method": "rk4", "dt": 0.07}])
def test_a_clamp_that_jumps_arrives_one_delay_later(at, delay, run):
    config = {**STEP, "delay": delay, "run": {"until": 3.5, **run}}
    config["groups"] = [{**STEP["groups"][0], "clamped": {"kind": "step", "at": at}}, STEP["groups"][1]]
    ready = configure(config)
    solution = solve(ready.system, ready.span, **ready.options, dense_output=True)
    assert solution.success, solution.message
    E = lambda t, left=False: solution.sol.emitted(t, left=left)[-1, 0]  # noqa: E731
    at = solution.t[np.argmin(abs(solution.t - at))]  # t0 + k eps, where that differs by rounding
    assert E(at, left=True) == 0.0 and np.array_equal(solution.E[:, 0, 0], (solution.t >= at).astype(float))
    # Nothing moves, so what arrives is constant on each side; 0 exactly, the rest to the rounding of an interpolation.
    arrives = solution.t[np.argmin(abs(solution.t - at - delay))]
    assert abs(arrives - at - delay) < 1e-14
    assert E(arrives, left=True) == E(0.0) == 0.0 and E(arrives) == pytest.approx(E(3.5), rel=1e-14) and E(3.5) > 0.1


# Fitted orders. The exact solutions are SciPy's, piece by piece between the breaking points.
DELAY, END = 0.8, 2.4
GAIN = Kernel("gaussian", length=1.3)
STEPS = {1: (96, 192, 384), 2: (32, 64, 128), 3: (24, 48, 96), 4: (16, 32, 64), 5: (96, 128, 192)}
JUMP, PULSED = 0.3137, {"kind": "pulse", "at": 0.5, "width": 0.3, "height": 2.0}
SAMPLED = {"kind": "samples", "times": [0.1, 0.45, 0.6, 0.9], "values": [0.0, 1.0, -1.0, 0.5]}
SIGNALS = {"step": {"kind": "step", "at": JUMP, "height": 1.5}, "pulse": PULSED, "samples": SAMPLED}
BREAKS = {"step": [JUMP], "pulse": [], "samples": SAMPLED["times"]}
ON_GRID = {"at a delay": DELAY, "at a step": 0.5 * DELAY}  # where steps end anyway
SIGNALS |= {name: {**SIGNALS["step"], "at": at} for name, at in ON_GRID.items()}
BREAKS |= {name: [at] for name, at in ON_GRID.items()}


@cache
def problem(given, signal, kind, rate=4.0):
    """A system in which a drive or a clamp is given, and the exact places at the end.

    Places rotate at a rate that decides a method's own error, beside which that of a lost order would be large.
    """
    generator = np.random.default_rng(5)
    q0 = 1.2 * generator.uniform(-1, 1, (3, 2))
    A, B, C, D, E, F = (g * generator.standard_normal((2, 2)) for g in (0.5, 0.6, 0.3, 0.9, 0.3, 0.4))
    F = F + np.array([[-0.4, -rate], [rate, -0.4]])
    if kind == "retarded":
        A, C = np.zeros((2, 2)), np.zeros((2, 2))
    if kind == "instant":
        A, B, C = 0.3 * A, 0.5 * B, 0.3 * C
    wave = waveform(SIGNALS[signal], "signal", 3 if given == "drive" else 1, 2)
    options = {"drive": wave} if given == "drive" else {"clamped": {1: wave}, "groups": [0, 0, 1]}
    if given == "clamp":
        options["strengths"] = np.ones((2, 2))
    delay = 0.0 if kind == "instant" else DELAY
    matrices = dict(zip("ABCDEF", (A, B, C, D, E, F), strict=True))
    system = System(q0, kernel=GAIN, operators=Operators(**matrices), delay=delay, **options)
    return system, exact(system, matrices, wave, BREAKS[signal], q0)


def exact(system, matrices, wave, breaks, q0):
    """Places at the end: intervals of a delay side by side, as in conftest, piece by piece between breaking points."""
    A, B, C, D, E, F = (matrices[name] for name in "ABCDEF")
    block, delay = np.linalg.inv(np.block([[np.eye(2), -C], [-E, np.eye(2)]])), system.delay
    clamped = bool(system.clamped)
    n, d = q0.shape
    rest = q0 @ B.T
    if clamped:
        rest[2] = wave(0.0)[0]

    def respond(R, q, given, t, within):
        right = np.concatenate([R @ A.T + q @ B.T, R @ D.T + q @ F.T], axis=1)
        both = right @ block.T
        sent = both[:, :2].copy()
        if clamped:
            sent[2] = given(t, within)[0]
            both[2, 2:] = R[2] @ D.T + sent[2] @ E.T + q[2] @ F.T
        return sent, both[:, 2:]

    def coupling(sources, targets):
        r = np.sqrt(((targets[:, None] - sources[None]) ** 2).sum(-1))
        Phi = GAIN.value(r)
        np.fill_diagonal(Phi, 0.0)
        return Phi

    def drive(t, within):
        return 0.0 if clamped else wave(t, within)

    def instant(t, q, within):
        # R = I + Phi E(R) is linear: E = sent(0) + a R.
        Phi, size = coupling(q, q), 2 * n
        base, _ = respond(np.zeros((n, 2)), q, wave, t, within)
        unit = np.eye(size).reshape(size, n, 2)
        a = np.stack([(respond(u, q, wave, t, within)[0] - base).ravel() for u in unit], axis=1)
        matrix = np.eye(size) - np.kron(Phi, np.eye(2)) @ a
        R = np.linalg.solve(matrix, (drive(t, within) + Phi @ base).ravel()).reshape(n, 2)
        return respond(R, q, wave, t, within)[1]

    blocks = 1 if not delay else round(END / delay)
    length = END if not delay else delay
    starts = [q0]
    for k in range(blocks):
        inner = sorted({b - j * length for b in breaks for j in range(k + 1) if 0 < b - j * length < length})
        y = np.concatenate(starts).ravel()
        for left, right in zip([0.0, *inner], [*inner, length], strict=True):

            def velocities(theta, y, k=k, middle=0.5 * (left + right)):
                past_q, past_E, out = q0, rest, []
                for j, q in enumerate(y.reshape(k + 1, n, d)):
                    t, within = theta + j * length, middle + j * length
                    if not delay:
                        out.append(instant(t, q, within))
                        continue
                    R = coupling(past_q, q) @ past_E + drive(t, within)
                    past_E, dq = respond(R, q, wave, t, within)
                    past_q = q
                    out.append(dq)
                return np.concatenate(out).ravel()

            y = solve_ivp(velocities, (left, right), y, "DOP853", rtol=1e-13, atol=1e-14).y[:, -1]
        starts.append(y.reshape(k + 1, n, d)[-1])
        starts = [q0, *y.reshape(k + 1, n, d)]
    return starts[-1]


GIVEN = [("drive", "step"), ("clamp", "step"), ("clamp", "pulse"), ("drive", "samples")]
FULL_ORDER = [(*given, name) for given in GIVEN for name in TABLEAUX]
FULL_ORDER += [
    (given, signal, name) for given in ("drive", "clamp") for signal in ON_GRID for name in ("rk4", "dopri5")
]


@pytest.mark.parametrize("kind", ["instant", "retarded", "neutral"])
@pytest.mark.parametrize(("given", "signal", "name"), FULL_ORDER)
def test_order_is_kept_across_breaking_points(given, signal, kind, name, reference):
    order, counts, rate = METHODS[name].order, STEPS[METHODS[name].order], 4.0
    if order == 5:  # faster, so that errors are above rounding; of a drive at once the leading ones would cancel
        rate, counts = (3.0, (32, 48, 64)) if kind == "instant" and given == "drive" else (6.0, counts)
    system, right = problem(given, signal, kind, rate)
    steps = [DELAY / n for n in counts]
    errors = []
    for dt in steps:
        solution = solve(system, (0.0, END), method=reference.fixed(name), dt=dt, record=LastOnly())
        errors.append(np.linalg.norm(solution.q[-1] - right))
    fitted = reference.slope(steps, errors)
    print(f"{given} {signal} {kind} {name}: slope {fitted:.3f}, errors {errors}")
    # A break that is not stepped on costs one order at least. More than the order is seen, up to 5.8, where the leading
    # error is small beside the next.
    assert fitted > order - 0.1


@pytest.mark.parametrize("kind", ["instant", "retarded", "neutral"])
@pytest.mark.parametrize("options", [{"rtol": 1e-7}, {"method": "rk4", "dt": 0.05}])
@pytest.mark.parametrize("signal", ["step", "samples"])
def test_a_run_goes_on_across_breaking_points_bit_for_bit(signal, kind, options):
    system, _ = problem("drive", signal, kind)
    states = []
    whole = solve(system, (0.0, END), checkpoint=lambda t, state, bound: states.append(state()), **options)
    assert all(np.any(abs(whole.t - b) < 1e-15) for b in BREAKS[signal])
    at = [np.flatnonzero(whole.t == t)[0] for b in BREAKS[signal] for t in whole.t if abs(t - b) < 1e-15]
    for k in sorted({*at, *(k - 1 for k in at), *range(1, len(states), 1 + len(states) // 5)}):
        state = states[k - 1]
        rest = solve(system, (0.0, END), resume=state, record=LastOnly(), **options)
        assert np.array_equal(rest.q[-1], whole.q[-1]) and np.array_equal(rest.E[-1], whole.E[-1])
        assert rest.naccepted == len(whole.t) - 1 - np.flatnonzero(whole.t == state["t"])[0]


def test_the_same_compiled_and_array_by_array(monkeypatch):
    times, values = np.array(SAMPLED["times"]), np.random.default_rng(1).standard_normal((4, 4, 1))
    generator = np.random.default_rng(2)
    system = System(generator.uniform(-1, 1, (4, 3)), kernel=Kernel(softening=0.4), drive=(times, values), delay=0.37,
                    operators=Operators(A=0.2, B=np.ones((1, 3)), D=np.ones((3, 1)), F=-1.0))  # fmt: skip
    for options in ({"method": "rk4", "dt": 0.05}, {"method": "dopri5"}):
        ours = solve(system, (0.0, 2.0), **options)
        monkeypatch.setattr(_machine, "is_small", lambda system: False)
        other = solve(system, (0.0, 2.0), **options)
        monkeypatch.undo()
        assert ours.naccepted == other.naccepted
        # Rounding of sums of 4 through some 50 steps of a motion of rate about 1.
        np.testing.assert_allclose(ours.q[-1], other.q[-1], rtol=0, atol=1e-11)
        # Known to the neutral equation for ever: every sample and echo.
        wanted = [t + k * 0.37 for t in times for k in range(5) if t + k * 0.37 < 2.0]
        assert all(abs(ours.t - t).min() < 1e-14 for t in wanted)


def test_samples_on_a_line_are_no_kinks():
    times = np.linspace(0.0, 10.0, 201)
    line = integral(samples(times, 3.0 * times - 1.0))
    assert line.naccepted < 30 and abs(line.q[-1, 0, 0] - 140.0) < 1e-9
    bent = integral(samples(times, np.abs(times - 5.0)))
    assert bent.nrejected == 0 and np.any(bent.t == 5.0) and abs(bent.q[-1, 0, 0] - 25.0) < 1e-9


def test_sampled_drives_are_landed_on_without_refusals():
    times = np.linspace(0.0, 10.0, 101)
    solution = integral(samples(times, np.random.default_rng(0).standard_normal(101)))
    exact = np.random.default_rng(0).standard_normal(101)
    assert solution.nrejected == 0 and solution.naccepted <= 110  # linear in between: one step each
    assert abs(solution.q[-1, 0, 0] - 0.1 * (exact[1:] + exact[:-1]).sum() / 2) < 1e-12


def test_the_grid_of_fixed_steps_goes_on():
    group = {"places": [[0.0]], "drive": {"kind": "step", "at": 0.73}}
    config = {
        "dimension": 1,
        "operators": {"D": 1.0},
        "groups": [group],
        "run": {"until": 1.0, "method": "rk4", "dt": 0.1},
    }
    ready = configure(config)
    t = solve(ready.system, ready.span, **ready.options).t
    np.testing.assert_allclose(t, [0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.73, 0.8, 0.9, 1.0], rtol=0, atol=1e-15)
    ready = configure({**config, "delay": 0.25})
    t = solve(ready.system, ready.span, **ready.options).t
    wanted = [0, 0.1, 0.2, 0.25, 0.35, 0.45, 0.5, 0.6, 0.7, 0.73, 0.75, 0.85, 0.95, 0.98, 1.0]
    np.testing.assert_allclose(t, wanted, rtol=0, atol=1e-15)
    part = solve(ready.system, (0.0, 0.37), **ready.options)
    rest = solve(ready.system, (0.0, 1.0), **ready.options, resume=part.state)
    np.testing.assert_allclose(rest.t, [0.45, 0.5, 0.6, 0.7, 0.73, 0.75, 0.85, 0.95, 0.98, 1.0], rtol=0, atol=1e-15)


@pytest.mark.parametrize("name", TABLEAUX)
@pytest.mark.parametrize(("earlier", "later"), [(0.5, 0.8), (0.8, 0.5), (0.0, 0.8), (0.3, 0.3)])
def test_an_earlier_run_of_another_delay_is_a_history_of_full_order(earlier, later, name, reference):
    # No motion, no softening by the equation: E = 0.9 R, jumps are kept and q integrates them: exact sums are known.
    times, values = np.array([0.0, 1.0]), np.array([[[1.0], [0.5]], [[1.0], [0.5]]])
    where = np.array([[0.0], [1.0]])
    kernel, groups = Kernel("gaussian", length=1e9), [0, 1]
    step = waveform({"kind": "step", "at": 0.61, "height": 1.0, "offset": 1.0}, "signal", 1, 1)
    table = np.array([[0.0, 1.0], [0.0, 0.0]])
    first = System(where, kernel=kernel, groups=groups, strengths=table, clamped={0: step}, delay=earlier,
                   operators=Operators(A=0.9, D=1.0, F=-0.3), drive=(times, values))  # fmt: skip
    before = solve(first, (0.0, 1.0), dense_output=True, rtol=1e-13, atol=1e-13)
    second = System(before.q[-1], kernel=kernel, groups=groups, strengths=table, delay=later, drive=(times, values),
                    operators=Operators(A=0.9, D=1.0, F=-0.3))  # fmt: skip
    fine = solve(second, (1.0, 2.5), history=before, rtol=1e-13, atol=1e-13)
    landed = 0.61 + later
    if 1.0 - later < 0.61:
        assert abs(fine.t - landed).min() < 1e-14
    errors, steps = [], [0.1, 0.05, 0.025]
    for dt in steps:
        run = solve(second, (1.0, 2.5), history=before, method=reference.fixed(name), dt=dt)
        errors.append(np.linalg.norm(run.q[-1] - fine.q[-1]))
    if errors[-1] > 1e-12:
        assert abs(reference.slope(steps, errors) - METHODS[name].order) < 0.15, errors


def test_signals_of_parts_know_what_their_parts_know():
    wave = (
        waveform({"kind": "step", "at": 2.0}, "a", 1, 1),
        waveform({"kind": "pulse", "at": 1.0, "width": 0.1}, "b", 1, 1),
    )
    whole = SignalsOfParts([(slice(0, 1), wave[0]), (slice(1, 2), wave[1])], 2, 1)
    assert whole.structure.breaks.tolist() == [[2.0, 0.0]] and whole.structure.pulses == ((1.0, 0.1),)
    assert whole(2.0, 1.9)[0, 0] == 0.0 and whole(2.0, 2.1)[0, 0] == 1.0 == whole(2.0)[0, 0]


def listed(breaks, end):
    """All breaking points up to a time, as a run goes through them."""
    found = [(breaks.window.times[0], *breaks.window.pasts[0])] if breaks.delay else []
    while breaks.window.times[breaks.current[0] + 1] <= end:
        breaks.current[0] += 1
        place = breaks.current[0]
        found.append((breaks.window.times[place], *breaks.window.pasts[place]))
        breaks.extend()
    return np.array(found)


def test_echoes_of_neutral_equations_never_end_and_others_do():
    known = np.array([[0.73, 0.0], [1.21, 1.0]])
    times = listed(BreakingPoints(0.0, 1.0, known, order=4, neutral=True), 1000.5)[:, 0]
    wanted = np.sort([*np.arange(1001.0), *(0.73 + np.arange(1000)), *(1.21 + np.arange(1000))])
    np.testing.assert_allclose(times, wanted, rtol=0, atol=0)
    times = listed(BreakingPoints(0.0, 1.0, known, order=4), 1000.5)[:, 0]
    # A jump of what is sent is felt in R with derivatives 0 to 3, a kink with 1 to 3.
    wanted = np.sort([*np.arange(1001.0), *(0.73 + np.arange(5)), *(1.21 + np.arange(4))])
    np.testing.assert_allclose(times, wanted, rtol=0, atol=0)


def test_breaking_points_that_rounding_parts_are_one():
    known = np.array([[0.3, 0.0], [0.7, 1.0], [0.1 + 0.2, 0.0], [2.1, 0.0]])
    found = listed(BreakingPoints(0.0, 0.1, known, order=3, neutral=True), 2.95)
    np.testing.assert_allclose(found[:, 0], 0.1 * np.arange(30), rtol=0, atol=1e-15)
    np.testing.assert_allclose(found[1:, 1:], found[:-1, [0, 0]], rtol=0, atol=0)  # what was one delay before
    found = listed(
        BreakingPoints(1e6, 0.25, np.array([[1e6 + 0.1, 0.0], [1e6 + 0.85, 0.0]]), order=3, neutral=True), 1e6 + 2
    )
    np.testing.assert_allclose(np.diff(found[:, 0]), np.tile([0.1, 0.15], 8), rtol=0, atol=2e-9)


@pytest.mark.parametrize("delay", [0.0, 0.7])
@pytest.mark.parametrize("levels", [(0.0, 1.0), (1.0, 0.0)])
def test_of_breaking_points_that_are_one_the_lowest_derivative_counts(delay, levels):
    known = np.stack([[1.0, np.nextafter(1.0, 2.0)], levels], axis=1)
    breaks = BreakingPoints(0.0, delay, known, order=4)
    found = dict(breaks.until(1.2).tolist())
    assert found[1.0] == 0 and len([t for t in found if 0.9 < t < 1.1]) == 1


@pytest.mark.parametrize("neutral", [True, False])
@pytest.mark.parametrize("start", [0.0, -3.3])
def test_a_state_of_breaking_points_goes_on_as_if_nothing_had_been(neutral, start):
    known = np.stack([start + np.random.default_rng(4).uniform(0, 20, 30), np.tile([0.0, 1.0], 15)], axis=1)
    make = lambda: BreakingPoints(start, 0.7, known, order=5, neutral=neutral)  # noqa: E731
    whole = listed(make(), start + 25)
    run = make()
    listed(run, start + 11.3)
    again = make()
    again.restore(run.state(), start + 11.3)
    place = again.current[0]
    first = [(again.window.times[place], *again.window.pasts[place])]
    rest = listed(again, start + 25)
    assert np.array_equal(np.concatenate([first, rest[1:]]), whole[-len(rest) :])


def test_samples_of_a_line_have_no_kinks():
    """What bends by no more than the rounding of its values and times is straight: also where the line meets 0."""
    generator = np.random.default_rng(5)
    for _ in range(200):
        times = np.sort(generator.uniform(0, 10, 9)) + generator.choice([0.0, 1e3])
        slope, through = 10.0 ** generator.uniform(-3, 3), generator.integers(9)
        values = (slope * (times - times[through]))[:, None]
        assert kinked(times, values)[1:-1].sum() == 0
        values[4] += 1e-6 * slope
        assert kinked(times, values)[4]
