"""Langevin dynamics: distributions in equilibrium, strong orders on coupled paths, the same bits wherever it is run."""

import os
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest

from dynsim.engine import METHODS, LastOnly, Operators, System, Teacher, Times, solve
from dynsim.engine._noise import Noise

STIFFNESS, TEMPERATURE = 2.0, 0.5
NOISY = ["euler_maruyama", "sra1", "baoab"]


def well(copies=4000, **options):
    """Independent neurons in the potential k q^2 / 2, from rest at its bottom."""
    return System(
        np.zeros((copies, 1)),
        operators=Operators(B=np.sqrt(STIFFNESS)),
        strengths=0.0,
        teacher=Teacher(0, np.zeros((copies, 1))),
        temperature=TEMPERATURE,
        **options,
    )


@pytest.mark.parametrize("method", NOISY)
@pytest.mark.parametrize("mass", [0.0, 1.5])
def test_equipartition_and_boltzmann(method, mass):
    if method == "baoab" and not mass:
        pytest.skip("baoab moves neurons with mass")
    dt = 0.05 if method != "euler_maruyama" else 0.01
    times = np.linspace(10.0, 30.0, 11)  # the slowest of them forgets in a time of 2 m / gamma = 3, or 1 / k
    solution = solve(well(mass=mass), (0.0, 30.0), method=method, dt=dt, record=Times(times), seed=3)
    # <q^2> = T / k and m <u^2> = T. Of n independent normal numbers the mean square errs by sqrt(2 / n) of itself;
    # frames two units apart are at least half independent. Four standard deviations, and what the step shifts: at most
    # k h / gamma of Euler's method, less of the others.
    n = solution.q.size / 2
    statistical, bias = 4 * np.sqrt(2 / n), 1.1 * STIFFNESS * dt if method == "euler_maruyama" else 0.3 * dt
    assert abs(np.mean(solution.q**2) / (TEMPERATURE / STIFFNESS) - 1) < statistical + bias
    # Boltzmann: the distribution function at the last time against the normal one (Kolmogorov; 1.95 is exceeded once in
    # a thousand).
    from scipy.stats import kstest

    last = solution.q[-1].ravel() / np.sqrt(TEMPERATURE / STIFFNESS)
    assert kstest(last, "norm").statistic < 1.95 / np.sqrt(len(last)) + bias
    if mass:
        assert abs(mass * np.mean(solution.velocity**2) / TEMPERATURE - 1) < statistical + bias


def test_free_diffusion():
    system = System(np.zeros((4000, 1)), strengths=0.0, temperature=TEMPERATURE, friction=2.0)
    q = solve(system, (0.0, 3.0), method="euler_maruyama", dt=0.1, record=LastOnly()).q[-1]
    # <q^2> = 2 T t / gamma exactly, whatever the step; four standard deviations.
    assert abs(np.mean(q**2) / (2 * TEMPERATURE * 3.0 / 2.0) - 1) < 4 * np.sqrt(2 / 4000)


class Given:
    """Noise whose numbers are those of a path that was drawn before, for steps of any length."""

    warm = True

    def __init__(self, dW, dZ, amplitude):
        self.dW, self.dZ, self.strength, self.taken = dW, dZ, amplitude, 0

    def amplitude(self, t):
        return self.strength

    def take(self, steps, h):
        """Normal numbers of which sra1 and euler_maruyama make the increment and the mean of a part of the path."""
        part = self.dW[self.taken : self.taken + steps]
        before = np.concatenate([np.zeros((1, *part.shape[1:])), np.cumsum(part, axis=0)[:-1]])
        inner = before + 0.5 * (part + self.dZ[self.taken : self.taken + steps] / np.sqrt(3.0))
        increment, mean = part.sum(axis=0), inner.mean(axis=0)
        self.taken += steps
        first = increment / np.sqrt(h)
        return np.stack([first, (mean / (0.5 * np.sqrt(h)) - first) * np.sqrt(3.0)])

    def normals(self, count):
        return self.numbers[:count]


@pytest.mark.parametrize(("name", "order"), [("euler_maruyama", 1.0), ("sra1", 1.5)])
def test_strong_order_on_coupled_paths(name, order):
    """q' = -sin q + sqrt(2 T) xi, additive noise, by steps that see one and the same path."""
    paths, finest, generator = 2000, 512, np.random.default_rng(1)
    fine = 1.0 / finest
    dW, dZ = np.sqrt(fine) * generator.standard_normal((2, finest, paths))
    ends = {}
    for every in (1, 16, 32, 64):
        noise, h, q = Given(dW, dZ, np.sqrt(2 * 3.0)), every * fine, np.full(paths, 1.0)
        new, new_f = np.empty(paths), np.empty(paths)

        def derivative(t, state, out):
            out[...] = -np.sin(state)
            return 0

        f = -np.sin(q)
        for k in range(finest // every):
            noise.numbers = noise.take(every, h)
            assert METHODS[name].step(k * h, (k + 1) * h, q, f, derivative, noise, new, new_f) == 0
            q, f = new.copy(), new_f.copy()
        ends[h] = q
    reference = ends.pop(fine)
    steps = np.array(list(ends))
    errors = [np.sqrt(np.mean((q - reference) ** 2)) for q in ends.values()]
    slope = np.polyfit(np.log(steps), np.log(errors), 1)[0]
    # The reference is of the same method with a step 16 times shorter, which lifts the slope of order 1 by at most
    # log2((64 - 1) / (32 - 1)) - 1 = 0.02 and 0.05 between the steps; 2,000 paths know an error to 2 %.
    assert abs(slope - order) < 0.15, (slope, errors)


def test_noise_is_a_function_of_seed_step_and_neuron():
    noise = Noise(well(copies=5), 11)
    noise.begin(np.array([4, 0, 0, 0, 0]))
    first = noise.normals(2)
    noise.begin(np.array([5, 0, 0, 0, 0]))
    other = noise.normals(2)
    noise.before = 4
    noise.begin(np.zeros(5, np.int64))
    np.testing.assert_array_equal(noise.normals(2), first)
    assert not np.any(first == other) and not np.any(first == Noise(well(copies=5), 12).normals(2))
    seeds = [Noise(well(copies=5), seed).normals(1).tobytes() for seed in (0, 1, 2**63, 2**64 - 1)]
    assert len(set(seeds)) == 4
    # Counter-based numbers of more neurons begin with those of fewer.
    more = Noise(well(copies=9), 11)
    more.begin(np.array([4, 0, 0, 0, 0]))
    np.testing.assert_array_equal(more.normals(1)[0, 0, :5], first[0, 0])


@pytest.mark.parametrize("method", NOISY)
def test_the_same_bits_in_pieces(method):
    system = well(copies=6, mass=1.0)
    whole = solve(system, (0.0, 3.0), method=method, dt=0.1, seed=9)
    state = None
    for until in range(1, 31):
        more = {} if state is None else {"resume": state}
        part = solve(system, (0.0, 3.0), method=method, dt=0.1, seed=9 if state is None else 0, max_steps=1, **more)
        state = part.state
        np.testing.assert_array_equal(part.q[-1], whole.q[until])
        np.testing.assert_array_equal(part.velocity[-1], whole.velocity[until])
    assert np.any(solve(system, (0.0, 3.0), method=method, dt=0.1, seed=8).q[-1] != whole.q[-1])


PROGRAM = """
import sys
import numpy as np
from dynsim.engine import Operators, System, solve
from dynsim.kernels import Kernel
generator = np.random.default_rng(2)
system = System(generator.standard_normal((400, 2)), kernel=Kernel(softening=0.1), delay=0.1, temperature=0.3,
                operators=Operators(A=0.1, B=[[0.3, 0.1]], D=[[0.1], [0.0]], F=-1.0))
q = solve(system, (0.0, 1.0), method="sra1", dt=0.05, seed=4).q[-1]
sys.stdout.write(q.tobytes().hex())
"""


def test_the_same_bits_by_any_number_of_threads():
    found = {
        subprocess.run([sys.executable, "-c", PROGRAM], env={**os.environ, "NUMBA_NUM_THREADS": str(threads)},
                       check=True, capture_output=True, text=True).stdout
        for threads in (1, 2, 4)
    }  # fmt: skip
    assert len(found) == 1


def test_the_temperature_may_change():
    hot = System(np.zeros((3000, 1)), strengths=0.0, temperature=([1.0, 2.0], [0.0, 4.0]))
    q = solve(hot, (0.0, 2.0), method="sra1", dt=0.02, t_eval=[1.0, 2.0]).q[..., 0]
    # Cold up to t = 1; then <q^2> = integral of 2 T = 4; the step's mean of T is exact to a part of h.
    assert not q[0].any() and abs(np.mean(q[1] ** 2) / 4.0 - 1) < 4 * np.sqrt(2 / 3000) + 0.03


def test_operators_that_would_emit_white_noise_are_refused():
    with pytest.raises(ValueError, match="operator C for neurons without mass"):
        System(np.zeros((2, 1)), operators=Operators(C=0.5), temperature=1.0)
    assert System(np.zeros((2, 1)), operators=Operators(C=0.5), temperature=1.0, mass=1.0).warm


def test_no_number_is_infinite(monkeypatch):
    noise = Noise(well(copies=3), 0)
    for raw in (0, 2**64 - 1):
        raws = SimpleNamespace(random_raw=lambda n, raw=raw: np.full(n, raw, np.uint64))
        monkeypatch.setattr(np.random, "Philox", lambda raws=raws, **_: raws)
        assert np.isfinite(noise.normals(1)).all() and abs(noise.normals(1)).max() < 8.3
