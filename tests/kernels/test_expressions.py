"""Profiles from an expression: what they mean, how steep they are, what does not get in."""

import re
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dynsim.engine import Operators, System, configure, solve
from dynsim.kernels import Kernel, pair_force, pair_matrix, pair_sum, relation, relation_forces
from dynsim.kernels._block import SCALAR
from dynsim.kernels._expression import R, derivative, parse
from dynsim.kernels._formula import NUMPY, evaluate, numbers_of, python_functions

# Together they hold every function, odd, even, negative, broken and variable powers, and constants.
MIXED = "c*exp(-r/length)*cos(3*r)/(r**2+eta**2+0.5) - 0.25*tanh(r)**3 + minimum(r, 1.2)*log(1+r)"
REST = "sin(r)/(1+r) + erf(r)*arctan(r) + sinh(r/3)*cosh(r/4) - tan(r/9) + maximum(r, 0.9) + abs(r-2) + sign(r-2)"
POWERS = "c*r**-3 + (1+r)**0.5 + (1+r)**1.5 + 2**-r + r**7/1e3 + sqrt(r**4) + (r+1)**(r/5) + pi"
names = {"c": np.float64(1.3), "eta": np.float64(0.2), "length": np.float64(0.8)}


def python_value(text, r):
    """The test's own text as Python; numbers are real in an expression, NumPy's whole ones have no negative powers."""
    real = re.sub(r"(?<![\w.])\d+(?![\w.])", r"\g<0>.0", text)
    return eval(real, {**NUMPY, "pi": np.pi}, {**names, "r": np.asarray(r, float)[()]}) * np.ones_like(r)


@pytest.mark.parametrize(
    ("text", "metric", "d", "dtype"),
    [
        (MIXED, "l2", 2, np.float64),
        (REST, "l1", 2, np.float64),
        (POWERS, "l2", 2, np.float64),
        pytest.param(MIXED, "l1", 11, np.float32, marks=pytest.mark.slow),
    ],
)
def test_sums_are_those_of_the_formula(text, metric, d, dtype):
    # eta and length enter by name; without "softening" r is the bare distance, with it sqrt(rho^2 + eta^2).
    generator = np.random.default_rng(0)
    kernel = Kernel(text, metric, 1.3, 0.2, 0.8)
    q, signals = generator.normal(size=(23, d)).astype(dtype), generator.normal(size=(23, 2)).astype(dtype)
    difference = q[:, None].astype(float) - q
    rho = np.abs(difference).sum(-1) if metric == "l1" else np.sqrt((difference**2).sum(-1))
    W = python_value(text, np.sqrt(rho**2 + 0.2**2))
    np.testing.assert_allclose(kernel.value(rho), W, rtol=1e-14)
    np.fill_diagonal(W, 0.0)
    # Some ten roundings, amplified by r d(log phi)/dr < 30 of these formulas at r below 20.
    error = 1e3 * np.finfo(dtype).eps * np.abs(W).max()
    matrix, sums = pair_matrix(kernel, q, q, exclude_self=True), pair_sum(kernel, q, q, signals, exclude_self=True)
    assert matrix.dtype == sums.dtype == dtype
    np.testing.assert_allclose(matrix, W, rtol=0, atol=error)
    np.testing.assert_allclose(sums, W @ signals, rtol=0, atol=23 * error)


@pytest.mark.parametrize("text", [MIXED, REST, POWERS])
def test_forces_are_central_differences(text):
    generator = np.random.default_rng(1)
    kernel = Kernel(text, "l2", 1.3, 0.2, 0.8)
    sources, targets = generator.normal(size=(2, 6, 3))
    given_, taken = generator.normal(size=(2, 6))
    force = pair_force(kernel, sources, targets, given_, taken)
    for index in np.ndindex(targets.shape):
        moved = np.zeros_like(targets)
        moved[index] = 1e-6
        sides = [taken @ pair_matrix(kernel, sources, targets + sign * moved) @ given_ for sign in (1, -1)]
        # h^2 f''' / 6 and eps |f| / h with |f| below 10^3
        assert force[index] == pytest.approx((sides[0] - sides[1]) / 2e-6, rel=1e-5, abs=1e-5 * np.abs(force).max())


def test_weights_and_their_forces():
    generator = np.random.default_rng(2)
    sources, targets, strengths = (generator.normal(size=shape) for shape in ((1, 2, 5, 3), (1, 2, 4, 3), (1, 1, 2)))
    written, built_in = Kernel("c*exp(-r/length)", "l1", 1.3, 0.1, 0.8), Kernel("exponential", "l1", 1.3, 0.1, 0.8)
    gradient = generator.normal(size=(1, 1, 4, 5))
    for function, more in ((relation, ()), (relation_forces, (gradient,))):
        ours = function(written, sources, targets, strengths, *more)
        theirs = function(built_in, sources, targets, strengths, *more)
        for a, b in zip(ours if more else (ours,), theirs if more else (theirs,), strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-13, atol=1e-14)


leaf = st.sampled_from(["r", "c", "eta", "length", "pi", "2", "0.5", "3", "1"])
trees = st.recursive(
    leaf,
    lambda inner: st.one_of(
        st.tuples(inner, st.sampled_from("+-*/"), inner).map(lambda t: f"({t[0]}{t[1]}{t[2]})"),
        st.tuples(st.sampled_from(["exp", "tanh", "sin", "cos", "arctan", "erf", "abs"]), inner).map(
            lambda t: f"{t[0]}({t[1]})"
        ),
        st.tuples(inner, st.sampled_from(["2", "3", "-1"])).map(lambda t: f"({t[0]})**{t[1]}"),
        st.tuples(st.sampled_from(["minimum", "maximum"]), inner, inner).map(lambda t: f"{t[0]}({t[1]},{t[2]})"),
    ),
    max_leaves=7,
)


@settings(max_examples=150, deadline=None)
@given(trees, st.floats(0.3, 2.0))
def test_any_expression_has_its_value_and_its_slope(text, r):
    with np.errstate(all="ignore"):
        try:
            tree = parse(text)
        except ValueError as error:
            assert "not a finite number" in str(error)
            return
        try:
            python_value(text, r)
        except (ZeroDivisionError, OverflowError):  # of numbers alone
            return
        expected = np.float64(python_value(text, r))
        if not np.isfinite(expected):  # a factor that cancels in the tree may be infinite here
            return
        at = {**names, "r": r}
        assert evaluate(tree, at) == pytest.approx(expected, rel=1e-9, abs=1e-12)
        # The code that Numba compiles, run as it is.
        numbers = np.array(numbers_of(Kernel(text, scale=1.3, softening=0.2, length=0.8)))
        try:
            written, slope = (f(np.float64(r * r), numbers) for f in python_functions(text, SCALAR))
        except (OverflowError, ValueError, ZeroDivisionError):  # Python raises where machines go on with infinity
            return
        assert written == pytest.approx(expected, rel=1e-8, abs=1e-10)
        # Away from kinks and poles all differences agree. At a kink of minimum or abs the central ones agree with one
        # another, too, whatever their width: those to the left and to the right do not.
        values = {h: python_value(text, r + h) for h in (-1e-5, -1e-6, 0, 1e-6, 1e-5)}
        ends = [(-1e-6, 1e-6), (-1e-6, 0), (0, 1e-6), (-1e-5, 1e-5)]
        near, *others = [(values[high] - values[low]) / (high - low) for low, high in ends]
        exact = evaluate(derivative(tree), at)
        smooth = np.isfinite([near, *others]).all() and abs(expected) < 1e3
        if smooth and np.allclose(others, near, rtol=0, atol=1e-4 * (1 + abs(near))):
            assert exact == pytest.approx(near, rel=1e-3, abs=1e-3)
            assert slope * r == pytest.approx(exact, rel=1e-8, abs=1e-8)


def test_even_powers_take_no_root():
    # A negative r^2 has no root, so these would fail if one was taken.
    def at(text, r2):
        numbers = numbers_of(Kernel(text, scale=2.0, softening=0.5))
        return [function(r2, numbers) for function in python_functions(text, SCALAR)]

    assert at("c/(r**2+eta**2)", -4.0) == [2.0 / (-4.0 + 0.25), -4.0 / (-4.0 + 0.25) ** 2]
    assert at("r**6 - 3*r**4", -2.0) == [-8.0 - 12.0, 6 * 4.0 + 24.0]
    assert parse("r - 0 + 0*c") == R and derivative(R) == ("number", 1.0)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("__import__('os').system('true')", "not allowed"),
        ("r.__class__", r"got 'r\.__class__', which is not allowed"),
        ("().__class__.__bases__[0]", "not allowed"),
        ("(lambda: r)()", "not allowed"),
        ("[r for r in r]", "not allowed"),
        ("open('x')", "unknown function 'open'"),
        ("eval(r)", "unknown function 'eval'"),
        ("exp(x=r)", "not allowed"),
        ("exp(*r)", "not allowed"),
        ("exp(r, r)", r"2 argument\(s\); expected 1"),
        ("exp", "unknown name 'exp'|got 'exp'"),
        ("1/rr", "unknown name 'rr' in '1/rr'; expected one of r, .*; perhaps 'r' is meant"),
        ("c/(r+lenght)", "perhaps 'length'"),
        ("expp(r)", "perhaps 'exp'"),
        ("invers", "perhaps 'inverse'"),
        ("inverse-cube", "got 'inverse-cube'"),
        ("", "got ''"),
        ("r if r else c", "not allowed"),
        ("r < 1", "not allowed"),
        ("r and c", "not allowed"),
        ("True*r", "'True', which is not allowed"),
        ("1j*r", "'1j', which is not allowed"),
        ("'r'*3", "not allowed"),
        ("r @ r", "not allowed"),
        ("r // 2", "not allowed"),
        ("r % 2", "not allowed"),
        ("r ** 1e9", r"power 1e\+09 in 'r \*\* 1e9'"),
        ("r**999999", "expected at most 64"),
        ("9**9**9**9", "not a finite number"),
        ("9**9**99*r", "not a finite number"),
        ("1/0", "not a finite number"),
        ("(-2)**0.5*r", "not a finite number"),
        ("1e999*r", "1.8e308"),
        ("9" * 390, "1.8e308"),
        ("r+" * 300 + "r", "601 characters"),
        ("-" * 100 + "r", "nested too deeply"),
        ("(" * 150 + "r" + ")" * 150, "nested|no expression|x"),
        ("exp(" * 60 + "r" + ")" * 60, "nested too deeply"),
        ("r +", "no expression"),
        ("r = 1", "no expression"),
        ("r; c", "no expression"),
        ("import os", "no expression"),
        ("r\x00", "no expression"),
        ("r:=2", "no expression"),
    ],
)
def test_what_does_not_get_in(text, words):
    try:
        kernel = Kernel(text)
    except ValueError as error:
        assert re.search(words, str(error)) and "\n" not in str(error) and len(str(error)) < 400
    else:
        assert text.strip("()") == "r" and kernel.value(2.0) == 2.0  # parentheses alone are no depth


@pytest.mark.parametrize("profile", [None, 3, b"c/r", ["c/r"], object()])
def test_a_profile_is_a_text(profile):
    with pytest.raises(TypeError, match=r"kernel profile: got .*expected one of inverse.*expression"):
        Kernel(profile)


def test_files_configurations_and_runs_take_it():
    kernel = Kernel("c/r", softening=0.3)
    assert Kernel.from_dict(kernel.to_dict()) == kernel
    config = {
        "kernel": {"profile": "c/r", "softening": 0.1},
        "dimension": 2,
        "groups": [{"neurons": 6}],
        "operators": {"A": 0.05, "B": [[1.0, 0.5]], "D": [[0.1], [0.2]], "F": -0.2},
        "run": {"until": 1.0, "rtol": 1e-9},
    }
    for delay in (0.0, 0.3):
        ready = configure({**config, "delay": delay})
        assert ready.system.kernel.profile == "c/r"
        assert solve(ready.system, ready.span, **ready.options).success
    # The same law under its name: the same run.
    q = np.random.default_rng(3).normal(size=(5, 2))
    operators = Operators(B=[[1.0, 0.5]], D=[[0.3], [0.1]], F=-0.2)
    ends = [
        solve(
            System(q, kernel=Kernel(profile, softening=0.2), operators=operators, delay=0.4), (0.0, 1.0), rtol=1e-10
        ).q[-1]
        for profile in ("c/r", "inverse")
    ]
    np.testing.assert_allclose(*ends, rtol=0, atol=1e-12)


def test_two_neurons_at_one_place_are_advised_to_soften():
    operators = Operators(B=[[1.0, 1.0]], F=-0.2)
    system = System([[0.0, 0.0], [0.0, 0.0], [5.0, 0.0]], kernel=Kernel("c/r"), operators=operators, drive=1.0)
    solution = solve(system, (0.0, 1.0))
    assert solution.status == -2 and "softening" in solution.message


COMPILED = """
from dynsim.kernels import Kernel, pair_sum
from dynsim.kernels import _pair_sums
from dynsim.kernels._block import specialisation
import numpy as np
kernel, q = Kernel("c/(r**2+eta**2)"), np.eye(3)
pair_sum(kernel, q, q, q[0], exclude_self=True)
loop = _pair_sums._sum_loop(*specialisation(kernel, 3), 1)
print(sum(loop.stats.cache_hits.values()), sum(loop.stats.cache_misses.values()))
"""


@pytest.mark.slow
def test_it_is_compiled_once_and_found_by_the_next_process():
    def process():
        done = subprocess.run([sys.executable, "-c", COMPILED], capture_output=True, text=True, check=True)
        return done.stdout.split()

    process()
    assert process() == ["1", "0"]


@pytest.mark.parametrize(
    ("text", "length", "r", "value"),
    [
        ("c * (length / r)**12", 2000.0, 2000.0, 1.0),
        ("c * ((length / r)**12 - (length / r)**6)", 3e-4, 3e-4, 0.0),
        ("c * exp(-(r / length)**64)", 1e6, 1e6, np.exp(-1)),
        ("(1e-200*r)**2*1e100", 1.0, 1e150, 1.0),
        ("c * exp(-(1e-200*r)**2)", 1.0, 1e150, 1.0),
        ("c / (1 + (1e200*r)**2)", 1.0, 1e-150, 1e-100),
    ],
)
def test_constants_of_a_power_do_not_overflow_alone(text, length, r, value):
    kernel = Kernel(text, length=length)
    assert kernel.value(r) == pytest.approx(value, rel=1e-12)
    if 1e-30 < r < 1e30:  # in single precision as well
        places = np.array([[0.0]], np.float32), np.array([[r]], np.float32)
        # A power of 12 multiplies the rounding of r by 12; two of size one are subtracted.
        assert pair_matrix(kernel, *places)[0, 0] == pytest.approx(value, rel=1e-5, abs=24 * 1.2e-7)
        assert np.isfinite(pair_force(kernel, *places, np.ones(1, np.float32), np.ones(1, np.float32))).all()


@pytest.mark.parametrize(
    "nested",
    [lambda n: "-" * n + "r", lambda n: "+" * n + "r", lambda n: "r" + "+1" * n, lambda n: "abs(" * n + "r" + ")" * n],
)
def test_so_many_levels_and_no_more(nested):
    assert np.isfinite(Kernel(nested(39)).value(2.0))
    with pytest.raises(ValueError, match="nested too deeply; expected at most 40 levels"):
        Kernel(nested(40))


def test_powers_of_powers_are_refused_and_nested_functions_are_read_at_once():
    nested = "r"
    for _ in range(4):
        nested = f"({nested})**64"
    with pytest.raises(ValueError, match="at most 4096"):
        Kernel(nested)
    deep = "r"
    for _ in range(25):
        deep = f"maximum(1, {deep})"
    assert Kernel(deep).value(3.0) == 3.0  # in time that does not double with every level


def test_line_breaks_and_comments_are_those_of_python():
    kernel = Kernel("c / (1 # one\n + r)", softening=0.1)
    system = System([[0.0], [1.0]], kernel=kernel, operators=Operators(B=1.0, D=0.1), delay=0.1)
    assert solve(system, (0.0, 0.2)).success
