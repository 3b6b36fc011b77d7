"""Random systems agree with a reference written out from the equations; `random_systems.py` tries more of them."""

import pytest
from random_systems import TOLERANCE, Problem

# (seed, number): with and without a delay, one and several copies and groups, all kinds of given signals.
SOON = [(1, number) for number in range(10)]
LATER = [(2, number) for number in range(60)]


@pytest.mark.parametrize(("seed", "number"), [*SOON, *(pytest.param(*case, marks=pytest.mark.slow) for case in LATER)])
def test_the_engine_agrees_with_the_equations_written_out(seed, number):
    problem = Problem(seed, number)
    difference = problem.difference()
    assert difference is None or difference < TOLERANCE, problem.name
