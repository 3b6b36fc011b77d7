"""Learning as a force: exact gradients, in layers and circles, with copies, masses and delays."""

import os
import pickle
import subprocess
import sys

import numpy as np
import pytest

from dynsim.engine import Operators, System, Teacher, _group_relations, solve
from dynsim.kernels import Kernel

N, S = 9, 5
GROUPS = np.array([0, 0, 0, 1, 1, 1, 1, 2, 2])
LAYERS = np.zeros((2, 3, 3))
LAYERS[:, 0, 1], LAYERS[:, 1, 2] = [1.0, -1.0], [0.7, -1.2]


def numbers(seed=1):
    return np.random.default_rng(seed)


def network(strengths=LAYERS, loss="cross-entropy", targets=(0, 1, 1, 0, 1), operators=None, **options):
    generator = numbers()
    given = {
        "kernel": Kernel("gaussian", length=1.5),
        "operators": operators or Operators(A=0.6, activation="tanh"),
        "groups": GROUPS,
        "strengths": strengths,
        "clamped": {0: generator.standard_normal((3, S))},
        "signals": S,
        "teacher": Teacher(2, targets, loss=loss, rate=1.7),
    }
    return System(generator.standard_normal((2, N, 3)), **{**given, **options})


def derivative(system):
    """q', or q'' with masses, at the start: of one step of Euler's method."""
    h = 1e-3
    solution = solve(system, (0.0, h), method="euler", dt=h)
    if system.velocity is None:
        return (solution.q[-1] - system.q) / h
    return (solution.velocity[-1] - system.velocity) / h


def loss(system, q):
    solution = solve(system.replace(q=q, teacher=None), (0.0, 1.0), method="euler", dt=1.0, t_eval=[0.0])
    return system.teacher.value(solution.E[0][system.groups == system.teacher.group])


def expect_gradient(system):
    mobility = 1 / (system.mass if system.velocity is not None else np.ones(N))
    force = (derivative(system) - derivative(system.replace(teacher=None))) / np.reshape(mobility, (-1, 1))
    h, expected = 1e-5, np.zeros_like(system.q)
    for place in np.ndindex(expected.shape):
        moved = [system.q.copy(), system.q.copy()]
        moved[0][place] += h
        moved[1][place] -= h
        expected[place] = -1.7 * (loss(system, moved[0]) - loss(system, moved[1])) / (2 * h)
    # Differences err by h^2 of a third derivative and by 1e-16 / h of the loss; q' by 1e-16 / 1e-3 of a place.
    np.testing.assert_allclose(force, expected, atol=1e-8 * abs(expected).max() + 1e-11)


RANDOM = {name: 0.4 * numbers(k).standard_normal(shape) for k, (name, shape) in enumerate(
    {"A": (N, S, S), "B": (N, S, 3), "D": (3, S), "a": (N,), "E": (3, S)}.items())}  # fmt: skip


@pytest.mark.parametrize("mass", [0.0, 2.0])
@pytest.mark.parametrize(
    "operators",
    [
        Operators(A=0.6, activation="tanh"),
        Operators(A=0.6, activation=("identity", "tanh", "identity")),
        Operators(A=RANDOM["A"], B=RANDOM["B"], D=RANDOM["D"], F=-0.3, activation="sigmoid"),
        Operators(A=RANDOM["a"], E=RANDOM["E"], activation="gelu"),
        Operators(A=0.8),
    ],
    ids=["tanh", "by group", "all matrices", "number each", "linear"],
)
@pytest.mark.parametrize(("kind", "targets"), [("squared error", numbers(4).standard_normal((2, S))),
                                               ("cross-entropy", [0, 1, 1, 0, 1]),
                                               ("cross-entropy", np.array([[0.3] * S, [0.7] * S]))])  # fmt: skip
def test_the_force_is_the_gradient(kind, targets, operators, mass):
    expect_gradient(network(loss=kind, targets=targets, operators=operators, mass=mass, drive=0.3))


@pytest.mark.parametrize("strengths", [LAYERS, 0.15 * numbers(7).standard_normal((2, 3, 3))], ids=["layers", "circles"])
@pytest.mark.parametrize("kernel", [Kernel("gaussian", length=1.5), Kernel("inverse", "l1", softening=0.3)])
@pytest.mark.parametrize("most", [0, 2**24])
def test_of_layers_and_circles_by_weights_and_by_sums(strengths, kernel, most, monkeypatch):
    monkeypatch.setattr(_group_relations, "MOST_WEIGHTS", most)
    expect_gradient(
        network(strengths, kernel=kernel, operators=Operators(A=0.5, B=0.3 * np.eye(S, 3), activation="tanh"))
    )


def test_of_one_group_on_itself():
    system = System(numbers().standard_normal((N, 3)), kernel=Kernel("gaussian"), operators=Operators(A=0.2, B=1.0),
                    signals=3, groups=np.zeros(N, int), teacher=Teacher(0, np.ones((N, 3)), rate=1.7))  # fmt: skip
    expect_gradient(system)


def test_mixed_order_of_the_neurons():
    order = numbers(3).permutation(N)
    system = network()
    mixed = system.replace(q=system.q[:, order], groups=GROUPS[order])
    inputs = np.flatnonzero(GROUPS[order] == 0)
    signals = np.asarray(system.clamped[0])[order[inputs]]
    mixed = mixed.replace(clamped={0: signals})
    wanted = np.array([[1.0, 0, 0, 1.0, 0], [0, 1.0, 1.0, 0, 1.0]])
    judged = order[np.flatnonzero(GROUPS[order] == 2)] - 7
    mixed = mixed.replace(teacher=Teacher(2, wanted[judged], loss="cross-entropy", rate=1.7))
    np.testing.assert_allclose(derivative(mixed), derivative(system)[:, order], atol=1e-12)


def test_the_loss_falls_along_the_flow():
    solution = solve(network(), (0.0, 40.0), rtol=1e-6, t_eval=np.linspace(0, 40, 81))
    losses = network().teacher.value(solution.E[:, GROUPS == 2])
    # dL/dt = -|f|^2 <= 0; frames err by some 1e-6.
    assert np.all(np.diff(losses) < 1e-5) and losses[-1] < 0.8 * losses[0]


def test_with_inertia_energy_is_conserved():
    system = network(mass=1.0, friction=0.0)
    solution = solve(system, (0.0, 20.0), method="verlet", dt=0.02)
    energy = 0.5 * np.square(solution.velocity).sum(axis=(1, 2, 3)) + 1.7 * system.teacher.value(
        solution.E[:, GROUPS == 2]
    )
    coarse = solve(system, (0.0, 20.0), method="verlet", dt=0.04)
    coarser = 0.5 * np.square(coarse.velocity).sum(axis=(1, 2, 3)) + 1.7 * system.teacher.value(
        coarse.E[:, GROUPS == 2]
    )
    swing, before = np.ptp(energy), np.ptp(coarser)
    assert 3.5 < before / swing < 4.5  # of order 2, in forces and all


@pytest.mark.parametrize("method", ["rk4", "dopri5"])
def test_with_a_delay_the_error_travels_back_as_late(method):
    """Against the equations written out and stepped by Euler's method on the delay's own grid."""
    delay, until, n = 0.25, 1.0, 2000
    generator = numbers(5)
    q0 = generator.standard_normal((N, 2))
    strengths = np.zeros((3, 3))
    strengths[0, 1], strengths[1, 2] = 1.0, -0.8
    inputs, Y = generator.standard_normal((3, S)), generator.standard_normal((2, S))
    tanh = Operators(A=0.7, activation="tanh")
    system = System(q0, kernel=Kernel("gaussian", length=1.5), operators=tanh, groups=GROUPS,
                    strengths=strengths, clamped={0: inputs}, delay=delay, teacher=Teacher(2, Y, rate=0.8))  # fmt: skip
    step = {"dt": 0.0125} if method == "rk4" else {"rtol": 1e-8, "atol": 1e-10}
    found = solve(system, (0.0, until), method=method, **step).q[-1]

    table, late = strengths[GROUPS][:, GROUPS].T, round(delay * n)  # [to, from]

    def force_and_signals(q, q_late, E_late, S_late):
        difference = q[:, None] - q_late[None]  # of one here and one there
        phi = np.exp(-np.sum(difference**2, axis=-1) / (2 * 1.5**2))
        if not np.isclose(system.kernel.value(1.0), np.exp(-1 / (2 * 1.5**2))):
            phi = np.exp(-np.sum(difference**2, axis=-1) / 1.5**2)
        scale = np.log(phi[0, 1]) / np.sum(difference[0, 1] ** 2)  # phi = exp(scale r^2)
        R = (table * phi) @ E_late
        E = np.tanh(0.7 * R)
        E[:3] = inputs
        D = (table.T * phi) @ S_late
        D[7:] += (E[7:] - Y) / S
        error = 0.7 * (1 - np.tanh(0.7 * R) ** 2) * D
        error[:3] = 0.0
        pull = table * (error @ E_late.T) + table.T * (E @ S_late.T)
        return -0.8 * np.einsum("ij,ijk->ik", pull * phi * 2 * scale, difference), E, error

    q, E0 = q0.copy(), np.zeros((N, S))
    E0[:3] = inputs
    paths = []
    for k in range(n):
        earlier = paths[k - late] if k >= late else (q0, E0, np.zeros((N, S)))
        f, E, error = force_and_signals(q, *earlier)
        paths.append((q.copy(), E, error))
        q = q + until / n * f
    moved = abs(found - q0).max()
    assert moved > 0.02
    # Euler's method errs by about h times the motion.
    np.testing.assert_allclose(found, q, atol=20 / n * moved)


def test_runs_go_on_bit_for_bit_with_a_delay():
    system = network(delay=0.2)
    whole = solve(system, (0.0, 1.5), method="rk4", dt=0.03)
    half = solve(system, (0.0, 1.5), method="rk4", dt=0.03, max_steps=23)
    rest = solve(system, (0.0, 1.5), method="rk4", dt=0.03, resume=half.state)
    np.testing.assert_array_equal(rest.q[-1], whole.q[-1])
    np.testing.assert_array_equal(rest.E[-1], whole.E[-1])
    assert whole.E.shape[1:] == (N, S)


PROGRAM = """
import sys
import numpy as np
from dynsim.engine import Operators, System, Teacher, solve
from dynsim.kernels import Kernel
generator = np.random.default_rng(2)
sizes = [64, 32, 10]
strengths = np.zeros((4, 3, 3))
strengths[:, 0, 1], strengths[:, 1, 2] = [[0.1, -0.1, 0.1, -0.1]] * 2
system = System(generator.standard_normal((4, 106, 4)), kernel=Kernel("gaussian"), groups=np.repeat([0, 1, 2], sizes),
                operators=Operators(A=1.0, activation=("identity", "tanh", "identity")), strengths=strengths,
                clamped={0: generator.random((64, 300))}, teacher=Teacher(2, np.arange(300) % 10, loss="cross-entropy"))
q = solve(system, (0.0, 5.0), method="rk4", dt=1.0).q[-1]
sys.stdout.write(q.tobytes().hex())
"""


def test_the_same_bits_by_any_number_of_threads():
    found = {
        subprocess.run([sys.executable, "-c", PROGRAM], env={**os.environ, "NUMBA_NUM_THREADS": str(threads)},
                       check=True, capture_output=True, text=True).stdout
        for threads in (1, 2, 4)
    }  # fmt: skip
    assert len(found) == 1


def test_values_and_slopes():
    generator = numbers(8)
    E, Y = generator.standard_normal((2, 4, 6))
    labels = generator.integers(0, 4, 6)
    share = np.exp(E) / np.exp(E).sum(0)
    teachers = [(Teacher(0, Y), 0.5 * np.sum((E - Y) ** 2) / 6),
                (Teacher(0, labels, loss="cross-entropy"), -np.mean(np.log(share[labels, np.arange(6)]))),
                (Teacher(0, share, loss="cross-entropy"), -np.sum(share * np.log(share)) / 6)]  # fmt: skip
    for teacher, value in teachers:
        assert teacher.value(E) == pytest.approx(value, rel=1e-13)
        assert teacher.value(np.stack([E, E])).shape == (2,)
        for place in np.ndindex(E.shape):
            h = np.zeros_like(E)
            h[place] = 1e-6
            slope = (teacher.value(E + h) - teacher.value(E - h)) / 2e-6
            assert teacher.slope(E)[place] == pytest.approx(slope, abs=1e-9)
        assert pickle.loads(pickle.dumps(teacher)).value(E) == teacher.value(E)
    assert teachers[1][0].correct(E) == np.mean(E.argmax(0) == labels)


@pytest.mark.parametrize(
    ("options", "word"),
    [
        ({"group": -1}, "teacher group"),
        ({"loss": "hinge"}, "teacher loss"),
        ({"rate": 0.0}, "teacher rate"),
        ({"targets": np.zeros(3)}, "expected"),
        ({"targets": [0.5, 1.0], "loss": "cross-entropy"}, "label 0.5"),
        ({"targets": [[0.5], [0.9]], "loss": "cross-entropy"}, "probabilities"),
    ],
)
def test_what_a_teacher_refuses(options, word):
    with pytest.raises(ValueError, match=word):
        Teacher(**{"group": 0, "targets": np.zeros((2, 3)), **options})


@pytest.mark.parametrize(
    ("options", "word"),
    [
        ({"teacher": Teacher(3, np.zeros((2, S)))}, "teacher group: got 3"),
        ({"teacher": Teacher(0, np.zeros((3, S)))}, "whose signals are given"),
        ({"teacher": Teacher(2, np.zeros((3, S)))}, r"teacher targets: got shape \(3, 5\)"),
        ({"teacher": Teacher(2, [0, 1, 2, 0, 1], loss="cross-entropy")}, "label 2"),
        ({"operators": Operators(A=1.0, C=np.ones((S, 3)))}, "operator C"),
        ({"operators": Operators(A=1.0, activation=("tanh", "relu"))}, "activation: got 2 of them"),
    ],
)
def test_what_a_system_refuses(options, word):
    with pytest.raises(ValueError, match=word):
        network(**options)


def test_one_judged_neuron_is_right_on_the_wanted_side():
    teacher = Teacher(0, [[0.0, 0.0, 1.0, 1.0]])
    assert teacher.correct([[0.1, 0.9, 0.8, 0.2]]) == 0.5


def test_of_layers_nothing_comes_back():
    from dynsim.engine import echo_gain

    assert echo_gain(network()) == 0.0 and echo_gain(network(0.15 * numbers(7).standard_normal((2, 3, 3)))) > 0.0
