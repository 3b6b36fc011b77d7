"""What docs/extend.md promises, really done: an integrator, a layer and a command, each from one file."""

import importlib.util
import sys

import click
import numpy as np
import pytest

from dynsim.cli import _root
from dynsim.engine import METHODS, Operators, System, solve
from dynsim.kernels import Kernel
from dynsim.layers import Flatten, PlainFull
from dynsim.learning import train
from dynsim.models import Model

INTEGRATOR = '''
"""Ralston's method, order 2."""
from dynsim.engine import METHODS, Tableau

METHOD = Tableau(
    "ralston", 2, A=[[0, 0], [2 / 3, 0]], b=[1 / 4, 3 / 4], c=[0, 2 / 3], P=[[1, -3 / 4], [0, 3 / 4]],
    reference="Ralston, Math. Comp. 16 (1962) 431.",
)
METHODS[METHOD.name] = METHOD
'''

LAYER = '''
"""A factor for every signal."""
import numpy as np
from dynsim.layers import Layer, Parameter


class Gain(Layer):
    def __init__(self, n):
        self.gain = Parameter(np.ones(n, np.float32), "norm")

    def forward(self, x, training=False):
        self.memory = x if training else None
        return x * self.gain.value

    def backward(self, dy):
        self.gain.add((dy * self.memory).sum(axis=0))
        return dy * self.gain.value
'''

COMMAND = '''
"""dynsim hello."""
import click


@click.command()
@click.option("--name", default="neuron")
def command(name):
    """Greet."""
    click.echo(f"Hello, {name}.")
'''


@pytest.fixture
def module(tmp_path):
    """Load a module from the text of its one file."""

    def load(name, text):
        (tmp_path / f"{name}.py").write_text(text)
        spec = importlib.util.spec_from_file_location(name, tmp_path / f"{name}.py")
        made = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(made)
        return made

    return load


def test_an_integrator_is_one_file(module):
    module("ralston", INTEGRATOR)
    try:
        # Decay with a delayed signal besides, so that the interpolant counts, too.
        operators = Operators(A=0.3, B=1.0, D=0.2, F=-1.0)
        system = System([[1.0], [2.0]], Kernel("gaussian"), operators, delay=0.5)
        exact = solve(system, (0.0, 2.0), rtol=1e-11, atol=1e-12).q[-1]
        steps = np.array([0.05, 0.025, 0.0125])
        errors = [np.abs(solve(system, (0.0, 2.0), method="ralston", dt=dt).q[-1] - exact).max() for dt in steps]
        assert abs(np.polyfit(np.log(steps), np.log(errors), 1)[0] - 2) < 0.1
    finally:
        METHODS.pop("ralston")


def test_a_layer_is_one_file(module):
    Gain = module("gain", LAYER).Gain
    generator = np.random.default_rng(0)
    layer, x, dy = Gain(3), generator.standard_normal((5, 3)), generator.standard_normal((5, 3))
    layer.gain.value = generator.standard_normal(3)
    layer.gain.gradient = np.zeros(3)
    layer.forward(x, training=True)
    np.testing.assert_array_equal(layer.backward(dy), dy * layer.gain.value)
    step = 1e-6
    for k in range(3):
        ends = []
        for sign in (1, -1):
            layer.gain.value[k] += sign * step
            ends.append(np.sum(layer.forward(x) * dy))
            layer.gain.value[k] -= sign * step
        # Linear in the gain, so the central difference is exact but for rounding: eps / step.
        assert layer.gain.gradient[k] == pytest.approx((ends[0] - ends[1]) / (2 * step), abs=1e-8)
    import dynsim

    weights = generator.standard_normal((10, 64)).astype(np.float32) * 0.1
    model = Model([Flatten(), Gain(64), PlainFull(weights, np.zeros(10, np.float32))], {"model": "mine"})
    before = model.layers[1].gain.value.copy()
    # A guess is right once in ten times.
    assert train(model, dynsim.datasets.load("digits"), epochs=3, batch=64).test_accuracy > 30
    assert not np.array_equal(before, model.layers[1].gain.value)


def test_a_command_is_one_file(module, tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "dynsim.cli.hello", module("hello", COMMAND))
    monkeypatch.setattr(_root, "FOLDER", tmp_path)
    with pytest.raises(SystemExit) as stop:
        _root.main(["hello", "--name", "layer"])
    assert stop.value.code == 0 and capsys.readouterr().out == "Hello, layer.\n"
    assert _root.root.get_command(click.Context(_root.root), "hello").name == "hello"
