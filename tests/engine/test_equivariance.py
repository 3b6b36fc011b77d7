"""Renaming, moving and turning the neurons changes the answer in no other way."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from dynsim.engine import Operators, System, solve
from dynsim.kernels import Kernel

KERNEL = Kernel("inverse", softening=0.3)
# Fixed steps, so that rounding cannot change them. Rounding, 1e-16 of numbers of order 1 in about 10 stages, grows by
# the motion's own Lyapunov factor over a time of 1, below e^10 for operators of this size.
TOLERANCE = 1e-10
few = settings(max_examples=6, deadline=None)


def draw(seed, neurons=7, d=3, s=2):
    generator = np.random.default_rng(seed)
    q = generator.uniform(-1, 1, (neurons, d))
    shapes = {"A": (s, s), "B": (s, d), "C": (s, d), "D": (d, s), "E": (d, s), "F": (d, d)}
    return generator, q, {name: 0.2 * generator.standard_normal(shape) for name, shape in shapes.items()}


def run(q, operators, delay, **options):
    return solve(
        System(q, kernel=KERNEL, operators=Operators(**operators, activation="tanh"), delay=delay, **options),
        (0.0, 0.6),
        method="rk4",
        dt=0.07,
    )


@few
@given(st.integers(0, 10**6), st.sampled_from([0.0, 0.2]))
def test_permuting_the_neurons_permutes_the_result(seed, delay):
    generator, q, operators = draw(seed)
    operators["D"] = operators["D"] + 0.1 * generator.standard_normal((len(q), 3, 2))
    groups = np.array([0, 0, 0, 1, 1, 2, 2])
    strengths = generator.standard_normal((3, 3))
    drive, clamp = generator.standard_normal((7, 2)), generator.standard_normal((2, 2))
    order = generator.permutation(7)
    straight = run(q, operators, delay, groups=groups, strengths=strengths, drive=drive, clamped={2: clamp})
    operators["D"] = operators["D"][order]
    shuffled = run(
        q[order], operators, delay, groups=groups[order], strengths=strengths, drive=drive[order],
        clamped={2: clamp[order[groups[order] == 2] - 5]},
    )  # fmt: skip
    assert straight.success
    for name in ("q", "R", "E"):
        np.testing.assert_allclose(
            getattr(shuffled, name), getattr(straight, name)[:, order], rtol=0, atol=TOLERANCE, err_msg=name
        )


@few
@given(st.integers(0, 10**6), st.sampled_from([0.0, 0.2]))
def test_moving_everything_moves_the_result(seed, delay):
    # (2) and (3) know places only through B and F.
    generator, q, operators = draw(seed)
    operators["B"], operators["F"] = 0.0, 0.0
    drive = generator.standard_normal((7, 2))
    shift = generator.uniform(-2, 2, 3)
    here, there = (run(places, operators, delay, drive=drive) for places in (q, q + shift))
    assert np.abs(here.q[-1] - q).max() > 1e-3
    np.testing.assert_allclose(there.q - shift, here.q, rtol=0, atol=TOLERANCE)
    np.testing.assert_allclose(there.E, here.E, rtol=0, atol=TOLERANCE)


@few
@given(st.integers(0, 10**6), st.sampled_from([0.0, 0.2]))
def test_turning_everything_turns_the_result(seed, delay):
    generator, q, operators = draw(seed)
    turn = np.linalg.qr(generator.standard_normal((3, 3)))[0]
    turned = {
        "A": operators["A"],
        "B": operators["B"] @ turn.T,
        "C": operators["C"] @ turn.T,
        "D": turn @ operators["D"],
        "E": turn @ operators["E"],
        "F": turn @ operators["F"] @ turn.T,
    }
    here, there = run(q, operators, delay), run(q @ turn.T, turned, delay)
    np.testing.assert_allclose(there.q, here.q @ turn.T, rtol=0, atol=TOLERANCE)
    np.testing.assert_allclose(there.R, here.R, rtol=0, atol=TOLERANCE)


@few
@given(st.integers(0, 10**6), st.sampled_from([0.0, 0.2]))
def test_equal_operators_for_all_and_for_each_agree(seed, delay):
    _, q, operators = draw(seed)
    each = {name: np.broadcast_to(value, (7, *value.shape)) for name, value in operators.items()}
    together, apart = run(q, operators, delay), run(q, each, delay)
    np.testing.assert_allclose(apart.q, together.q, rtol=0, atol=TOLERANCE)


@few
@given(st.integers(0, 10**6), st.sampled_from([0.0, 0.2]))
def test_copies_at_one_place_act_like_one_of_their_summed_strength(seed, delay):
    # Q = H q and Phi = H phi: one copy with C, D, E unchanged needs B, C times H and strength times H.
    _, q, operators = draw(seed)
    many = run(np.stack([q, q]), operators, delay)
    operators = {**operators, "B": 2 * operators["B"], "C": 2 * operators["C"]}
    one = run(q, operators, delay, strengths=2.0)
    np.testing.assert_allclose(many.q[:, 0], one.q, rtol=0, atol=TOLERANCE)
    np.testing.assert_allclose(many.q[:, 1], one.q, rtol=0, atol=TOLERANCE)
    np.testing.assert_allclose(many.E, one.E, rtol=0, atol=TOLERANCE)
