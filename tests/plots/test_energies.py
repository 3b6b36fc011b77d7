"""Energies of neurons with mass are drawn as they are; the drift of their sum is in the title."""

import re

import numpy as np
import pytest

import dynsim
from dynsim.engine import Operators, System, Teacher
from dynsim.plots import available, plot
from dynsim.plots._energies import drift, energies
from dynsim.trajectory import SolutionTrajectory, Trajectory, TrajectoryWriter, run


@pytest.fixture
def springs():
    q = np.random.default_rng(1).normal(size=(4, 2))
    return System(q, operators=Operators(F=-20.0), mass=[1.0, 2.0], friction=0.1, groups=[0, 1, 1, 0])


def taught(**changes):
    """A layer that emits given signals, and one that learns from them, without friction."""
    rng = np.random.default_rng(0)
    return System(rng.normal(size=(8, 3)), **{
        "operators": Operators(A=1.0), "groups": [0] * 5 + [1] * 3, "strengths": [[0, 1], [0, 0]],
        "clamped": {0: rng.normal(size=(5, 4))}, "kernel": dynsim.Kernel("gaussian"), "mass": 1.0, "friction": 0.0,
        "teacher": Teacher(1, rng.normal(size=(3, 4)), rate=0.5), "signals": 4, **changes,
    })  # fmt: skip


def lines(figure):
    """{label: values} of the first panel."""
    labels = [text.get_text() for text in figure.legends[0].get_texts()]
    return dict(zip(labels, (line.get_ydata() for line in figure.axes[0].lines), strict=True))


@pytest.mark.parametrize("copies", [1, 2])
def test_kinetic_energy_of_all_and_of_each_group(tmp_path, springs, copies):
    system = springs if copies == 1 else springs.replace(q=np.stack([springs.q, -2 * springs.q]), velocity=None)
    path = tmp_path / "run.h5"
    solution = dynsim.solve(system, (0.0, 3.0), path=path, method="verlet", dt=0.0625)
    each = 0.5 * np.array([1.0, 2.0, 2.0, 1.0]) * np.sum(np.asarray(solution.velocity) ** 2, axis=-1)
    each = each.reshape(len(each), copies, 4).sum(axis=1)
    figure = plot(path, "energy")
    drawn = lines(figure)
    assert list(drawn) == ["kinetic", "kinetic, group 0", "kinetic, group 1"]
    # Sums of a few positive numbers in another order.
    assert np.allclose(drawn["kinetic"], each.sum(axis=1), rtol=1e-14, atol=0)
    assert np.allclose(drawn["kinetic, group 1"], each[:, 1:3].sum(axis=1), rtol=1e-14, atol=0)
    assert figure.axes[0].get_ylabel() == "energy" and "drift" not in figure.axes[0].get_title()
    inside = dynsim.solve(system, (0.0, 3.0), method="verlet", dt=0.0625)
    assert np.array_equal(lines(plot(inside, "energy"))["kinetic"], drawn["kinetic"])


def test_frames_are_read_in_blocks(springs, monkeypatch):
    source = SolutionTrajectory(dynsim.solve(springs, (0.0, 3.0), method="verlet", dt=0.0625))
    whole = energies(source, slice(None, None, 3), by_group=True)
    monkeypatch.setattr("dynsim.plots._energies._BLOCK", 1)
    assert all(
        np.array_equal(values, whole[name]) for name, values in energies(source, slice(None, None, 3), True).items()
    )


def test_more_groups_than_lines_are_drawn_together(springs):
    q = np.zeros((7, 1)) + np.arange(7.0)[:, None]
    system = System(q, operators=Operators(F=-1.0), mass=1.0, groups=np.arange(7))
    figure = plot(dynsim.solve(system, (0.0, 1.0), method="verlet", dt=0.25), "energy")
    assert list(lines(figure)) == ["kinetic"]


@pytest.mark.parametrize("observed", [False, True])
def test_the_energy_of_a_loss_and_the_drift_of_the_sum(tmp_path, observed):
    system, path = taught(), tmp_path / "run.h5"
    run(system, (0.0, 4.0), path=path, method="verlet", dt=0.03125)
    with Trajectory(path) as read:
        loss = 0.5 * system.teacher.value(read.E[...][:, 5:])
        kinetic = 0.5 * np.sum(read.velocity[...] ** 2, axis=(1, 2))
        if observed:  # a file that has the loss among its observables is believed
            with TrajectoryWriter(
                tmp_path / "own.h5", neurons=8, dimension=3, signals=4, groups=system.groups, mass=1.0,
                observables=["loss"], provenance={"system": read.provenance["system"]},
            ) as writer:  # fmt: skip
                for k in range(read.frames):
                    writer.write(k, read.time[k], read.q[k], read.R[k], read.E[k], read.velocity[k], loss=2 * k)
            path, loss = tmp_path / "own.h5", np.arange(read.frames, dtype=float)
    figure = plot(path, "energy")
    drawn = lines(figure)
    assert list(drawn)[:3] == ["kinetic", "rate times loss", "sum"]
    # Sums of a few dozen numbers in another order.
    assert np.allclose(drawn["rate times loss"], loss, rtol=1e-13, atol=0)
    total = loss + kinetic
    assert np.allclose(drawn["sum"], total, rtol=1e-13, atol=0)
    lost = np.abs(total - total[0]).max() / np.abs(total).max()
    said = re.search(r"energy drift (\S+)$", figure.axes[0].get_title())
    # It is written with two digits.
    assert float(said[1]) == pytest.approx(lost, rel=0.06) and "drift:" in figure.get_supxlabel()
    if not observed:  # order 2 with a step of 1 / 32; see tests/engine for its order
        assert lost < 1e-3
    own = plot(path, "energy", title="mine")
    assert own.axes[0].get_title() == "mine"


def test_drift_where_there_is_none():
    assert drift({"kinetic": np.ones(3)}) is None and drift({"sum": np.zeros(3)}) is None
    assert drift({"sum": np.array([1.0, np.nan])}) is None and drift({"sum": np.ones(3)}) == 0.0


def test_several_runs(tmp_path, springs):
    light = dynsim.solve(System(np.eye(2), operators=Operators(F=-1.0)), (0.0, 1.0))
    heavy = dynsim.solve(springs, (0.0, 1.0), method="verlet", dt=0.125)
    figure = plot({"light": light, "heavy": heavy, "taught": dynsim.solve(taught(), (0.0, 1.0))}, "energy")
    labels = [text.get_text() for text in figure.legends[0].get_texts()]
    assert labels == ["light", "heavy", "taught", "kinetic", "rate times loss", "sum"]
    assert {axes.get_ylabel() for axes in figure.axes} >= {"energy", "$|R|$"}
    received = next(axes for axes in figure.axes if axes.get_ylabel() == "$|R|$")
    assert {line.get_linestyle() for line in received.lines} == {"-"}


def test_velocities_of_all_figures_are_those_of_the_run(springs):
    solution = dynsim.solve(springs, (0.0, 2.0), method="verlet", dt=0.0625)
    assert {"forces", "phase", "energy"} <= set(available(SolutionTrajectory(solution)))
    figure = plot(solution, "phase", neurons=[2], component=1)
    drawn = figure.axes[0].lines[0].get_xydata()
    assert np.array_equal(drawn, np.stack([solution.q[:, 2, 1], solution.velocity[:, 2, 1]], axis=1))
    figure = plot(solution, "forces", frame=3)
    assert figure.axes[0].get_title().startswith("Velocities q' of") and "times the velocity" in figure.get_supxlabel()


def test_what_is_not_known_is_said():
    system = taught(mass=0.0, friction=1.0)
    solution = dynsim.solve(system, (0.0, 1.0), method="rk4", dt=0.125)
    assert "forces" not in available(SolutionTrajectory(solution))
    assert "force of a teacher" in plot(solution, "energy").get_supxlabel()
    warm = System(np.eye(2), operators=Operators(F=-1.0), temperature=0.1)
    figure = plot(dynsim.solve(warm, (0.0, 1.0), method="sra1", dt=0.125), "energy")
    assert "q' is that without the noise" in figure.get_supxlabel()
