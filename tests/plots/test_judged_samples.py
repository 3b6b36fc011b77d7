"""Films of runs with a teacher show the samples: where the judged group puts them, and what is right."""

import numpy as np
import pytest
from PIL import Image

import dynsim
from dynsim.engine import Operators, System, Teacher
from dynsim.engine.presets import preset
from dynsim.plots import animate
from dynsim.plots._judged_samples import JudgedSamples, has_teacher
from dynsim.plots._sources import opened


def judged_by(teacher, neurons):
    generator = np.random.default_rng(0)
    groups = np.repeat([0, 1], [3, neurons])
    return System(
        generator.standard_normal((3 + neurons, 2)),
        operators=Operators(A=1.0),
        groups=groups,
        strengths=[[0.0, 1.0], [0.0, 0.0]],
        clamped={0: generator.standard_normal((3, 6))},
        signals=6,
        teacher=teacher,
    )


@pytest.mark.parametrize("neurons", [1, 2, 5])
def test_samples_are_where_the_group_puts_them(neurons):
    labels = [0, 1, 0, 1, 1, 0]
    teacher = Teacher(1, [labels]) if neurons == 1 else Teacher(1, labels, loss="cross-entropy")
    solution = dynsim.solve(judged_by(teacher, neurons), (0.0, 1.0), t_eval=[0.0, 0.5, 1.0])
    with opened(solution) as trajectory:
        assert has_teacher(trajectory)
        samples = JudgedSamples(trajectory, range(3))
        places, E = samples.places(1), solution.E[1, 3:]
    assert places.shape == (6, 2) and samples.wanted.tolist() == labels
    if neurons == 2:
        np.testing.assert_array_equal(places, E.T)
    elif neurons == 1:
        np.testing.assert_array_equal(places, np.stack([E[0], labels], axis=1))
    else:  # distances in the plane are at most those of the signals, and of the last frame the plane has most of them
        full = np.linalg.norm(E[:, None] - E[:, :, None], axis=0)
        flat = np.linalg.norm(places[None] - places[:, None], axis=-1)
        assert np.all(flat <= full * (1 + 1e-12)) and flat.sum() > 0.5 * full.sum()


def test_a_film_has_both_panels(tmp_path):
    system, _, options = preset("learn", seed=1)
    options.pop("record")
    solution = dynsim.solve(system, (0.0, 2.0), t_eval=[0.0, 1.0, 2.0], **options)
    film = tmp_path / "learn.gif"
    assert animate(solution, film, size=(640, 320))["frames"] == 3
    with Image.open(film) as pictures:
        first = np.asarray(pictures.convert("RGB"), dtype=int)
        pictures.seek(2)
        last = np.asarray(pictures.convert("RGB"), dtype=int)
    changed = np.abs(first - last).sum(axis=2) > 60
    assert changed[:, :300].sum() > 50 and changed[:, 330:].sum() > 50


def test_without_a_teacher_there_is_one(tmp_path):
    solution = dynsim.solve(System(np.eye(3), operators=Operators(F=-1.0)), (0.0, 1.0))
    with opened(solution) as trajectory:
        assert not has_teacher(trajectory)
