"""What the kinds of figures draw is what the files hold."""

import json
import re

import numpy as np
import pytest

import dynsim
from dynsim.errors import DataError
from dynsim.plots import animate, available, plot, view
from dynsim.plots._figure_style import DASHES, PALETTE, line_styles
from dynsim.plots._film import _Picture
from dynsim.plots._projection import Projection, projection_of
from dynsim.plots._selection import particle_indices, velocities
from dynsim.plots._statistics_plots import entropies
from dynsim.trajectory import SolutionTrajectory, StoredFrames, Trajectory, TrajectoryWriter
from dynsim.trajectory._stored_system import describe_system


@pytest.fixture(scope="module")
def model():
    return dynsim.models.mlp(widths=(64, 12, 10), copies=2, dim=5, seed=3)


def test_principal_axes_are_those_of_the_covariance():
    rng = np.random.default_rng(0)
    spread = np.diag([3.0, 1.0, 0.5, 0.1])
    turn = np.linalg.qr(rng.normal(size=(4, 4)))[0]
    places = rng.normal(size=(500, 4)) @ spread @ turn + 7.0
    projection = Projection(places.reshape(10, 50, 4), 2)
    variance = np.sort(np.linalg.eigvalsh(np.cov(places.T, bias=True)))[::-1]
    # Sums of 500 products of numbers below 20, rounded to 2^-53 each.
    assert np.allclose(projection.share, variance[:2] / variance.sum(), rtol=1e-12)
    assert np.allclose(np.var(projection(places), axis=0), variance[:2], rtol=1e-12)
    share = f"{100 * projection.share.sum():.0f} % of the variance"
    assert projection.note == f"2 of 4 principal axes: {share}" and "axis 0 (" in projection.labels[0]
    # The same picture from the same file, whatever sign the eigenvectors came with.
    assert (projection.axes[np.abs(projection.axes).argmax(axis=0), [0, 1]] > 0).all()
    assert np.array_equal(Projection(places, 2, "coordinates")(places), places[:, :2])
    assert not Projection(places[:, :3], 3).principal and Projection(places[:, :3], 2, "principal").principal


def test_more_than_three_dimensions_are_seen_along_principal_axes(make_file):
    path = make_file(neurons=5, dimension=6)
    with Trajectory(path) as read:
        figure = plot(read, "trajectories", dim=2)
        expected = Projection(read.q[...], 2)
        drawn = np.stack(figure.axes[0].collections[0].get_segments(), axis=1)
        assert np.allclose(drawn, expected(read.q[...]), rtol=0, atol=1e-12)
    assert expected.note in figure.get_supxlabel()
    plain = plot(path, "trajectories", axes="coordinates")
    assert plain.axes[0].get_xlabel() == "$q_{0}$" and "3 of 6 coordinates" in plain.get_supxlabel()


def test_axes_are_the_same_whatever_is_shown(make_file):
    path = make_file(neurons=9, dimension=6)
    with Trajectory(path) as read:
        expected = projection_of(read, 2, "auto")
        picture = _Picture(read, range(0, 40, 7), neurons=[3], dim=2, size=(480, 360))
        assert np.array_equal(picture.projection.axes, expected.axes)
        for kind, options in (("trajectories", {"neurons": [1, 2]}), ("forces", {"frame": 3, "neurons": [4, 7]}),
                              ("neurons", {"neurons": 5})):  # fmt: skip
            figure = plot(read, kind, dim=2, **options)
            panels = [axes for axes in figure.axes if axes.get_label() != "<colorbar>"]
            assert [axes.get_xlabel() for axes in panels] == [expected.labels[0]] * len(panels)
            assert expected.note in figure.get_supxlabel()


def test_places_of_any_size_are_drawn_in_units(tmp_path):
    rng = np.random.default_rng(0)
    places = rng.uniform(-1.0, 1.0, (5, 4, 3))
    for number, size in enumerate((1.0, 1e300)):
        with TrajectoryWriter(tmp_path / f"{number}.h5", neurons=4, dimension=3, dtype=float) as writer:
            for k, frame in enumerate(places):
                writer.write(k, float(k), size * frame)
    for kind in ("trajectories", "neurons", "distances", "entropy"):
        ordinary, large = (plot(tmp_path / f"{number}.h5", kind) for number in (0, 1))
        label = large.axes[0].get_ylabel()
        assert label == ordinary.axes[0].get_ylabel() + ("" if kind == "entropy" else " / 1e+299")
        if kind in ("distances", "entropy"):
            scale = 10.0 if kind == "distances" else 1.0
            pairs = zip(ordinary.axes[0].lines, large.axes[0].lines, strict=True)
            # Scaled by 1e300 / 1e299, which rounds to 2^-53 a few times.
            assert all(np.allclose(scale * np.asarray(a.get_ydata()), b.get_ydata(), rtol=1e-14) for a, b in pairs)
        large.draw_without_rendering()
    animate(tmp_path / "1.h5", tmp_path / "film.gif", size=(300, 300))
    pages = []
    for number in (0, 1):
        view(tmp_path / f"{number}.h5", tmp_path / "page.html")
        text = (tmp_path / "page.html").read_text()
        pages.append(re.search(r'id="places">(.*?)</script>', text)[1])
    assert pages[0] == pages[1] and '"q0 / 1e+299"' in text


def test_energy_of_known_motion(tmp_path):
    # By D R with R = 3, 4: q' = (2, 0), (0, -1), so sum |q'|^2 = 5; |R| = 5.
    path, turned = tmp_path / "run.h5", [[[2 / 3], [0.0]], [[0.0], [-0.25]]]
    system = dynsim.System(np.zeros((2, 2)), operators=dynsim.Operators(D=turned))
    for records in ({"system": describe_system(system)}, {}):
        with TrajectoryWriter(
            path, neurons=2, dimension=2, signals=1, provenance=records, overwrite=True, parameters={"span": [0, 2]}
        ) as writer:
            for k in range(9):
                t = 0.25 * k
                writer.write(k, t, [[2 * t, 0.0], [0.0, -t]], [3.0, 4.0], [0.0, 2.0])
            writer.record("outcome", {"status": 0})
        figure = plot(path, "energy")
        *kinetic, received, emitted = figure.axes
        assert np.allclose(received.lines[0].get_ydata(), 5.0, rtol=1e-15)
        assert (emitted.lines[0].get_ydata() == 2.0).all()
        if records:
            assert np.allclose(kinetic[0].lines[0].get_ydata(), 5.0, rtol=1e-15) and kinetic[0].get_ylabel()
            assert len(kinetic) == 1 and "q'" not in figure.get_supxlabel()
        else:
            assert not kinetic and "q' is not known" in figure.get_supxlabel()


def test_energy_shows_the_echo_gain_of_what_can_be_made_again(tmp_path):
    operators = dynsim.Operators(A=3.0, B=1.0)
    system = dynsim.System(np.array([[0.0], [2.0]]), kernel=dynsim.Kernel("inverse"), operators=operators, delay=1.0)
    solution = dynsim.solve(system, (0.0, 2.0), method="rk4", dt=0.25)
    panels = solution.plot("energy").axes
    # Two neurons at distance 2, phi = 1 / 2, a = 3, at rest: rho = 1.5, an eigenvalue of a symmetric 2 x 2 matrix.
    assert np.allclose(panels[-1].lines[0].get_ydata(), 1.5, rtol=1e-14) and "echo" in panels[-1].get_ylabel()


def test_energy_of_many_frames_is_read_in_blocks(make_file, monkeypatch):
    path = make_file(neurons=7, frames=90)
    whole = plot(path, "energy").axes[0].lines[0].get_xydata()
    monkeypatch.setattr("dynsim.plots._statistics_plots._BLOCK", 60)
    assert np.array_equal(plot(path, "energy").axes[0].lines[0].get_xydata(), whole) and len(whole) == 90
    monkeypatch.setattr("dynsim.plots._statistics_plots._MOST_ENERGY_FRAMES", 30)
    thin = plot(path, "energy")
    assert np.array_equal(thin.axes[0].lines[0].get_xydata(), whole[::3]) and "30 of 90 frames" in thin.get_supxlabel()


def test_entropy_between_one_bin_and_all_of_them():
    corners = 1.5 * np.array([[0.0, 0.0], [1.0, 0.0], [0.5, np.sqrt(0.75)]])  # all distances 1.5
    spread = np.array([[0.0, 0.0], [1.5, 0.0], [4.0, 0.0]])  # distances 1.5, 2.5, 4, each in a quarter of (0, 4)
    broken = np.full((3, 2), np.nan)
    found = entropies(np.stack([corners, spread, broken]), 4)
    assert found[0] == 0.0 and found[1] == pytest.approx(np.log2(3), rel=1e-15) and np.isnan(found[2])


def test_forces_of_a_run_are_those_of_equation_3(tmp_path):
    path = tmp_path / "run.h5"
    system = dynsim.System(np.zeros((2, 2)), operators=dynsim.Operators(D=[[1.0], [0.0]], F=[[0.0, 0.0], [0.0, 2.0]]))
    with TrajectoryWriter(
        path, neurons=2, dimension=2, signals=1, provenance={"system": describe_system(system)}
    ) as writer:
        for k in range(4):
            writer.write(k, 0.5 * k, [[0.0, 1.0], [5.0, -k]], [1.5, 0.0], [9.0, 9.0])
    arrows = plot(path, "forces", frame=2).axes[0].collections[0]
    ratio = arrows.U[0] / 1.5
    assert np.allclose(np.column_stack([arrows.U, arrows.V]), ratio * np.array([[1.5, 2.0], [0.0, -4.0]]), rtol=1e-14)
    assert f"arrows are {ratio:g} times the force" in plot(path, "forces", frame=2).get_supxlabel()
    with pytest.raises(ValueError, match="frame: got 4; expected a number from 0 to 3"):
        plot(path, "forces", frame=4)


def test_forces_of_a_training_are_displacements(tmp_path):
    path = tmp_path / "training.h5"
    with TrajectoryWriter(path, neurons=2, dimension=2, parameters={"time_label": "epoch"}) as writer:
        for k, t in enumerate([0.0, 1.0, 3.0, 4.0]):
            writer.write(k, t, [[t, 1.0], [0.0, -3 * t**2]])
    figure = plot(path, "forces", frame=2)
    assert figure.axes[0].get_title() == "Displacement per epoch of 2 neurons at epoch 3"
    arrows = figure.axes[0].collections[0]
    assert np.allclose(np.column_stack([arrows.U, arrows.V]) / arrows.U[0], [[1.0, 0.0], [0.0, -12.0]], rtol=1e-14)


def test_where_nothing_moves_the_title_says_so():
    system = dynsim.System(np.eye(2), drive=1.0)
    figure = dynsim.solve(system, (0.0, 1.0), t_eval=[0.0, 1.0]).plot("forces")
    assert figure.axes[0].get_title() == "Nothing moves: q' is 0 on 2 neurons at time 1"
    assert "times the force" not in figure.get_supxlabel()


def test_without_a_system_q_has_no_rate(tmp_path):
    path = tmp_path / "frames.h5"
    with TrajectoryWriter(path, neurons=2, dimension=2, signals=1) as writer:
        for k in range(5):
            writer.write(k, float(k), np.eye(2) * k, [1.0, k], [1.0 + k * 1e-16, 0.0])
    with pytest.raises(ValueError, match=r"expected a source with the system that moves it .*dynsim simulate"):
        plot(path, "forces")
    with pytest.raises(ValueError, match="equation of motion; expected the system that moves it"):
        plot(path, "phase", quantity="q")
    figure = plot(path, "phase")  # of R
    assert "dR/dt from differences" in figure.get_supxlabel()
    assert np.allclose(figure.axes[0].lines[1].get_ydata(), 1.0, rtol=1e-14)


def test_velocities_of_a_solution_are_those_of_its_file(tmp_path):
    rng = np.random.default_rng(2)
    operators = dynsim.Operators(A=0.5, B=rng.normal(size=(1, 2)), D=rng.normal(size=(5, 2, 1)), F=-0.5)
    given = {"groups": np.array([0, 0, 1, 1, 1]), "clamped": {1: 0.5}, "delay": 0.5}
    given["kernel"] = dynsim.Kernel(softening=1.0)
    system = dynsim.System(rng.normal(size=(3, 5, 2)), operators=operators, **given)
    options = {"t_eval": np.linspace(0, 1, 6), "method": "rk4", "dt": 0.1}
    memory = SolutionTrajectory(dynsim.solve(system, (0.0, 1.0), **options))
    dynsim.solve(system, (0.0, 1.0), path=tmp_path / "run.h5", **options)
    which = particle_indices(memory, np.array([1, 4]))
    with Trajectory(tmp_path / "run.h5") as file:
        found = [velocities(one, slice(1, None, 2), which) for one in (memory, file)]
        gains = [plot(one, "energy").axes[-1].lines[0].get_ydata() for one in (memory, file)]
    assert found[0].shape == (3, 6, 2) and np.array_equal(*found) and np.array_equal(*gains)


def test_forces_of_a_model_are_minus_the_gradient_of_the_loss(model):
    from dynsim.plots._space_plots import _learning_forces

    kept = {name: array.copy() for name, array in model.arrays.items()}
    places, forces, groups, names, _ = _learning_forces(model, "digits", None)
    assert len(places) == 2 * (64 + 12 + 10) and next(iter(names.values())) == "fc1 in" and set(groups) == {0, 1, 2}
    assert all(np.array_equal(array, kept[name]) for name, array in model.arrays.items())  # norms as before
    data = dynsim.datasets.load("digits")

    def loss(parameter, index, step):
        before = parameter.value[index]
        parameter.value[index] = before + step
        scores = model.forward(data.train_images[:500], training=True)
        parameter.value[index] = before
        return dynsim.layers.softmax_cross_entropy(scores, data.train_labels[:500])[0]

    # In float32: differences of the loss, about 3, are good to 3e-7 / 2e-2, so to 2e-5; the largest forces are above.
    first = next(iter(model.parameters.values()))
    flat = np.abs(forces[: first.value.size // 5]).reshape(-1).argsort()[-3:]
    for entry in flat:
        index = np.unravel_index(entry, first.value.shape)
        slope = (loss(first, index, 1e-2) - loss(first, index, -1e-2)) / 2e-2
        assert -slope == pytest.approx(forces.reshape(-1)[entry], rel=0.05, abs=1e-4)
    for name, array in model.arrays.items():
        array[...] = kept[name]


def test_neurons_before_and_after(make_file):
    path = make_file(neurons=6, dimension=3, groups=np.array([0, 0, 1, 1, 2, 2]))
    figure = plot(path, "neurons", dim=2)
    before, after = figure.axes
    with Trajectory(path) as read:
        for panel, k in ((before, 0), (after, -1)):
            drawn = np.concatenate([points.get_offsets() for points in panel.collections])
            assert np.array_equal(drawn, read.q[k][:, :2])
    assert before.get_xlim() == after.get_xlim() and before.get_ylim() == after.get_ylim()
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["group 0", "group 1", "group 2"]


def test_groups_have_the_names_that_the_configuration_gives(tmp_path):
    path = tmp_path / "run.h5"
    with TrajectoryWriter(
        path, neurons=2, dimension=2, groups=[0, 1], parameters={"group_names": ["<b>in</b>", None]}
    ) as writer:
        writer.write(0, 0.0, np.zeros((2, 2)))
        writer.write(1, 1.0, np.ones((2, 2)))
    names = [text.get_text() for text in plot(path, "neurons").legends[0].get_texts()]
    assert names == ["<b>in</b>", "group 1"]


def test_weights_are_what_the_places_stand_for(model, tmp_path):
    model.save(tmp_path / "model.h5")
    figure = plot(tmp_path / "model.h5", "weights")
    images = [axes.images[0] for axes in figure.axes if axes.images]
    for image, layer in zip(images, (model.layers[1], model.layers[3]), strict=True):
        assert np.allclose(image.get_array(), layer.materialize(), rtol=1e-6)
        assert image.norm.vmin == -image.norm.vmax
    assert len([axes for axes in model.plot("weights", layer=3).axes if axes.images]) == 1
    with pytest.raises(ValueError, match=r"layer: got 0; expected one of fc1 \(1\), fc2 \(3\)"):
        model.plot("weights", layer=0)
    convolutions = dynsim.models.lenet5(copies_fc=1, copies_conv=1, dim=2).plot("weights")
    assert convolutions.axes[0].images[0].get_array().shape == (6, 25)


def test_layers_are_boxes_and_shared_neurons_arcs(model):
    axes = model.plot("layers").axes[0]
    texts = [text.get_text() for text in axes.texts]
    assert sum(text.endswith(("(Flatten)", "(Full)", "(BatchNorm)")) for text in texts) == 4 and "12 shared" in texts
    deep = dynsim.models.mlp(widths=(4,) * 30, copies=1, dim=2)
    figure = deep.plot("layers")
    assert "58 layers" in figure.axes[0].get_title() and "further" not in figure.get_supxlabel()
    # All 28 hidden layers of neurons are shared: with an arc, or in words where the next column begins.
    shared = [text.get_text() for text in figure.axes[0].texts if "4 shared" in text.get_text()]
    assert len(shared) == 28 and sum("with layer" in text for text in shared) == 4
    assert dynsim.models.mlp(widths=(4, 2), weights=True).plot("layers").legends


def test_learning_from_lines_and_from_a_trajectory(lines, make_file):
    entries = [
        {"epoch": k, "train_loss": 1.0 / k, "validation_accuracy": [50, 90, 80][k - 1], "seconds": 1} for k in (1, 2, 3)
    ]
    figure = plot(lines(entries), "learning")
    assert [axes.get_ylabel() for axes in figure.axes] == ["loss (nats)", "accuracy (%)"]
    assert figure.axes[1].lines[0].get_ydata().tolist() == [50, 90, 80]
    assert figure.axes[1].texts[0].get_text() == "best: 90.00 % at epoch 2" and figure.axes[1].get_xlabel() == "epoch"
    result = dynsim.learning.TrainingResult(90.0, 90.0, 3, 1.0, entries)
    assert result.plot().axes[0].lines[0].get_ydata().tolist() == [1.0, 0.5, 1 / 3]
    assert len(plot(make_file(observables=["train_loss"]), "learning").axes[0].lines[0].get_ydata()) == 40


def test_noise_curves(lines):
    entries = [{"delta": d, "test_accuracy": a, "deviation": 1.0, "noise": n, "model": "m.h5"}
               for n in ("uniform", "round") for d, a in ((0.1, 50.0), (0, 99.0), (0.01, 90.0))]  # fmt: skip
    axes = plot(lines(entries), "noise").axes[0]
    curves = [container.lines[0] for container in axes.containers]
    assert [curve.get_xdata().tolist() for curve in curves] == [[0.01, 0.1]] * 2 and axes.get_xscale() == "log"
    assert axes.get_ylabel() == "test accuracy (%)" and "ideal" in [text.get_text() for text in axes.texts]
    with pytest.raises(ValueError, match="evaluate with --delta above 0"):
        plot(lines(entries[1:2]), "noise")


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("size", [1e-320, 1e139, 1.7e308])
@pytest.mark.parametrize("kind", ["learning", "noise"])
@pytest.mark.parametrize("other", [-1.0, 1e-320])
def test_numbers_of_any_size_in_lines_are_drawn_or_refused(tmp_path, kind, size, other):
    path, output = tmp_path / "metrics.jsonl", tmp_path / "figure.png"
    for key in ("epoch", "loss", "delta", "test_accuracy", "deviation"):
        first = {"epoch": 1, "loss": 1.0, "delta": 0.5, "test_accuracy": 50.0, "deviation": 1.0}
        path.write_text("".join(json.dumps({**first, key: value}) + "\n" for value in (other, size / 2, size)))
        try:
            plot(path, kind, output=output, size=(700, 600))
        except ValueError as error:
            assert size > 1e139 and re.search(r"got numbers of size \S+; expected less than", str(error)), error
        output.unlink(missing_ok=True)


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("size", [1e-320, 1e60, 1.7e308])
@pytest.mark.parametrize(("what", "dimension"), [("time", 2), ("places", 4), ("signals", 1), ("observables", 1)])
def test_numbers_of_any_size_in_frames_are_drawn_or_refused(tmp_path, dimension, size, what):
    path = tmp_path / "run.h5"
    sizes = {name: size if name == what else 1.0 for name in ("time", "places", "signals", "observables")}
    numbers = np.random.default_rng(0).uniform(-1, 1, (5, 3, dimension + 2))
    system = dynsim.System(np.zeros((3, dimension)), operators=dynsim.Operators(F=-1.0))
    given = {"observables": ["loss"], "provenance": {"system": describe_system(system)}}
    with TrajectoryWriter(path, neurons=3, dimension=dimension, signals=1, dtype=float, **given) as writer:
        for k, (time, frame) in enumerate(zip(np.linspace(0, 1, 5), numbers, strict=True)):
            signals = sizes["signals"] * frame[:, -2:]
            places, loss = sizes["places"] * frame[:, :-2], sizes["observables"] * time
            writer.write(k, sizes["time"] * time, places, signals[:, :1], signals[:, 1:], loss=loss)
    for kind in available(Trajectory(path)):
        try:
            plot(path, kind, output=tmp_path / f"{kind}.png", size=(700, 600))
        except ValueError as error:
            assert size > 1e60 and re.search(r"got numbers of size \S+; expected less than", str(error)), (kind, error)


def test_wrong_sources(lines, make_file, model, tmp_path):
    with pytest.raises(ValueError, match=r"expected a model, not trajectory; choose one of activity, distances"):
        plot(make_file(), "weights")
    with pytest.raises(
        ValueError, match=r"not model; choose one of confusion, filters, forces, layers, misread, weights"
    ):
        plot(model, "signals")
    with pytest.raises(ValueError, match="data='digits'"):
        plot(model, "forces")
    (tmp_path / "broken.jsonl").write_text('{"epoch": 1}\n{"epoch"')
    with pytest.raises(DataError, match="line 2, which is no JSON"):
        plot(tmp_path / "broken.jsonl", "learning")
    with pytest.raises(DataError, match="expected one a line"):
        plot(lines([[1]]), "learning")
    with pytest.raises(FileNotFoundError, match=r"metrics\.jsonl"):
        plot(tmp_path / "nowhere.jsonl", "learning")
    assert available(lines([{"epoch": 1, "loss": 2.0}])) == ["learning"]


def test_a_solution_is_drawn_from_memory_or_from_its_file(tmp_path):
    system = dynsim.System(np.random.default_rng(0).normal(size=(2, 5, 3)), operators=dynsim.Operators(F=-1.0))
    options = {"t_eval": np.linspace(0, 1, 6)}
    memory = dynsim.solve(system, (0.0, 1.0), **options).plot(dim=2)
    file = dynsim.solve(system, (0.0, 1.0), path=tmp_path / "run.h5", **options)
    assert file.t.shape == (6,) and isinstance(file.q, StoredFrames)  # the frames are in the file
    drawn = [figure.axes[0].collections[0].get_segments() for figure in (memory, file.plot(dim=2))]
    assert len(drawn[0]) == 10 and all(np.array_equal(a, b) for a, b in zip(*drawn, strict=True))
    with Trajectory(tmp_path / "run.h5") as read:
        assert read.plot("signals").axes


def test_a_grey_print_tells_lines_apart():
    def lightness(colour):
        red, green, blue = (int(colour[k : k + 2], 16) / 255 for k in (1, 3, 5))
        return 0.2126 * red + 0.7152 * green + 0.0722 * blue

    styles = line_styles(len(PALETTE))
    for i, a in enumerate(styles):
        for b in styles[:i]:
            assert a["linestyle"] != b["linestyle"] or abs(lightness(a["color"]) - lightness(b["color"])) > 0.2
    assert len(DASHES) == len(PALETTE) == len(set(DASHES))
