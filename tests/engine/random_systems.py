"""Random systems by the engine and by a reference that shares nothing with it but the equations.

    python tests/engine/random_systems.py --systems 500 --seed 0

The reference is NumPy written out from (1') to (3), integrated by SciPy's DOP853: without a delay R is iterated to its
fixed point in every evaluation; with one, the intervals of a delay are integrated side by side, so that nothing is
interpolated. Every jump and kink of a given signal, and its echoes, end a piece. System n of a seed is always the same.
"""

import argparse
import time

import numpy as np
from scipy.integrate import solve_ivp
from scipy.special import erf, expit

from dynsim.engine import LastOnly, Operators, System, configure, solve
from dynsim.kernels import Kernel

PROFILES = {
    "inverse": lambda r, c, length: c / r,
    "linear": lambda r, c, length: c * r,
    "gaussian": lambda r, c, length: c * np.exp(-((r / length) ** 2) / 2),
    "exponential": lambda r, c, length: c * np.exp(-r / length),
    "inverse-square": lambda r, c, length: c / r**2,
    "c/(1+r**2)": lambda r, c, length: c / (1 + r**2),
}
ACTIVATIONS = {
    "identity": lambda x: x,
    "tanh": np.tanh,
    "sigmoid": expit,
    "softplus": lambda x: np.logaddexp(0, x),
    "silu": lambda x: x * expit(x),
    "gelu": lambda x: 0.5 * x * (1 + erf(x / np.sqrt(2))),
    "sin": np.sin,
}
RTOL, ATOL = 1e-10, 1e-12
# Errors of 1e-10 in each of some hundred steps of a motion that, over these spans, spreads them by less than a hundred.
TOLERANCE = 1e-6


class Signal:
    """A given signal (n, s): what the engine is told, its value on a side of t, and its jumps and kinks."""

    def __init__(self, generator, n, s, end):
        kind = generator.choice(["constant", "sine", "function", "step", "pulse", "samples"])
        size = 0.5 * generator.standard_normal((n, s))
        at, self.breaks = float(generator.uniform(0.1, 0.9) * end), []
        if kind == "constant":
            self.value, self.told = lambda t, within: size, size
        elif kind == "function":
            self.value = lambda t, within: size * np.cos(2 * t + 0.3)
            self.told = lambda t: size * np.cos(2 * t + 0.3)
        elif kind == "samples":
            times = np.sort(generator.uniform(0, end, 4))
            values = 0.5 * generator.standard_normal((4, n, s))
            flat = values.reshape(4, -1)
            self.value = lambda t, within: np.array([np.interp(t, times, column) for column in flat.T]).reshape(n, s)
            self.told, self.breaks = (times, values), times.tolist()
        else:
            height, offset = 0.5 * generator.standard_normal(2)
            table = {"kind": kind, "height": float(height), "offset": float(offset)}
            if kind == "sine":
                table["frequency"] = 0.4
                number = lambda t, within: offset + height * np.sin(2 * np.pi * 0.4 * t)  # noqa: E731
            elif kind == "step":
                table["at"], self.breaks = at, [at]
                number = lambda t, within: offset + height * (within > at)  # noqa: E731
            else:
                table.update(at=at, width=0.2)
                number = lambda t, within: offset + height * np.exp(-(((t - at) / 0.2) ** 2) / 2)  # noqa: E731
            self.value, self.told = lambda t, within: np.full((n, s), number(t, within)), table
        self.name = str(kind)


class Problem:
    """System number `number` of a seed: `system`, and what the reference needs."""

    def __init__(self, seed, number):
        generator = np.random.default_rng([seed, number])
        self.n, self.d, self.s, self.copies = (int(generator.integers(1, high)) for high in (7, 4, 3, 4))
        n, d, s, copies = self.n, self.d, self.s, self.copies
        self.delay = float(generator.choice([0.0, 0.0, 0.3, 0.45]))
        self.intervals = 3
        self.end = self.delay * self.intervals or 1.2
        self.q0 = generator.uniform(-1, 1, (copies, n, d))
        count = int(generator.integers(1, 4))
        self.groups = generator.integers(0, count, n)
        self.groups[generator.integers(n)] = count - 1
        self.strengths = generator.uniform(-1, 1, (copies, count, count))
        profile = str(generator.choice(list(PROFILES)))
        metric, scale, softening, length = str(generator.choice(["l2", "l1"])), 0.3, 0.4, 0.8
        self.kernel = Kernel(profile, metric=metric, scale=scale, softening=softening, length=length)
        self.metric, self.softening = metric, softening
        self.profile = lambda r: PROFILES[profile](r, scale, length)
        self.act_name = str(generator.choice(list(ACTIVATIONS)))
        shapes = {"A": (s, s), "B": (s, d), "C": (s, d), "D": (d, s), "E": (d, s), "F": (d, d)}
        each = bool(generator.integers(2))
        self.operators = {
            name: generator.uniform(-0.3, 0.3, (n, *shape) if each else shape) * bool(generator.random() < 0.8)
            for name, shape in shapes.items()
        }
        drive = Signal(generator, n, s, self.end) if generator.random() < 0.5 else None
        self.clamped = {}
        for group in range(count):
            members = int((self.groups == group).sum())
            if generator.random() < 0.25 and members:
                self.clamped[group] = Signal(generator, members, s, self.end)
        self.drive = drive
        self.breaks = sorted(b for signal in (drive, *self.clamped.values()) if signal for b in signal.breaks)
        self.system = System(
            self.q0 if copies > 1 else self.q0[0], kernel=self.kernel, delay=self.delay, signals=s, groups=self.groups,
            operators=Operators(**self.operators, activation=self.act_name), strengths=self.strengths,
            drive=None if drive is None else _given(drive.told, n, s),
            clamped={g: _given(signal.told, int((self.groups == g).sum()), s) for g, signal in self.clamped.items()},
        )  # fmt: skip
        names = [self.kernel.profile, metric, self.act_name, f"delay {self.delay}", f"copies {copies}"]
        names += [f"drive {signal.name}" for signal in (drive,) if signal]
        names += [f"clamp {signal.name}" for signal in self.clamped.values()]
        self.name = f"seed {seed}, number {number}: " + ", ".join(names)

    def received(self, sources, E, targets):
        """(1) without the drive, from sent signals and places, pair by pair."""
        R = np.zeros((self.n, self.s))
        for h in range(self.copies):
            for i in range(self.n):
                for j in range(self.n):
                    if i == j:
                        continue
                    x = sources[h, j] - targets[h, i]
                    rho = np.sqrt((x**2).sum()) if self.metric == "l2" else np.abs(x).sum()
                    phi = self.profile(np.sqrt(rho**2 + self.softening**2))
                    R[i] += self.strengths[h, self.groups[j], self.groups[i]] * phi * E[j]
        return R

    def respond(self, R, q, t, within):
        """E and q' (H, N, d) from R and q: (2) and (3), one neuron after the other, as one linear system each."""
        E, dq = np.zeros((self.n, self.s)), np.zeros_like(q)
        for i in range(self.n):
            A, B, C, D, G, F = (self._operator(name, i) for name in "ABCDEF")
            total = q[:, i].sum(axis=0)
            clamp = self.clamped.get(int(self.groups[i]))
            if clamp is None:
                # E = act(A R) + B Q + C Q', Q' = H D R + H G E + F Q.
                block = np.block([[np.eye(self.s), -C], [-self.copies * G, np.eye(self.d)]])
                right = np.concatenate([
                    ACTIVATIONS[self.act_name](A @ R[i]) + B @ total, self.copies * D @ R[i] + F @ total
                ])  # fmt: skip
                E[i] = np.linalg.solve(block, right)[: self.s]
            else:
                member = int(np.flatnonzero(np.flatnonzero(self.groups == self.groups[i]) == i)[0])
                E[i] = clamp.value(t, within)[member]
            for h in range(self.copies):
                dq[h, i] = D @ R[i] + G @ E[i] + F @ q[h, i]
        return E, dq

    def _operator(self, name, i):
        value = self.operators[name]
        return value[i] if value.ndim == 3 else value

    def given(self, t, within):
        """I(t)."""
        return 0.0 if self.drive is None else self.drive.value(t, within)

    def at_once(self, q, t, within):
        """E and q' without a delay: R = I + Phi E(R), iterated."""
        R = np.zeros((self.n, self.s))
        for _ in range(500):
            E, _ = self.respond(R, q, t, within)
            new = self.given(t, within) + self.received(q, E, q)
            change = np.abs(new - R).max()
            R = new
            if change <= 1e-15 * (1 + np.abs(R).max()):
                return self.respond(R, q, t, within)
        return None, None

    def at_rest(self):
        """E before the start: that of no received signal and no motion; clamped ones have theirs at the start."""
        E = np.zeros((self.n, self.s))
        for i in range(self.n):
            E[i] = ACTIVATIONS[self.act_name](np.zeros(self.s)) + self._operator("B", i) @ self.q0[:, i].sum(axis=0)
        for group, signal in self.clamped.items():
            E[self.groups == group] = signal.value(0.0, 0.0)
        return E

    def exact(self):
        """Places at the end; None where the iteration does not converge."""
        rest, starts, length = self.at_rest(), [self.q0], self.delay or self.end
        for k in range(self.intervals if self.delay else 1):
            cuts = sorted({b - j * length for b in self.breaks for j in range(k + 1) if 0 < b - j * length < length})
            y = np.concatenate([q.ravel() for q in starts])
            for left, right in zip([0.0, *cuts], [*cuts, length], strict=True):
                if right - left < 1e-13:
                    continue

                def velocities(theta, y, k=k, middle=0.5 * (left + right)):
                    past_q, past_E, out = self.q0, rest, []
                    for j, q in enumerate(y.reshape(k + 1, *self.q0.shape)):
                        t, within = theta + j * length, middle + j * length
                        if not self.delay:
                            return self.at_once(q, t, within)[1].ravel()
                        R = self.given(t, within) + self.received(past_q, past_E, q)
                        past_E, dq = self.respond(R, q, t, within)
                        past_q = q
                        out.append(dq.ravel())
                    return np.concatenate(out)

                y = solve_ivp(velocities, (left, right), y, "DOP853", rtol=1e-11, atol=1e-13).y[:, -1]
            starts = [self.q0, *y.reshape(k + 1, *self.q0.shape)]
        return starts[-1]

    def difference(self):
        """Largest difference of places at the end, relative to 1 + their size; None where there is no reference."""
        if not self.delay and self.at_once(self.q0, 0.0, 1e-9)[0] is None:
            return None
        options = {"rtol": RTOL, "atol": ATOL, "record": LastOnly(), "method": ["dopri5", "tsit5"][self.n % 2]}
        solution = solve(self.system, (0.0, self.end), **options)
        if not solution.success:
            return np.inf
        right = self.exact()
        return float(np.abs(solution.q[-1].reshape(right.shape) - right).max() / (1 + np.abs(right).max()))


def _given(told, n, s):
    """A signal as System takes it; those that are described by a table as a configuration makes them."""
    if not isinstance(told, dict):
        return told
    config = {"dimension": 1, "signals": s, "groups": [{"neurons": n, "drive": told}], "run": {"until": 1.0}}
    return configure(config).system.drive


def main():
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--systems", type=int, default=500)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--first", type=int, default=0)
    options = parser.parse_args()
    began, found, wrong, without = time.monotonic(), [], 0, 0
    number, delays = options.first, 0
    while len(found) < options.systems:
        problem = Problem(options.seed, number)
        number += 1
        difference = problem.difference()
        if difference is None:
            without += 1
            continue
        found.append(difference)
        delays += problem.delay > 0
        if not difference < TOLERANCE:
            wrong += 1
            print(f"{problem.name}: differs by {difference:.3g}", flush=True)
    seconds = time.monotonic() - began
    print(f"{len(found)} systems, {delays} with a delay, in {seconds:.0f} s; {without} without a fixed point left out")
    print(f"differences: median {np.median(found):.2g}, largest {max(found):.2g}; {wrong} above {TOLERANCE:g}")
    return int(wrong > 0)


if __name__ == "__main__":
    raise SystemExit(main())
