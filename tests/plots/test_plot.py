"""Every kind of figure: labelled, bounded, saved."""

import subprocess
import sys

import numpy as np
import pytest
from matplotlib.figure import Figure

from dynsim.plots import KINDS, available, options_of, plot
from dynsim.plots._figure_kinds import figure_kinds
from dynsim.trajectory import Trajectory

OF_FRAMES = [kind for kind in KINDS if "trajectory" in figure_kinds()[kind].sources]


@pytest.mark.parametrize("kind", OF_FRAMES)
def test_every_kind_writes_a_labelled_picture(make_file, tmp_path, kind):
    output = tmp_path / "figure.png"
    figure = plot(make_file(observables=["train_loss", "accuracy"]), kind, output=output)
    assert isinstance(figure, Figure)
    assert figure.get_suptitle() or figure.axes[0].get_title()
    panels = [axes for axes in figure.axes if axes.get_label() != "<colorbar>"]
    assert panels[-1].get_xlabel() and all(panel.get_ylabel() for panel in figure.axes)
    content = output.read_bytes()
    assert content[:4] == b"\x89PNG" and len(content) > 5000
    assert (int.from_bytes(content[16:20], "big"), int.from_bytes(content[20:24], "big")) == (
        (1500, 800) if kind == "neurons" else (1200, 800)
    )
    figure.draw_without_rendering()
    assert all(panel.has_data() for panel in figure.axes)


@pytest.mark.parametrize("kind", ["trajectories", "signals", "distances", "phase", "forces", "neurons"])
@pytest.mark.parametrize(
    "options",
    [
        {"neurons": 300, "dimension": 9, "groups": np.arange(300) % 20},
        {"neurons": 2, "dimension": 1},
        {"neurons": 3, "dimension": 2, "copies": 3, "signals": 2, "groups": np.array([0, 1, 1])},
        {"diverge": True},
        {"neurons": 30, "diverge": True},
    ],
)
@pytest.mark.filterwarnings("error", "ignore::DeprecationWarning")  # an old Matplotlib with a new pyparsing
def test_runs_of_all_shapes(make_file, kind, options):
    figure = plot(make_file(**options), kind)
    panels = [axes for axes in figure.axes if axes.get_label() != "<colorbar>"]
    assert panels[-1].get_xlabel() and (figure.legends or len(panels) > 2)
    assert sum(len(legend.get_texts()) for legend in figure.legends) <= 20
    assert sum(len(panel.lines) for panel in figure.axes) <= 250
    figure.draw_without_rendering()


@pytest.mark.filterwarnings("error", "ignore::DeprecationWarning")  # an old Matplotlib with a new pyparsing
def test_one_frame_is_enough_where_time_does_not_matter(make_file):
    path = make_file(frames=1, observables=["loss"])
    with Trajectory(path) as read:
        assert available(read) == [
            "distances", "entropy", "forces", "learning", "observables", "signals", "trajectories",
        ]  # fmt: skip
        for kind in available(read):
            plot(read, kind).draw_without_rendering()


def test_kinds_without_data_name_the_others(make_file):
    training = make_file(signals=None, observables=["loss"])
    with pytest.raises(ValueError, match="choose one of distances, entropy, learning"):
        plot(training, "signals")
    with pytest.raises(ValueError, match="no frames yet"):
        plot(make_file(frames=0), "trajectories")
    with pytest.raises(ValueError, match="two neurons"):
        plot(make_file(neurons=1), "distances")
    with pytest.raises(ValueError, match="signals or q"):
        plot(training, "phase", quantity="R")


@pytest.mark.parametrize(
    ("kind", "options", "message"),
    [
        ("trajectories", {"dim": 4}, "2 or 3"),
        ("trajectories", {"neurons": [4]}, "neurons: got 4; expected numbers from 0 to 3"),
        ("trajectories", {"neurons": [-1]}, "neurons: got -1"),
        ("trajectories", {"neurons": []}, "list of numbers"),
        ("trajectories", {"neurons": [0.5]}, "list of numbers"),
        ("trajectories", {"size": (1, 1)}, "pixels"),
        ("signals", {"signal": "S"}, "one of R, E, both"),
        ("signals", {"component": 1}, "from 0 to 0"),
        ("distances", {"neurons": [1]}, "two or more"),
        ("distances", {"copy": 1}, "from 0 to 0"),
        ("phase", {"quantity": "x"}, "one of q, R, E"),
        ("phase", {"component": 3}, "from 0 to 2"),
        ("observables", {"names": ["lost"]}, "some of loss"),
        ("observables", {"against": "epoch"}, "one of time, step"),
        ("films", {}, "expected one of activity"),
    ],
)
def test_bad_options(make_file, kind, options, message):
    with pytest.raises(ValueError, match=message):
        plot(make_file(observables=["loss"]), kind, **options)


def test_options_of_another_kind(make_file):
    with pytest.raises(TypeError, match=r"got option 'dim'; expected some of .* for kind 'signals'"):
        plot(make_file(), "signals", dim=2)
    assert "dim" in options_of("trajectories")


def test_dim_3_of_flat_places(make_file):
    with pytest.raises(ValueError, match="3 for places of 2 coordinates; expected 2"):
        plot(make_file(dimension=2), "trajectories", dim=3)


def test_lines_hold_the_numbers_of_the_file(make_file):
    path = make_file(neurons=3, dimension=3)
    with Trajectory(path) as read:
        q, R, time = read.q[...], read.R[...], read.time
        signals = plot(read, "signals", neurons=[2, 0], signal="R")
        distances = plot(read, "distances")
        phase = plot(read, "phase", neurons=1, component=2)
        flat = plot(read, "trajectories", dim=2)
    drawn = signals.axes[0].lines
    assert [len(signals.axes), len(drawn)] == [1, 2]
    assert np.array_equal(drawn[1].get_xydata(), np.column_stack([time, R[:, 2, 0]]))
    pairs = [(0, 1), (0, 2), (1, 2)]
    for curve, (i, j) in zip(distances.axes[0].lines, pairs, strict=True):
        assert np.allclose(curve.get_ydata(), np.sqrt(((q[:, i] - q[:, j]) ** 2).sum(axis=1)), rtol=1e-14)
    assert np.array_equal(phase.axes[0].lines[0].get_xdata(), q[:, 1, 2])
    assert np.array_equal(phase.axes[0].lines[0].get_ydata(), -q[:, 1, 2])  # the system of the file
    paths = flat.axes[0].collections[0].get_segments()
    assert np.array_equal(np.stack(paths, axis=1), q[:, :, :2])


def test_quantiles_of_many_pairs(make_file, monkeypatch):
    from scipy.spatial.distance import pdist

    monkeypatch.setattr("dynsim.plots._statistics_plots._MOST_NUMBERS", 3000)  # several blocks
    with Trajectory(make_file(neurons=20, dimension=4)) as read:
        lines = plot(read, "distances").axes[0].lines
        every = np.array([pdist(q) for q in read.q[...]])
    median, largest, smallest = (line.get_ydata() for line in lines)
    assert np.allclose(median, np.median(every, axis=1), rtol=1e-13)
    assert np.allclose(largest, every.max(axis=1)) and np.allclose(smallest, every.min(axis=1))


def test_legends_say_what_they_leave_out(make_file):
    groups = np.arange(60) % 30
    for kind in ("trajectories", "neurons", "forces"):
        figure = plot(make_file(neurons=60, groups=groups), kind)
        assert "and 14 more" in [text.get_text() for text in figure.legends[0].get_texts()]
    figure = plot(make_file(neurons=60), "signals", neurons=list(range(44)))
    assert "and 28 more" in [text.get_text() for text in figure.legends[0].get_texts()]
    figure = plot(make_file(dimension=3), "phase", component=0)
    assert figure.axes[0].get_xlabel() == "$q_{0}$"


def test_observables_share_panels_by_kind(make_file):
    path = make_file(observables=["train_loss", "validation_loss", "accuracy"], signals=None)
    figure = plot(path, "observables", against="step")
    assert [panel.get_ylabel() for panel in figure.axes] == ["loss (nats)", "accuracy (%)"]
    assert [len(panel.lines) for panel in figure.axes] == [2, 1]
    assert figure.axes[-1].get_xlabel() == "step" and figure.axes[0].get_yscale() == "log"
    many = plot(make_file(observables=list("abcde"), signals=None), "observables")
    assert len(many.axes) == 1 and len(many.axes[0].lines) == 5


def test_pictures_need_no_display_and_leave_pyplot_alone(make_file):
    code = (
        "import sys; from dynsim.plots import plot; "
        f"plot({str(make_file())!r}, 'trajectories'); assert 'matplotlib.pyplot' not in sys.modules"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
