"""Trajectories to draw."""

import json

import numpy as np
import pytest

import dynsim
from dynsim.trajectory import TrajectoryWriter
from dynsim.trajectory._stored_system import describe_system


def described(neurons, dimension, copies, signals, groups):
    """A system by which the neurons of `make_file` might move, q' = -q."""
    if not signals:
        return None
    shape = (neurons, dimension) if copies == 1 else (copies, neurons, dimension)
    operators = dynsim.Operators(F=-1.0)
    return describe_system(dynsim.System(np.zeros(shape), operators=operators, groups=groups, signals=signals))


@pytest.fixture
def make_file(tmp_path):
    """A function that writes neurons on damped orbits, and, with signals, a system that makes q' = -q."""

    def make(neurons=4, dimension=3, *, frames=40, copies=1, signals=1, groups=None, observables=(), diverge=False):
        rng = np.random.default_rng(1)
        centre, phase = rng.normal(size=(2, copies, neurons, dimension))
        path = tmp_path / f"run-{len(list(tmp_path.iterdir()))}.h5"
        with TrajectoryWriter(
            path,
            neurons=neurons,
            dimension=dimension,
            copies=copies,
            signals=signals,
            groups=groups,
            observables=observables,
            provenance={"system": described(neurons, dimension, copies, signals, groups)},
        ) as writer:
            for k in range(frames):
                t = 0.1 * k
                q = centre + np.exp(-t) * np.sin(t + phase)
                pair = ()
                if signals:
                    R = np.sin(t + phase[0, :, :1]) * np.ones(signals)
                    pair = (R, np.tanh(R))
                if diverge and k >= frames - 2:
                    q, pair = q * np.nan, tuple(p * np.nan for p in pair)
                writer.write(k, t, q, *pair, **dict.fromkeys(observables, np.exp(-5 * t)))
        return path

    return make


@pytest.fixture
def lines(tmp_path):
    def make(entries, name="lines.jsonl"):
        path = tmp_path / name
        path.write_text("".join(json.dumps(entry) + "\n" for entry in entries))
        return path

    return make
