"""Observables of a simulation: what is written with every frame, read back, continued and drawn."""

import json

import numpy as np
import pytest
from click.testing import CliRunner

from dynsim.cli.simulate import command
from dynsim.engine import OBSERVABLES, Operators, System, Teacher, configure, observe
from dynsim.kernels import distance_entropy
from dynsim.plots import plot
from dynsim.trajectory import Trajectory, resume, run

PLAIN = [name for name, (_, _, needed) in OBSERVABLES.items() if not needed]
CONFIG = {
    "dimension": 2,
    "delay": 0.1,
    "kernel": {"softening": 0.2},
    "operators": {"B": [[0.3, -0.2]], "D": [[0.5], [0.1]], "F": -0.4},
    "groups": [{"neurons": 5}],
    "run": {"until": 2.0, "method": "rk4", "dt": 0.05, "observables": ["entropy", "spread"]},
}


def test_they_are_those_of_the_frames(tmp_path):
    system = System(np.random.default_rng(0).normal(size=(2, 6, 3)), operators=Operators(B=np.ones((1, 3)), F=-0.5))
    run(system, (0.0, 1.0), path=tmp_path / "run.h5", observables=PLAIN)
    with Trajectory(tmp_path / "run.h5") as file:
        assert list(file.observables) == PLAIN
        q = file.q[:].reshape(-1, 2, 6, 3)
        for k in range(file.frames):
            expected = observe(PLAIN, q[k], file.R[k], file.E[k])
            assert {name: values[k] for name, values in file.observables.items()} == expected
            assert expected["entropy"] == distance_entropy(q[k])
            centred = q[k] - q[k].mean(axis=1, keepdims=True)
            # Twelve squares of numbers of size 1.
            assert expected["spread"] == pytest.approx(np.sqrt((centred**2).sum(-1).mean()), rel=1e-14)
            assert expected["E_rms"] == pytest.approx(np.sqrt((file.E[k] ** 2).mean()), rel=1e-14)
            assert expected["R_largest"] == abs(file.R[k]).max()


def test_those_of_a_teacher_and_of_masses(tmp_path):
    generator = np.random.default_rng(0)
    teacher = Teacher(1, [0, 1, 1, 0], loss="cross-entropy", rate=1.5)
    system = System(
        generator.normal(size=(2, 6, 3)), operators=Operators(A=1.0), groups=[0, 0, 0, 1, 1, 1], mass=[2.0, 3.0],
        friction=0.0, strengths=[[0, 1], [0, 0]], clamped={0: generator.normal(size=(3, 4))}, teacher=teacher,
    )  # fmt: skip
    names = ["loss", "accuracy", "kinetic_energy", "energy"]
    solution = run(system, (0.0, 1.0), path=tmp_path / "run.h5", observables=names, method="verlet", dt=0.02)
    with Trajectory(tmp_path / "run.h5") as file:
        found = {name: file.observables[name][:] for name in names}
    E, u = solution.E[:, 3:], solution.velocity[:]
    np.testing.assert_allclose(found["loss"], teacher.value(E), rtol=1e-14)
    np.testing.assert_allclose(found["accuracy"], 100 * teacher.correct(E), rtol=1e-14)
    kinetic = 0.5 * (np.repeat([2.0, 3.0], 3)[:, None] * u**2).sum(axis=(1, 2, 3))
    np.testing.assert_allclose(found["kinetic_energy"], kinetic, rtol=1e-13)
    np.testing.assert_allclose(found["energy"], kinetic + 1.5 * found["loss"], rtol=1e-13)
    for one in names:
        with pytest.raises(ValueError, match=f"{one} of a system without"):
            run(system.replace(teacher=None, mass=0.0, velocity=None), (0.0, 1.0), path=tmp_path / "no.h5",
                observables=[one])  # fmt: skip
    assert not (tmp_path / "no.h5").exists()


def test_a_resumed_run_has_those_of_one_run(tmp_path):
    ready = configure(CONFIG)
    assert ready.observables == ("entropy", "spread")
    given = {"parameters": {"config": ready.config}, "observables": ready.observables, **ready.options}
    run(ready.system, ready.span, path=tmp_path / "whole.h5", **given)
    steps = []
    with pytest.raises(KeyboardInterrupt):
        run(
            ready.system,
            ready.span,
            path=tmp_path / "parts.h5",
            stop=lambda: steps.append(1) or len(steps) > 15,
            **given,
        )
    resume(tmp_path / "parts.h5")
    with Trajectory(tmp_path / "whole.h5") as whole, Trajectory(tmp_path / "parts.h5") as parts:
        assert parts.frames == whole.frames == 41
        for name in ("entropy", "spread"):
            assert np.array_equal(parts.observables[name], whole.observables[name])


def test_without_a_checkpoint_they_are_those_of_the_configuration(tmp_path):
    ready = configure(CONFIG)
    given = {"parameters": {"config": ready.config}, "observables": ready.observables, **ready.options}
    run(ready.system, ready.span, path=tmp_path / "run.h5", max_steps=3, **given)
    resume(tmp_path / "run.h5")
    with Trajectory(tmp_path / "run.h5") as file:
        assert list(file.observables) == ["entropy", "spread"] and file.frames == 41


def test_from_a_file_of_toml_to_a_figure(tmp_path):
    (tmp_path / "mine.toml").write_text(
        "dimension = 2\ngroups = [{neurons = 4}]\noperators = {F = -1.0}\n"
        '[run]\nuntil = 1.0\nframes = 5\nobservables = ["entropy"]\n'
    )
    result = CliRunner().invoke(command, [str(tmp_path / "mine.toml"), "-o", str(tmp_path / "run.h5")])
    assert result.exit_code == 0, result.output
    figure = plot(tmp_path / "run.h5", "observables")
    with Trajectory(tmp_path / "run.h5") as file:
        # Places shrink alike: distances keep their proportions, and a distance at the border of a bin may cross it.
        assert file.observables["entropy"].shape == (5,) and file.parameters["config"]["run"]["observables"] == [
            "entropy"
        ]
        np.testing.assert_array_equal(figure.axes[0].lines[0].get_ydata(), file.observables["entropy"])
    assert figure.axes[0].get_ylabel() == "entropy (bits)"
    text = CliRunner().invoke(command, [str(tmp_path / "mine.toml"), "--print-config"])
    assert 'observables = ["entropy"]' in text.output
    schema = json.loads(CliRunner().invoke(command, ["--print-schema"]).output)
    assert schema["properties"]["run"]["properties"]["observables"]["items"]["enum"] == list(OBSERVABLES)


def test_states_of_all_kinds():
    nothing = np.zeros((2, 1))
    assert np.isnan(observe(["entropy"], [[0.0], [1.0]], nothing, nothing)["entropy"])  # one distance only
    many = np.random.default_rng(0).normal(size=(3000, 2))
    some = many[np.linspace(0, 2999, 1000).astype(int)]
    assert observe(["entropy"], many, nothing, nothing)["entropy"] == distance_entropy(some)
    lost = observe(PLAIN, [[np.inf], [0.0], [1.0]], [[np.nan]] * 3, [[1e300]] * 3)
    assert np.isnan([lost["entropy"], lost["spread"], lost["R_rms"]]).all() and lost["E_rms"] == 1e300


@pytest.mark.parametrize(
    ("names", "error", "message"),
    [
        (["entropie"], ValueError, r"observables: got 'entropie'.*perhaps 'entropy'|entropy"),
        (["entropy", "entropy"], ValueError, "each name once"),
        ("entropy", TypeError, "observables: got"),
    ],
)
def test_what_is_refused_leaves_the_file(tmp_path, names, error, message):
    path = tmp_path / "run.h5"
    path.write_bytes(b"old")
    with pytest.raises(error, match=message):
        run(System([[1.0]]), (0.0, 1.0), path=path, overwrite=True, observables=names)
    with pytest.raises(error, match=message):
        configure({**CONFIG, "run": {"until": 1.0, "observables": names}})
    assert path.read_bytes() == b"old"
