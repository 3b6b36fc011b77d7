"""Every argument is given nonsense, and refused at the door in one sentence that names it."""

import warnings

import numpy as np
import pytest

from dynsim.engine import EveryStep, Operators, System, Times, solve
from dynsim.engine.presets import preset

Q = np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
NAN = float("nan")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"q": [1.0, 2.0]}, r"q: got shape \(2,\)"),
        ({"q": np.zeros((0, 2))}, "q: got shape"),
        ({"q": np.full((3, 2), NAN)}, "q: entry"),
        ({"q": "places"}, "q"),
        ({"q": None}, "q"),
        ({"q": Q * 1j}, "q"),
        ({"kernel": "inverse"}, "kernel: got str"),
        ({"operators": {"A": 1}}, "operators: got dict"),
        ({"delay": -1.0}, "delay"),
        ({"delay": NAN}, "delay"),
        ({"delay": "long"}, "delay"),
        ({"delay": [0.1, 0.2]}, r"delay: got shape \(2,\); expected a number, or \(1, 1\)"),
        ({"delay": np.ones((3, 3)), "groups": [0, 1, 1]}, r"delay: got shape \(3, 3\); expected a number, or \(2, 2\)"),
        ({"delay": [[0.1, -0.2], [0.3, 0.4]], "groups": [0, 1, 1]}, "delay: got -0.2; expected numbers from 0 on"),
        ({"delay": [[0.1, NAN], [0.3, 0.4]], "groups": [0, 1, 1]}, "delay: entry"),
        ({"groups": [0, 1]}, "groups"),
        ({"groups": [0, 1, -1]}, "groups"),
        ({"groups": [0, 0.5, 1]}, "groups"),
        ({"groups": ["a", "b", "c"]}, "groups"),
        ({"strengths": np.ones((2, 2))}, "strengths"),
        ({"groups": [0, 1, 2], "strengths": np.ones((2, 2))}, "strengths"),
        ({"groups": [0, 1, 1], "strengths": np.ones((4, 2, 2))}, "strengths"),
        ({"groups": [0, 1, 1], "strengths": [[1.0, NAN], [0.0, 0.0]]}, "strengths: entry"),
        ({"groups": [0, 1, 1], "strengths": "strong"}, "strengths"),
        ({"drive": np.ones(2)}, "drive: got shape"),
        ({"drive": NAN}, "drive"),
        ({"drive": "loud"}, "drive"),
        ({"drive": ([0.0, 0.0], np.zeros((2, 3, 1)))}, "drive times"),
        ({"drive": ([0.0], np.zeros((1, 3, 1)))}, "drive times"),
        ({"drive": ([0.0, 1.0], np.zeros((3, 3, 1)))}, "drive values"),
        ({"clamped": [0]}, "clamped: got list"),
        ({"clamped": {1: 0.0}}, "clamped: got group 1"),
        ({"clamped": {"0": 0.0}}, "clamped: got group"),
        ({"clamped": {0: np.ones((2, 1))}}, "clamped group 0"),
        ({"clamped": {0: NAN}}, "clamped group 0"),
        ({"signals": 0}, "signals"),
        ({"signals": 1.5}, "signals"),
        ({"signals": 3, "operators": Operators(A=np.eye(2))}, "signals: got 3; expected 2"),
    ],
)
def test_systems_of_nonsense_are_refused(arguments, words):
    with pytest.raises((ValueError, TypeError), match=words) as caught:
        System(**({"q": Q} | arguments))
    assert str(caught.value).rstrip().endswith((".", ")", "]"))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"system": Q}, "system: got an array"),
        ({"span": (1.0, 1.0)}, "span"),
        ({"span": (1.0, 0.0)}, "span"),
        ({"span": (0.0, NAN)}, "span"),
        ({"span": 3.0}, "span"),
        ({"span": "all"}, "span"),
        ({"span": None}, "span"),
        ({"method": "rk5"}, "method: got 'rk5'; expected one of .*euler.*heun.*rk4"),
        ({"method": None}, "method"),
        ({"dt": 0.1}, "dt: got 0.1 with dopri5.*euler, heun, rk4"),
        ({"method": "rk4"}, "dt: got None"),
        ({"method": "rk4", "dt": 0.0}, "dt"),
        ({"method": "rk4", "dt": NAN}, "dt"),
        ({"method": "rk4", "dt": "short"}, "dt"),
        ({"rtol": -1.0}, "rtol"),
        ({"rtol": "fine"}, "rtol"),
        ({"rtol": 1e-16}, "rtol"),
        ({"rtol": 0, "atol": 0}, "rtol, atol"),
        ({"atol": NAN}, "atol"),
        ({"t_eval": [2.0]}, "t_eval: got 2"),
        ({"t_eval": [0.5, 0.5]}, "times: entry 1"),
        ({"t_eval": 0.5}, "t_eval"),
        ({"t_eval": [0.5], "record": EveryStep()}, "t_eval, record"),
        ({"record": 3}, "record: got int"),
        ({"record": "all"}, "record: got str"),
        ({"events": 3}, "events: got int"),
        ({"events": [3]}, "events: got int"),
        ({"events": lambda t, q: q}, "events"),
        ({"events": lambda t, q: NAN}, "events"),
        ({"dense_output": "yes"}, "dense_output"),
        ({"history": lambda t: Q}, "history: got one for a system of delay 0"),
        ({"callback": 3}, "callback"),
        ({"max_steps": 0}, "max_steps"),
        ({"max_steps": 1.5}, "max_steps"),
        ({"sink": "file"}, "sink"),
        ({"keep": 1}, "keep"),
        ({"checkpoint": 1}, "checkpoint"),
        ({"resume": {"t": 0.0}}, "resume"),
        ({"resume": 3}, "resume"),
    ],
)
def test_runs_of_nonsense_are_refused(arguments, words):
    with pytest.raises((ValueError, TypeError), match=words):
        solve(**({"system": System(Q, operators=Operators(F=-1.0)), "span": (0.0, 1.0)} | arguments))


@pytest.mark.parametrize(
    ("history", "words"),
    [
        (3, "history: got int"),
        (lambda t: Q[:1], "history places at t = -0.5: got shape"),
        (lambda t: (Q, np.zeros((2, 1))), "history signals"),
        (lambda t: Q * NAN, "history places"),
    ],
)
def test_histories_of_nonsense_are_refused(history, words):
    with pytest.raises((ValueError, TypeError), match=words):
        solve(System(Q, delay=0.5), (0.0, 1.0), history=history)


def test_an_earlier_solution_must_fit_as_history():
    system = System(Q, delay=0.5)
    plain = solve(system, (0.0, 1.0))
    with pytest.raises(TypeError, match="dense_output"):
        solve(system, (1.0, 2.0), history=plain)
    dense = solve(system, (0.0, 1.0), dense_output=True)
    with pytest.raises(ValueError, match="covers one delay"):
        solve(system, (2.0, 3.0), history=dense)
    late = solve(system, (1e6, 1e6 + 1.0), dense_output=True, method="rk4", dt=0.25)
    assert solve(system, (1e6 + 1.0 + 1e-10, 1e6 + 2.0), history=late, method="rk4", dt=0.25).success  # a rounding
    with pytest.raises(ValueError, match="covers one delay"):
        solve(system, (1e6 + 1.0 + 1e-6, 1e6 + 2.0), history=late, method="rk4", dt=0.25)
    with pytest.raises(ValueError, match="history: got places"):
        solve(System(Q[:2], delay=0.5), (1.0, 2.0), history=dense)
    for t in (-0.1, 1.1, NAN):
        with pytest.raises(ValueError, match="expected a time of the run"):
            dense.sol(t)
    with pytest.raises(ValueError, match="got shape"):
        dense.sol(np.zeros((2, 2)))


def test_a_state_must_fit_to_go_on():
    delayed, at_once = System(Q, delay=0.5), System(Q)
    state = solve(delayed, (0.0, 0.6)).state
    with pytest.raises(ValueError, match="another delay"):
        solve(at_once, (0.0, 1.0), resume=state)
    with pytest.raises(ValueError, match="expected one before"):
        solve(delayed, (0.0, 0.6), resume=state)
    with pytest.raises(ValueError, match="resume: got a state of method dopri5"):
        solve(delayed, (0.0, 1.0), method="tsit5", resume=state)
    with pytest.raises(ValueError, match="resume q"):
        solve(System(Q[:2], delay=0.5), (0.0, 1.0), resume=state)


@pytest.mark.parametrize("value", ["loud", np.ones(7), None])
def test_a_drive_of_nonsense_is_refused_by_name(value):
    with pytest.raises((ValueError, TypeError), match="drive at t = 0: got"):
        solve(System(Q, drive=lambda t: value), (0.0, 1.0))


def test_record_objects_refuse_nonsense():
    for n in (0, -1, 1.5, "all"):
        with pytest.raises((ValueError, TypeError), match="EveryStep"):
            EveryStep(n)
    for times in ([1.0, 0.0], [[0.0]], "now", [NAN]):
        with pytest.raises((ValueError, TypeError), match="times"):
            Times(times)


@pytest.mark.parametrize(("name", "seed"), [("paair", 0), (None, 0), ("pair", -1), ("pair", 0.5)])
def test_presets_refuse_nonsense(name, seed):
    with pytest.raises((ValueError, TypeError), match=r"preset|seed"):
        preset(name, seed)


def test_a_system_keeps_its_own_copy():
    q = Q.copy()
    system = System(q)
    q[...] = 7.0
    assert np.array_equal(system.q, Q)
    read_only = Q.copy()
    read_only.setflags(write=False)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert solve(System(read_only[:, ::-1], operators=Operators(F=-1.0)), (0.0, 0.1)).success


def test_number_of_signals_is_found():
    assert System(Q).signals == 1
    assert System(Q, drive=np.zeros((3, 4))).signals == 4
    assert System(Q, drive=([0.0, 1.0], np.zeros((2, 3, 4)))).signals == 4
    assert System(Q, groups=[0, 1, 1], clamped={1: np.zeros((2, 5))}).signals == 5
    assert System(Q, operators=Operators(D=np.zeros((2, 6))), drive=0.0).signals == 6
    assert "neurons=3" in repr(System(Q))
