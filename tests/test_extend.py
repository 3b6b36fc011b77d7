"""What docs/extend.md and CONTRIBUTING.md promise is done to a copy of the package, and the files touched are counted.

Each addition is made as a user would make it, its tests are run in the copy by another process, and the package in the
copy differs from this one by that one file.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow  # kernels are compiled anew in the copy
ROOT = Path(__file__).parent.parent
PARTS = "dynsim tests docs experiments README.md CHANGELOG.md CITATION.cff conftest.py pyproject.toml setup.cfg".split()

INTEGRATOR = '''"""Ralston's method, order 2."""

from ._tableau import Tableau

METHOD = Tableau(
    "ralston",
    2,
    A=[[0, 0], [2 / 3, 0]],
    b=[1 / 4, 3 / 4],
    c=[0, 2 / 3],
    P=[[1, -3 / 4], [0, 3 / 4]],
    reference="Ralston, Math. Comp. 16 (1962) 431.",
)
'''
KERNEL = '    "cauchy": ("c / (1 + (r / length)**2)", "falls slowly, smooth where two neurons meet"),\n'
LAYER = '''"""A factor for every signal."""

import numpy as np

from ._layer import Layer, Parameter


class Gain(Layer):
    """Multiply every signal by a number that is learned.

    >>> Gain(2).forward(np.ones((1, 2)))
    array([[1., 1.]])
    """

    def __init__(self, n):
        self.gain = Parameter(np.ones(n), "norm")

    def forward(self, x, training=False):
        """Return gain * x."""
        self.memory = x if training else None
        return x * self.gain.value

    def backward(self, dy):
        """Return dL/dx."""
        self.gain.add((dy * self.memory).sum(axis=0))
        return dy * self.gain.value
'''
FIGURE = '''"""How far the neurons are from their mean."""

import numpy as np

from ._figure_kinds import figure_kind
from ._figure_style import decorate, new_figure, time_label


@figure_kind("spread", "root mean square distance from the mean place")
def draw_spread(trajectory, *, title=None, size=None):
    """Draw the spread of all places over time."""
    figure = new_figure(size)
    axes = figure.subplots()
    places = trajectory.q[...]
    distance = np.sqrt(np.mean(np.sum((places - places.mean(axis=1, keepdims=True)) ** 2, axis=2), axis=1))
    axes.plot(trajectory.time[...], distance)
    decorate(axes, time_label(trajectory), "spread")
    axes.set_title(title or "Spread of all places")
    return figure
'''
COMMAND = '''"""dynsim frames: print how many frames a trajectory has."""

import click


@click.command()
@click.argument("file", type=click.Path())
def command(file):
    """Print the number of frames of FILE.

    \\b
    dynsim frames run.h5
    """
    from dynsim.trajectory import Trajectory

    with Trajectory(file) as trajectory:
        click.echo(trajectory.frames)
'''


def contents(folder):
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in (folder / "dynsim").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }


class Copy:
    """A copy of the checkout that one addition is made to."""

    def __init__(self, folder):
        self.folder = folder
        for name in PARTS:
            if (ROOT / name).is_dir():
                shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("results"))
            else:
                shutil.copy2(ROOT / name, folder / name)

    def touched(self):
        """Files of the package that differ from those of the checkout."""
        ours, theirs = contents(ROOT), contents(self.folder)
        return {name for name in ours.keys() | theirs.keys() if ours.get(name) != theirs.get(name)}

    def python(self, *arguments, **environment):
        """Run Python in the copy and return what it prints."""
        done = subprocess.run(
            [sys.executable, *arguments],
            cwd=self.folder,
            env={**os.environ, "PYTHONPATH": str(self.folder), **environment},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
        return done.stdout

    def tests(self, *arguments, **environment):
        """Run tests of the copy; at least one must be chosen."""
        shown = self.python("-m", "pytest", "-n", "0", "-p", "no:cacheprovider", *arguments, **environment)
        assert "[100%]" in shown, shown


@pytest.fixture
def copy(tmp_path):
    folder = tmp_path / "copy"
    folder.mkdir()
    return Copy(folder)


def test_an_integrator_is_one_file(copy):
    (copy.folder / "dynsim/engine/integrators/ralston.py").write_text(INTEGRATOR)
    assert copy.touched() == {"dynsim/engine/integrators/ralston.py"}
    copy.tests("tests/engine/test_orders.py", "-k", "ralston and not instant")  # its order, with and without delay
    assert "ralston" in copy.python("-m", "dynsim", "simulate", "--preset", "pair", "--set", "run.method=ralston",
                                    "--set", "run.dt=0.01", "--dry-run")  # fmt: skip


def test_a_kernel_is_one_line(copy):
    table = copy.folder / "dynsim/kernels/_profiles.py"
    lines = table.read_text().splitlines(keepends=True)
    last = max(number for number, line in enumerate(lines) if line.startswith('    "'))
    table.write_text("".join([*lines[: last + 1], KERNEL, *lines[last + 1 :]]))
    assert copy.touched() == {"dynsim/kernels/_profiles.py"}
    assert len(lines) + 1 == len(table.read_text().splitlines())
    copy.tests("tests/kernels/test_pairs.py", "-k", "cauchy")  # sums and forces, in both precisions and metrics
    program = """
import numpy as np
from dynsim.kernels import Kernel, pair_matrix
from dynsim.layers import Full
kernel = Kernel("cauchy", scale=2.0, length=3.0)
places = np.random.default_rng(0).normal(size=(1, 5, 2)).astype(np.float32)
r = np.sqrt(((places[0][:, None] - places[0] - 1) ** 2).sum(-1))
expected = 2 / (1 + (r / 3) ** 2)
np.testing.assert_allclose(pair_matrix(kernel, places[0] + 1, places[0]), expected, rtol=1e-5)
np.testing.assert_allclose(Full(places + 1, places, [1.0], kernel).materialize(), expected, rtol=1e-5)
assert "cauchy" in Kernel.__doc__
"""
    copy.python("-c", program)


def test_a_layer_is_one_file(copy):
    (copy.folder / "dynsim/layers/gain.py").write_text(LAYER)
    assert copy.touched() == {"dynsim/layers/gain.py"}
    tests = copy.folder / "tests/layers/test_forces.py"
    text = tests.read_text().replace("import pytest\n", "import pytest\n\nfrom dynsim.layers.gain import Gain\n", 1)
    tests.write_text(
        text.replace("    yield ReLU(), (4, 5)\n", "    yield ReLU(), (4, 5)\n    yield Gain(5), (4, 5)\n")
    )
    copy.tests("tests/layers/test_forces.py", "dynsim/layers/gain.py", "-k", "Gain")
    program = """
import numpy as np
import dynsim
from dynsim.layers import Flatten, PlainFull
from dynsim.layers.gain import Gain
weights = np.random.default_rng(0).normal(0, 0.1, (10, 64)).astype(np.float32)
model = dynsim.models.Model([Flatten(), Gain(64), PlainFull(weights, np.zeros(10, np.float32))], {"model": "mine"})
result = dynsim.train(model, dynsim.datasets.load("digits"), epochs=3, batch=64)
assert result.test_accuracy > 30  # a guess is right once in ten times
assert not (model.layers[1].gain.value == 1).all()
"""
    copy.python("-c", program)


def test_a_kind_of_figure_is_one_file(copy):
    (copy.folder / "dynsim/plots/_spread_plot.py").write_text(FIGURE)
    assert copy.touched() == {"dynsim/plots/_spread_plot.py"}
    copy.tests("tests/plots/test_images.py", "-k", "look_as_they_did and spread", DYNSIM_BASELINE="write")
    assert (copy.folder / "tests/plots/baseline/spread.png").is_file()
    copy.tests("tests/plots/test_images.py", "tests/plots/test_plot.py", "-k", "spread")
    copy.tests("tests/plots/test_cli_plot.py", "-k", "help or lists")
    assert "spread" in copy.python("-m", "dynsim", "plot", "--help")


def test_a_command_is_one_file(copy):
    (copy.folder / "dynsim/cli/frames.py").write_text(COMMAND)
    assert copy.touched() == {"dynsim/cli/frames.py"}
    copy.tests("tests/test_documents.py", "-k", "every_command or changelog")
    assert "print how many frames" in copy.python("-m", "dynsim", "--help").lower()
    assert "dynsim frames run.h5" in copy.python("-m", "dynsim", "frames", "--help")
    copy.python("-m", "dynsim", "simulate", "--preset", "pair", "--until", "1", "-o", "run.h5")
    assert int(copy.python("-m", "dynsim", "frames", "run.h5")) > 1
