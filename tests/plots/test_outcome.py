"""Figures, films and pages say of a run that it diverged, failed or was interrupted."""

import json
import re

import h5py
import numpy as np
import pytest

import dynsim
from dynsim.plots import animate, available, plot, view
from dynsim.plots._film import _Picture
from dynsim.plots._outcome import ending
from dynsim.trajectory import SolutionTrajectory, Trajectory, TrajectoryWriter, resume, validate


def write(path, outcome=None, parameters=None, **records):
    """Four frames of two neurons, up to time 0.3."""
    with TrajectoryWriter(
        path, neurons=2, dimension=2, signals=1, parameters=parameters or {}, observables=["loss"]
    ) as writer:
        for k in range(4):
            writer.write(k, 0.1 * k, k * np.eye(2), [1.0, k], [0.0, k], loss=1.0)
        for name, value in {**records, **({} if outcome is None else {"outcome": outcome})}.items():
            writer.record(name, value)
    return path


@pytest.mark.parametrize(
    ("outcome", "parameters", "expected"),
    [
        ({"status": 0, "message": "Reached the end."}, {"span": [0.0, 0.3]}, None),
        ({"status": 1, "message": "An event."}, {}, None),
        ({"status": -2, "message": "Diverged in step 4 at t = 0.4: x; y. Do z."}, {},
         ("diverged", "Diverged in step 4 at t = 0.4: x.")),
        ({"status": -1}, {}, ("failed", "The run failed after time 0.3.")),
        ({}, {}, ("interrupted", "Interrupted, or still running: time 0.3.")),
        (None, {"span": [0.0, 10.0]}, ("interrupted", "Interrupted, or still running: time 0.3 of 10.")),
        (None, {}, None),  # frames of another program
        (None, {"span": ["no", "numbers"]}, None),
    ],
)  # fmt: skip
def test_the_ending_of_a_file(tmp_path, outcome, parameters, expected):
    with Trajectory(write(tmp_path / "run.h5", outcome, parameters)) as read:
        found = ending(read)
    assert found == (expected and (expected[0], pytest.approx(0.3), expected[1]))


def test_every_figure_says_that_a_run_was_interrupted(tmp_path):
    path = write(tmp_path / "run.h5", {})
    kinds = available(path)
    assert len(kinds) >= 8
    for kind in kinds:
        figure = plot(path, kind)
        (said,) = [text for text in figure.texts if "still running" in text.get_text()]
        assert said.get_color() == "#B00020"
        panels = [axes for axes in figure.axes if axes.get_label() != "<colorbar>"]
        over_time = panels[-1].get_xlabel() == "time (dimensionless)"
        for axes in panels:
            marks = [line for line in axes.lines if line.get_color() == "#B00020"]
            assert [line.get_xdata()[0] for line in marks] == ([pytest.approx(0.3)] if over_time else [])
        figure.draw_without_rendering()
        # The sentence takes the place of the last lines of the note, which are empty; panels are above both.
        note, red = figure.get_supxlabel().split("\n"), said.get_window_extent()
        assert figure._supxlabel.get_window_extent().y0 == pytest.approx(red.y0)
        assert set(note[-1 - said.get_text().count("\n") :]) == {" "}
        assert min(axes.get_tightbbox().y0 for axes in figure.axes) > red.y1


def test_a_diverged_solution_and_its_film(tmp_path):
    system = dynsim.System(np.array([[0.0], [2.0]]), operators=dynsim.Operators(A=1e20), delay=0.1, drive=1.0)
    with np.errstate(all="ignore"):
        solution = dynsim.solve(system, (0.0, 10.0), method="rk4", dt=0.1)
    assert solution.status < 0
    read = SolutionTrajectory(solution)
    word, time, sentence = ending(read)
    assert word in ("diverged", "failed") and time == solution.t[-1] and sentence.lower().startswith(word)
    small = SolutionTrajectory(solution)
    picture = _Picture(small, range(0, small.frames, 2), dim=2, axes="coordinates", size=(480, 360))
    picture.draw(0, np.zeros((2, 1)))
    assert word not in picture.clock.get_text()
    picture.draw(picture.last, np.zeros((2, 1)))
    assert f": {word}" in picture.clock.get_text()
    assert any(sentence[:20] in text.get_text() for text in picture.figure.texts)


def test_a_page_and_a_film_of_an_interrupted_run(tmp_path):
    def ended(page):
        return json.loads(re.search(r'id="header">(.*?)</script>', page.read_text())[1])["ended"]

    path = write(tmp_path / "run.h5", {})
    view(path, tmp_path / "run.html")
    assert ended(tmp_path / "run.html") == "Interrupted, or still running: time 0.3."
    assert '<p id="ended" role="status"' in (tmp_path / "run.html").read_text()
    view(write(tmp_path / "whole.h5", {"status": 0, "message": ""}), tmp_path / "whole.html")
    assert ended(tmp_path / "whole.html") is None
    assert animate(path, tmp_path / "run.gif", size=(300, 240))["frames"] == 4


def test_a_run_that_goes_on_forgets_its_earlier_outcome(tmp_path):
    config = {"run": {"until": 1.0, "frames": 5}, "groups": [{"neurons": 3}], "operators": {"F": -1.0}}
    ready = dynsim.engine.configure(config)
    path = tmp_path / "run.h5"
    dynsim.trajectory.run(
        ready.system, ready.span, path=path, parameters={"config": ready.config}, checkpoint_seconds=0, **ready.options
    )
    with Trajectory(path) as read:
        assert ending(read) is None and read.provenance["outcome"]["status"] == 0
    with pytest.raises(KeyboardInterrupt):
        resume(path, 2.0, stop=lambda: True)
    with Trajectory(path) as read:
        assert read.provenance["outcome"] == {}
        word, _, sentence = ending(read)
    assert word == "interrupted" and "running: time" in sentence
    assert any("dynsim resume" in finding for finding in validate(path))
    resume(path)
    with Trajectory(path) as read:
        assert ending(read) is None and read.time[-1] == 2.0


@pytest.mark.filterwarnings("ignore:training")  # so few epochs teach nothing
def test_trainings_say_how_far_they_came(tmp_path):
    data = dynsim.datasets.load("digits")
    files = {"trajectory": tmp_path / "training.h5", "checkpoint": tmp_path / "training.checkpoint"}
    options = {"batch": 400, **files}

    def trained(**more):
        model = dynsim.models.mlp(widths=(64, 4, 10), copies=1, dim=2)
        dynsim.train(model, data, **options, **more)
        with Trajectory(files["trajectory"]) as read:
            return ending(read)

    assert trained(epochs=2) is None
    stopped = trained(epochs=2, after_epoch=lambda entry: True)
    assert stopped == ("interrupted", 1.0, "Interrupted, or still running: epoch 1 of 2.")
    assert trained(epochs=2, resume=True) is None
    with h5py.File(files["trajectory"]) as file:
        assert "outcome" in file["parameters"]
