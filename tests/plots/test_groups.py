"""Groups and ranges of neurons in figures, films and pages; several runs in one figure."""

import re

import numpy as np
import pytest

import dynsim
from dynsim.cli import main
from dynsim.plots import animate, plot, usual_kind, view
from dynsim.plots._figure_style import scale_axis
from dynsim.plots._film import _Picture, _pictures
from dynsim.plots._groups import group_colours, grouped_neurons
from dynsim.trajectory import Trajectory, TrajectoryWriter

NAMES = ["sensory", "inner $1$", "motor"]


@pytest.fixture
def grouped(tmp_path):
    """Twelve neurons of three named groups; the signal of neuron i is a pulse at time i."""

    def make(name="run.h5", groups=NAMES, signals=1, factor=1.0):
        path = tmp_path / name
        with TrajectoryWriter(
            path, neurons=12, dimension=2, signals=signals, groups=np.arange(12) % 3, parameters={"group_names": groups}
        ) as writer:
            for k in range(24):
                pulse = factor * np.exp(-((0.5 * k - np.arange(12)) ** 2))
                field = np.repeat(pulse[:, None], signals, axis=1)
                writer.write(k, 0.5 * k, np.column_stack([np.arange(12.0), 0.1 * k * np.ones(12)]), field, field)
        return path

    return make


def test_groups_are_known_by_name_and_by_number(grouped):
    with Trajectory(grouped()) as read:
        assert grouped_neurons(read, "motor").tolist() == grouped_neurons(read, 2).tolist() == [2, 5, 8, 11]
        assert grouped_neurons(read, ["2", "sensory"]).tolist() == [0, 2, 3, 5, 6, 8, 9, 11]
        assert grouped_neurons(read, None).tolist() == list(range(12))
        with pytest.raises(ValueError, match=r"groups: got 'moter'; expected one of .*; did you mean 'motor'\?"):
            grouped_neurons(read, "moter")
        for wrong in (7, "7", "-1"):
            with pytest.raises(ValueError, match="groups: got"):
                grouped_neurons(read, wrong)
        for wrong in (True, 1.5, [], [None], {"motor": 1}):
            with pytest.raises(TypeError, match="groups: got"):
                grouped_neurons(read, wrong)


@pytest.mark.parametrize("kind", ["trajectories", "signals", "activity", "distances", "entropy", "phase", "neurons"])
def test_every_kind_that_takes_neurons_takes_groups(grouped, kind):
    figure = plot(grouped(), kind, groups="motor")
    title = figure.get_suptitle() or figure.axes[0].get_title()
    assert "motor" in title and "4 neurons" in title
    figure.draw_without_rendering()


def test_signals_of_groups_have_a_row_each_and_always_their_colour(grouped):
    path = grouped()
    figure = plot(path, "signals")
    assert len(figure.axes) == 6 and [axes.get_ylabel() for axes in figure.axes[::2]] == NAMES
    with Trajectory(path) as read:
        palette = group_colours(read)
    two = plot(path, "signals", groups=["sensory", "motor"], signal="E")
    assert [axes.lines[0].get_color() for axes in two.axes] == [palette[0], palette[2]]
    assert two.axes[-1].get_xlabel() == "time (dimensionless)"
    one = plot(path, "signals", groups="motor", neurons=[0])
    assert [text.get_text() for text in one.legends[0].get_texts()] == [f"neuron {n}" for n in (0, 2, 5, 8, 11)]
    for axes in figure.axes:
        assert len(axes.lines) == 4


def test_others_are_grey_and_counted(grouped):
    figure = plot(grouped(groups=None), "signals", groups=[0])
    assert len(figure.axes[0].lines) == 4 and not figure.axes[0].collections
    path = grouped("one.h5")
    many = dynsim.solve(dynsim.System(np.random.default_rng(0).normal(size=(300, 2)), drive=1.0), (0.0, 1.0))
    figure = many.plot("signals")
    assert "200 of 293 others" in [text.get_text() for text in figure.legends[0].get_texts()]
    assert len(figure.axes[0].collections[0].get_segments()) == 200
    assert not plot(path, "signals", neurons=[1, 2]).axes[0].collections


def test_activity_has_a_row_for_every_neuron(grouped):
    path = grouped()
    figure = plot(path, "activity")
    axes, bar = figure.axes
    values = np.asarray(axes.collections[0].get_array()).reshape(12, 24)
    order = [0, 3, 6, 9, 1, 4, 7, 10, 2, 5, 8, 11]
    expected = np.exp(-((0.5 * np.arange(24) - np.array(order)[:, None]) ** 2))
    assert np.allclose(values, expected, atol=1e-12) and "emitted signal" in bar.get_ylabel()
    assert [label.get_text() for label in axes.get_yticklabels()] == NAMES
    figure.draw_without_rendering()  # the dollar of a name is no mathematics
    peaks = plot(path, "activity", order="peak").axes[0].collections[0].get_array().reshape(12, 24).argmax(axis=1)
    assert (np.diff(peaks) >= 0).all() and len(set(peaks.tolist())) == 12
    signed = plot(grouped("signed.h5", factor=-1.0), "activity").axes[0].collections[0]
    assert signed.get_cmap().name == "RdBu_r" and signed.norm.vmin == -signed.norm.vmax
    assert plot(path, "activity").axes[0].collections[0].get_cmap().name == "viridis"


def test_frames_of_a_map_are_as_wide_as_their_time(tmp_path):
    with TrajectoryWriter(tmp_path / "run.h5", neurons=2, dimension=1, signals=1) as writer:
        for k, time in enumerate((0.0, 1.0, 3.0, 7.0)):
            writer.write(k, time, np.zeros((2, 1)), np.ones((2, 1)), np.full((2, 1), np.nan if k == 3 else k))
    figure = plot(tmp_path / "run.h5", "activity")
    corners = figure.axes[0].collections[0].get_coordinates()[0, :, 0]
    assert corners.tolist() == [-0.5, 0.5, 2.0, 5.0, 9.0] and "not a number" in figure.get_supxlabel()


def test_several_runs_have_a_colour_each(grouped, lines, tmp_path):
    paths = [grouped(f"{name}.h5", factor=factor) for name, factor in (("weak", 1.0), ("strong $2$", 3.0))]
    for kind in ("signals", "energy", "distances", "entropy"):
        figure = plot(paths, kind)
        names = [text.get_text() for text in figure.legends[0].get_texts()]
        assert names[:2] == ["weak", r"strong \$2\$"]
        figure.draw_without_rendering()
    weak, strong = plot(paths, "signals", neurons=[3], signal="E").axes[0].lines
    assert np.allclose(3 * np.asarray(weak.get_ydata()), strong.get_ydata()) and weak.get_color() != strong.get_color()
    trainings = {name: lines([{"epoch": k, "train_loss": 1.0 / (k + n)} for k in (1, 2)])
                 for n, name in enumerate("ab")}  # fmt: skip
    assert [text.get_text() for text in plot(trainings, "learning").legends[0].get_texts()][:2] == ["a", "b"]
    with pytest.raises(ValueError, match="kind of figure of several sources"):
        plot(paths, "trajectories")
    with pytest.raises(ValueError, match="the same one twice"):
        plot([paths[0], paths[0]], "energy")
    with pytest.raises(TypeError, match="option 'dim'"):
        plot(paths, "energy", dim=2)
    epochs = tmp_path / "training.h5"
    with TrajectoryWriter(epochs, neurons=3, dimension=2, parameters={"time_label": "epoch"}) as writer:
        for k in range(3):
            writer.write(k, float(k), np.random.default_rng(k).normal(size=(3, 2)))
    with pytest.raises(ValueError, match=r"times in epoch and time .*; expected runs with the same time"):
        plot([paths[0], epochs], "distances")
    assert plot([paths[0]], "trajectories").axes[0].get_title() == "Paths of 12 neurons"


def test_the_command_takes_groups_ranges_and_several_files(grouped, tmp_path, capsys):
    def run(*options):
        with pytest.raises(SystemExit) as stop:
            main([str(option) for option in options])
        return stop.value.code, capsys.readouterr().err

    path, other = grouped(), grouped("other.h5")
    for options in (
        ("plot", path, "--kind", "signals", "--group", "motor", "--neurons", "0,3-4", "-o", tmp_path / "a.png"),
        ("plot", path, other, "--kind", "energy", "--scale", "log", "-o", tmp_path / "b.png"),
        ("plot", path),
        ("view", path, "--group", "motor", "--group", "0", "-o", tmp_path / "c.html"),
        ("animate", path, "--group", "motor", "--colour", "E", "--size", "240x200", "-o", tmp_path / "d.gif"),
    ):
        assert run(*options)[0] == 0
    assert (tmp_path / "run.trajectories.png").exists()
    code, said = run("plot", path)
    assert code == 1 and "exists; give it as the output" in said
    code, said = run("plot", path, "--kind", "signals", "--group", "moter", "-o", tmp_path / "e.png")
    assert code == 1 and "did you mean 'motor'?" in said and not (tmp_path / "e.png").exists()


def test_what_a_source_is_shown_by(grouped, lines):
    still = dynsim.solve(dynsim.System(np.eye(2)), (0.0, 1.0))
    moving = dynsim.solve(dynsim.System(np.eye(2), operators=dynsim.Operators(F=-1.0)), (0.0, 1.0))
    kinds = [usual_kind(source) for source in (grouped(), still, moving, dynsim.models.mlp(widths=(4, 3)))]
    assert kinds == ["trajectories", "signals", "trajectories", "weights"]
    assert usual_kind(lines([{"epoch": 1, "train_loss": 1.0}])) == "learning"


@pytest.mark.parametrize(
    ("values", "scale", "expected"),
    [
        (np.geomspace(1, 100, 9), "auto", "linear"),
        (np.geomspace(1, 1e5, 9), "auto", "log"),
        (np.geomspace(1, 1e5, 9), "linear", "linear"),
        (np.geomspace(1, 100, 9), "log", "log"),
        (np.sin(np.arange(40)), "auto", "linear"),
        (np.exp(-((np.arange(40) - 30.0) ** 2) / 10), "auto", "log"),  # all positive
        (np.append(0.0, np.exp(-((np.arange(40) - 30.0) ** 2))), "auto", "linear"),  # a pulse that comes late
        (-np.geomspace(1, 1e30, 40), "auto", "symlog"),  # runs away
        (np.zeros(5), "log", "linear"),
        (np.full(5, np.nan), "auto", "linear"),
    ],
)
def test_axes_are_logarithmic_where_values_span_decades(values, scale, expected):
    from dynsim.plots._figure_style import new_figure

    figure = new_figure()
    axes = figure.add_subplot()
    words = scale_axis(axes, values, scale)
    axes.plot(values)
    figure.draw_without_rendering()
    assert axes.get_yscale() == expected and bool(words) == (expected != "linear")


def test_a_diverged_run_is_drawn_on_a_logarithmic_axis(tmp_path):
    with TrajectoryWriter(tmp_path / "run.h5", neurons=3, dimension=1, signals=1) as writer:
        for k, size in enumerate(np.geomspace(1e-3, 1e307, 40)):
            field = np.array([[size], [-size], [0.0]])
            writer.write(k, float(k), np.zeros((3, 1)), field, field)
    for kind in ("signals", "energy"):
        figure = plot(tmp_path / "run.h5", kind)
        assert "curves end at 1e+250" in figure.get_supxlabel()
        figure.draw_without_rendering()
    with pytest.raises(ValueError, match=r"got numbers of size \S+; expected less than"):
        plot(tmp_path / "run.h5", "signals", scale="linear")


def test_time_passes_evenly_in_films(tmp_path):
    times = np.array([0.0, 0.1, 0.2, 2.0, 4.0])
    shown = _pictures(times, 9, None)
    assert np.allclose(np.interp(shown, np.arange(5), times), np.linspace(0.0, 4.0, 9))
    assert _pictures(times, None, 2) == range(0, 5, 2) and _pictures(np.zeros(5), None, None) == range(5)
    assert _pictures(np.array([0.0, 0.0, 0.0, 1.0, 3.0]), 4, None)[0] in (0, 2)
    with TrajectoryWriter(tmp_path / "run.h5", neurons=2, dimension=2, signals=1) as writer:
        for k, time in enumerate(times):
            writer.write(k, time, np.full((2, 2), time), np.zeros((2, 1)), np.array([[time], [-time]]))
    with Trajectory(tmp_path / "run.h5") as read:
        picture = _Picture(read, shown, dim=2, colour="E", size=(300, 240), fps=2)
        from dynsim.plots._film import _frames

        for (at, places), time in zip(_frames(read, picture.which, shown), np.linspace(0.0, 4.0, 9), strict=True):
            assert np.allclose(places, time, atol=1e-12)
            picture.draw(at, places)
            assert picture.clock.get_text() == f"2 neurons, time {time:.4g}"
        assert picture.cloud.get_array().tolist() == [4.0, -4.0]
        assert (picture.cloud.get_cmap().name, picture.cloud.get_clim()) == ("RdBu_r", (-4.0, 4.0))
        assert "1 second is time 1;" in picture.figure.get_supxlabel()
    report = animate(tmp_path / "run.h5", tmp_path / "film.gif", size=(240, 200))
    assert report["frames"] == 20 and report["stride"] is None
    with pytest.raises(ValueError, match="component: got 1"):
        animate(tmp_path / "run.h5", tmp_path / "b.gif", colour="R", component=1)
    with pytest.raises(ValueError, match="colour: got 'speed'"):
        animate(tmp_path / "run.h5", tmp_path / "b.gif", colour="speed")


def test_a_page_of_a_group(grouped, tmp_path):
    path = grouped()
    assert view(path, tmp_path / "motor.html", groups="motor")["neurons"] == 4
    page = (tmp_path / "motor.html").read_text()
    assert re.search(r'"neuron":\s*\[2,\s*5,\s*8,\s*11\]', page) and '"signed"' in page


def test_what_a_model_takes_for_what(tmp_path):
    model = dynsim.models.mlp(widths=(64, 16, 10), copies=2, dim=3, seed=0)
    data = dynsim.datasets.load("digits")
    answers = model.predict(data.test_images)
    figure = plot(model, "confusion", data="digits")
    shares = figure.axes[0].images[0].get_array()
    for k in range(10):
        here = data.test_labels == k
        assert np.allclose(shares[k], [np.mean(answers[here] == c) for c in range(10)])
    right = int((answers == data.test_labels).sum())
    assert figure.axes[0].get_title().startswith(f"{right} of 360 test images")
    misread = plot(model, "misread", data="digits", count=7)
    titles = [axes.get_title() for axes in misread.axes]
    assert len(titles) == 7 and f"7 of {360 - right} misread" in misread.get_suptitle()
    sure = [int(re.search(r"\((\d+) %\)", title)[1]) for title in titles]
    assert sure == sorted(sure, reverse=True)
    for title, axes in zip(titles, misread.axes, strict=True):
        number = int(axes.get_xlabel().split()[-1])
        assert title.startswith(f"{data.test_labels[number]}, read as {answers[number]} ")
    with pytest.raises(ValueError, match="data: got none"):
        plot(model, "confusion")


def test_weights_as_images():
    convolutions = dynsim.models.lenet5(copies_fc=1, copies_conv=1, dim=2)
    figure = plot(convolutions, "filters")
    pictures = [axes.images[0].get_array() for axes in figure.axes if axes.images]
    assert len(pictures) == 6 and np.allclose(pictures[2], convolutions.layers[0].materialize()[2, 0])
    second = plot(convolutions, "filters", layer="conv2")
    assert "the first 3 of 6 channels" in second.get_supxlabel()
    assert second.axes[0].images[0].get_array().shape == (5, 17)
    dense = dynsim.models.mlp(widths=(64, 16, 10), copies=2, dim=3)
    dense.results["image"] = (1, 8, 8)
    pictures = [axes.images[0].get_array() for axes in plot(dense, "filters").axes if axes.images]
    first = next(layer for layer in dense.layers if layer.weighted)
    assert len(pictures) == 16 and np.allclose(pictures[3], first.materialize()[3].reshape(8, 8))
    with pytest.raises(ValueError, match="layer: got 'fc1'; expected one whose weights are images: conv1, conv2"):
        plot(convolutions, "filters", layer="fc1")
    with pytest.raises(ValueError, match=r"layer: got 'conv9'; expected one of conv1 \(0\)"):
        plot(convolutions, "filters", layer="conv9")


def test_places_without_signals_are_no_training(tmp_path):
    with TrajectoryWriter(tmp_path / "run.h5", neurons=3, dimension=2) as writer:
        for k in range(4):
            writer.write(k, 0.5 * k, np.random.default_rng(k).normal(size=(3, 2)))
    assert usual_kind(tmp_path / "run.h5") == "trajectories"
    with Trajectory(tmp_path / "run.h5") as read:
        assert not {"forces", "energy", "phase"} & set(dynsim.plots.available(read))


def test_several_are_few_enough_to_be_told_apart(grouped):
    paths = [grouped("a.h5"), grouped("b.h5")]
    assert usual_kind(paths) == "signals" and usual_kind(paths[:1]) == "trajectories"
    with pytest.raises(ValueError, match="10 curves of every run; expected at most 7"):
        plot(paths, "signals", neurons=range(10))
    with pytest.raises(ValueError, match="at most 12 in one figure"):
        plot({str(k): paths[0] for k in range(13)}, "energy")
    with pytest.raises(ValueError, match="an empty list"):
        plot([], "energy")
    with pytest.raises(ValueError, match="share no kind"):
        usual_kind([paths[0], dynsim.models.mlp(widths=(4, 3))])
    assert all(not axes.lines[-1].get_linestyle() == ":" for axes in plot(paths, "signals").axes)


def test_a_group_may_be_called_by_a_number(grouped):
    with Trajectory(grouped(groups=["7", "0", "motor"])) as read:
        assert grouped_neurons(read, "0").tolist() == [1, 4, 7, 10]  # the name
        assert grouped_neurons(read, 0).tolist() == grouped_neurons(read, 7).tolist() == [0, 3, 6, 9]


def test_options_of_another_source_are_refused(grouped, tmp_path):
    path, model = grouped(), dynsim.models.mlp(widths=(64, 16, 10), copies=2, dim=3)
    solution = dynsim.solve(dynsim.System(np.eye(2)), (0.0, 1.0))
    with pytest.raises(ValueError, match="data, data_dir: got some for a trajectory"):
        plot(solution, "forces", data="digits")
    with pytest.raises(ValueError, match="frame: got 3 for a model"):
        plot(model, "forces", data="digits", frame=3)
    with pytest.raises(ValueError, match="component: got 5 where groups have the colours"):
        animate(path, tmp_path / "a.gif", component=5)
    with pytest.raises(ValueError, match="count: got 101"):
        plot(model, "misread", data="digits", count=101)


def test_signals_of_any_size_in_films_and_pages(tmp_path):
    with TrajectoryWriter(tmp_path / "run.h5", neurons=2, dimension=2, signals=1) as writer:
        for k in range(3):
            field = np.array([[1.5e308], [-1.5e308]]) if k == 2 else np.array([[1e306], [-1e306]])
            writer.write(k, float(k), np.eye(2), field, field)
    animate(tmp_path / "run.h5", tmp_path / "run.gif", colour="E", size=(240, 200))
    view(tmp_path / "run.h5", tmp_path / "run.html")
    assert '"range": null' not in (page := (tmp_path / "run.html").read_text()) and '"range":null' not in page


def test_a_model_of_any_images():
    model = dynsim.models.Model(dynsim.models.mlp(widths=(64, 16, 10), copies=2, dim=3).layers, {"model": "own"})
    assert model.image is None and model.background == 0.0
    assert plot(model, "weights").axes and "filters" not in dynsim.plots.available(model)
