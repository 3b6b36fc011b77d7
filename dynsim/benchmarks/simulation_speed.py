"""Integration: all pairs without delay against SciPy, and a small delay system against jitcdde and ddeint."""

from __future__ import annotations

import time

import numpy as np

from ._contestants import ratio, rounds_of

N, DELAY, END = 20, 0.5, 10.0


def measure(rounds, full):
    """RK4 with 5,000 neurons, d = 3, float64, seconds per evaluation; a delay system to its end; steps alone."""
    pairs = rounds_of({name: (__name__, name, {"n": 5_000}) for name in ("rk4", "scipy_numpy")}, rounds)
    rows = [
        {"case": "N = 5000, no delay, seconds per evaluation", **pairs,
         "times_faster_than_scipy": ratio(pairs["scipy_numpy"], pairs["rk4"])}
    ]  # fmt: skip
    for peer, arguments in (("jitcdde", {}), ("ddeint", {"points": 6401 if full else 1601})):
        theirs = rounds_of({peer: (__name__, peer, arguments)}, rounds)
        # At equal accuracy: ours is as loose as still keeps the peer's error.
        target = theirs[peer].get("error")
        if target is None:
            rows.append({"case": f"N = {N}, delay {DELAY}, to t = {END:g}", **theirs})
            continue
        ours = rounds_of({"ours": (__name__, "ours_delay", {"target": target})}, rounds)
        rows.append(
            {"case": f"N = {N}, delay {DELAY}, to t = {END:g}, at equal accuracy", **ours, **theirs,
             "our_error": ours["ours"]["error"], f"error_of_{peer}": target,
             f"times_faster_than_{peer}": ratio(theirs[peer], ours["ours"])}
        )  # fmt: skip
    steps = {case: (__name__, "overhead", {"case": case}) for case in OVERHEAD}
    return {"rows": [*rows, {"case": "overhead, seconds per step", **rounds_of(steps, rounds)}]}


def _system(n, delay=0.0):
    """q' = -q / 10 - R / n, R_i = sum_j q_j phi(q_j, q_i): nothing echoes, so SciPy can do it as well."""
    from dynsim.engine import Operators, System
    from dynsim.kernels import Kernel

    q = np.random.default_rng(0).normal(size=(n, 3))
    return System(
        q, kernel=Kernel(softening=0.1), operators=Operators(B=1.0, D=-1.0 / n, F=-0.1), delay=delay, signals=3
    )


def rk4(n):
    """`solve` with rk4."""
    from dynsim.engine import solve

    system = _system(n)
    solve(system, (0.0, 0.01), method="rk4", dt=0.01)
    began = time.perf_counter()
    solution = solve(system, (0.0, 0.05), method="rk4", dt=0.01)
    return {"seconds": (time.perf_counter() - began) / solution.nfev, "evaluations": solution.nfev}


def scipy_numpy(n):
    """solve_ivp over a NumPy right-hand side that broadcasts over all pairs."""
    from scipy.integrate import solve_ivp

    q0 = _system(n).q

    def rhs(t, y):
        q = y.reshape(n, 3)
        r2 = ((q[:, None] - q) ** 2).sum(axis=2) + 0.01
        phi = 1 / np.sqrt(r2)
        np.fill_diagonal(phi, 0.0)
        return (-0.1 * q - phi @ q / n).ravel()

    began = time.perf_counter()
    solution = solve_ivp(rhs, (0.0, 0.01), q0.ravel(), method="RK45", first_step=0.01)
    return {"seconds": (time.perf_counter() - began) / solution.nfev, "evaluations": int(solution.nfev)}


def _reference():
    from dynsim.engine import LastOnly, solve

    return solve(_system(N, DELAY), (0.0, END), rtol=1e-11, atol=1e-13, record=LastOnly()).q[-1]


def _outcome(seconds, q):
    return {"seconds": seconds, "error": float(np.abs(q - _reference()).max())}


def ours_delay(target):
    """`solve` with dopri5 at the loosest of a row of tolerances that keeps an error; the best of five runs."""
    from dynsim.engine import LastOnly, compiled_at_once, solve

    system, reference = _system(N, DELAY), _reference()
    with compiled_at_once():
        for rtol in 10.0 ** np.arange(-2, -12, -0.5):
            options = {"rtol": rtol, "atol": 1e-2 * rtol, "record": LastOnly()}
            error = float(np.abs(solve(system, (0.0, END), **options).q[-1] - reference).max())
            if error <= target:
                break
        seconds = min(solve(system, (0.0, END), **options).wall_time for _ in range(5))
    return {"seconds": seconds, "error": error, "rtol": rtol}


def jitcdde():
    """Its C code, compiled before the clock starts, at the same tolerance."""
    import symengine
    from jitcdde import jitcdde, t, y

    q0 = _system(N, DELAY).q
    equations = []
    for i in range(N):
        for k in range(3):
            received = 0
            for j in range(N):
                if j != i:
                    r2 = sum((y(3 * j + m, t - DELAY) - y(3 * i + m)) ** 2 for m in range(3)) + 0.01
                    received += y(3 * j + k, t - DELAY) / symengine.sqrt(r2)
            equations.append(-0.1 * y(3 * i + k) - received / N)
    dde = jitcdde(equations, max_delay=DELAY, verbose=False)
    dde.compile_C(simplify=False, do_cse=False)
    dde.set_integration_parameters(rtol=1e-6, atol=1e-8)
    dde.constant_past(q0.ravel())
    began = time.perf_counter()
    dde.step_on_discontinuities()
    q = dde.integrate(END)
    return _outcome(time.perf_counter() - began, np.reshape(q, (N, 3)))


def ddeint(points):
    """Its own loop over a NumPy right-hand side; it interpolates the past linearly, so points are accuracy."""
    from ddeint import ddeint

    q0 = _system(N, DELAY).q.ravel()

    def rhs(Y, t):
        q, past = Y(t).reshape(N, 3), Y(t - DELAY).reshape(N, 3)
        phi = 1 / np.sqrt(((past - q[:, None]) ** 2).sum(axis=2) + 0.01)
        np.fill_diagonal(phi, 0.0)
        return (-0.1 * q - phi @ past / N).ravel()

    began = time.perf_counter()
    q = ddeint(rhs, lambda t: q0, np.linspace(0.0, END, points))[-1]
    return _outcome(time.perf_counter() - began, q.reshape(N, 3))


# What is asked of a step: nothing, a frame, a call of Python; rk4 unless said otherwise.
OVERHEAD = ("last", "every", "callback", "delay", "adaptive delay")


def overhead(case):
    """Seconds per step where the equations cost next to nothing: one neuron, or two with a delay."""
    from dynsim.engine import EveryStep, LastOnly, Operators, System, compiled_at_once, solve

    system = System(np.ones((1, 1)), operators=Operators(F=-1.0))
    if "delay" in case:
        system = System([[1.0], [3.0]], operators=Operators(B=1.0, D=0.1, F=-1.0), delay=0.5)
    options = {"record": EveryStep() if case == "every" else LastOnly()}
    options |= {"rtol": 1e-8} if "adaptive" in case else {"method": "rk4", "dt": 0.01}
    if case == "callback":
        options["callback"] = lambda t, q: False
    with compiled_at_once():
        solve(system, (0.0, 1.0), **options)
        runs = [solve(system, (0.0, 20.0), **options) for _ in range(3)]
    return {"seconds": min(run.wall_time / (run.naccepted + run.nrejected) for run in runs)}
