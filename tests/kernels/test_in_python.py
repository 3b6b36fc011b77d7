"""Compiled functions as Python, with all that they call."""

from math import sin

import numpy as np
from numba import njit

from dynsim.kernels import in_python


@njit
def half(x):
    return x / 2


@njit
def factorial(n, *, step=1):
    return 1 if n <= 0 else n * factorial(n - step)


def test_calls_by_name_and_closed_over_stay_in_python():
    kinds = []

    def told(x):
        kinds.append(type(x))
        return 0.25

    def maker(inner):
        return njit(lambda x: inner(half(x)) + sin(x))

    ours = in_python(maker(half), {half: told, sin: told})
    assert ours("text") == 0.5 and kinds == [str, float, str]


def test_functions_that_call_themselves_and_inner_functions():
    assert in_python(factorial, {})(5) == 120

    @njit
    def total(values):
        return sum([half(value) for value in values])

    seen = []
    assert in_python(total, {half: lambda x: seen.append(x) or x})(np.array([1.0, 2.0])) == 3.0
    assert seen == [1.0, 2.0]


def test_the_compiled_function_is_left_as_it_is():
    in_python(factorial, {half: None})
    assert half(3.0) == 1.5 and factorial.py_func.__globals__["half"] is half
