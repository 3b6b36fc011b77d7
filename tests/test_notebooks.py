"""What notebooks show: pictures, tables, the player; frames of a file behind a solution; labelled arrays."""

import pickle
import warnings

import numpy as np
import pytest

import dynsim
from dynsim.errors import DataError
from dynsim.trajectory import Trajectory

CONFIG = {
    "copies": 2,
    "dimension": 3,
    "signals": 2,
    "operators": {"F": -0.5},
    "groups": [{"name": "left", "neurons": 3}, {"name": "right", "neurons": 2}],
    "run": {"until": 1.0, "method": "rk4", "dt": 0.1},
}


@pytest.fixture(scope="module")
def solutions(tmp_path_factory):
    """One run in memory and in a file."""
    ready = dynsim.engine.configure(CONFIG)
    path = tmp_path_factory.mktemp("run") / "run.h5"
    streamed = dynsim.trajectory.run(
        ready.system, ready.span, path=path, parameters={"config": ready.config}, seed=0, **ready.options
    )
    return dynsim.solve(ready.system, ready.span, **ready.options), streamed


def test_a_figure_is_shown_as_a_picture(solutions):
    content, size = solutions[0].plot("signals")._repr_png_()
    assert content[1:4] == b"PNG" and size["width"] == 800
    pickle.dumps(solutions[0].plot())


def test_objects_are_shown_in_a_line_and_as_a_table(solutions):
    model, data = dynsim.models.mlp((64, 8, 10), copies=2, dim=2), dynsim.datasets.load("digits")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # after one epoch not much is learnt
        result = dynsim.train(model, data, epochs=1)
    with Trajectory(solutions[1].path) as trajectory:
        for one in (*solutions, solutions[0].system, trajectory, model, data, result):
            assert len(repr(one)) < 400 and "\n" not in repr(one) and " at 0x" not in repr(one)
            table = one._repr_html_()
            assert table.startswith("<table>") and table.count("<tr>") == len(one.facts())
    from dataclasses import replace

    assert "<b>" not in replace(data, name="<b>")._repr_html_()


def test_the_player_in_a_cell(solutions, tmp_path):
    page = solutions[0].view()
    shown = page._repr_html_()
    assert shown.startswith('<iframe srcdoc="') and shown.count('"') == 2 + 2 * 3 and page.report["frames"] == 11
    with pytest.raises(ValueError, match="at most 0 MB"):
        dynsim.plots.page(solutions[0], largest=1000)
    assert solutions[0].view(tmp_path / "a.html")["bytes"] == (tmp_path / "a.html").stat().st_size


def test_a_solution_of_a_file_has_all_frames(solutions):
    memory, streamed = solutions
    np.testing.assert_array_equal(streamed.t, memory.t)
    some = [slice(None), -1, 3, slice(2, 9, 3), slice(None, None, -2), (slice(1, 4), 0, slice(None), 1), (..., 0),
            (2, 1), (-1, ..., 0), memory.t > 0.55, np.array([4, 1]), (memory.t > 0.55, 0)]  # fmt: skip
    for name in ("q", "R", "E"):
        expected, found = (getattr(solution, name) for solution in solutions)
        assert found.shape == expected.shape and len(found) == len(expected) and found.size == expected.size
        np.testing.assert_array_equal(found, expected)
        for key in some:
            if not (name != "q" and isinstance(key, tuple) and len(key) == 4):
                np.testing.assert_array_equal(found[key], expected[key], err_msg=f"{name}[{key}]")
        np.testing.assert_array_equal(pickle.loads(pickle.dumps(found))[1], expected[1])
        np.testing.assert_array_equal(2 * found - 1, 2 * expected - 1)
        np.testing.assert_array_equal(np.sqrt(np.abs(found)), np.sqrt(np.abs(expected)))
    for key in (11, -12, np.array([11])):
        with pytest.raises(IndexError):
            streamed.q[key]


def test_frames_of_a_run_that_went_on_are_still_those_of_the_solution(tmp_path):
    ready = dynsim.engine.configure({**CONFIG, "run": {**CONFIG["run"], "frames": 11}})
    first = dynsim.trajectory.run(
        ready.system, ready.span, path=tmp_path / "run.h5", parameters={"config": ready.config}, checkpoint_seconds=0.0,
        **ready.options,
    )  # fmt: skip
    before = np.asarray(first.q)
    assert len(dynsim.trajectory.resume(tmp_path / "run.h5", until=2.0).q) == 21
    assert len(first.q) == 11
    for key in (-1, slice(None), slice(-2, None), np.array([-1, 2]), first.t > 0.75):
        np.testing.assert_array_equal(first.q[key], before[key])


def test_frames_of_a_file_that_became_another_run(tmp_path):
    system = dynsim.System(np.eye(2))
    first = dynsim.solve(system, (0.0, 1.0), t_eval=[0.0, 1.0], path=tmp_path / "run.h5")
    (tmp_path / "run.h5").unlink()
    with pytest.raises(FileNotFoundError):
        first.q[0]
    dynsim.solve(system, (0.0, 1.0), t_eval=[0.0, 1.0], path=tmp_path / "run.h5")
    with pytest.raises(DataError, match="another run by now"):
        first.q[0]


def test_labelled_arrays(solutions, tmp_path):
    xarray = pytest.importorskip("xarray", reason="needs xarray: pip install 'dynsim[xarray]'")
    memory, streamed = solutions
    with Trajectory(streamed.path) as trajectory:
        for source in (memory, streamed, trajectory):
            found = source.to_xarray()
            assert dict(found.sizes) == {"time": 11, "copy": 2, "neuron": 5, "axis": 3, "signal": 2}
            np.testing.assert_array_equal(found.q, memory.q)
            np.testing.assert_array_equal(found.E.sel(time=0.5, method="nearest"), memory.E[5])
            np.testing.assert_array_equal(found.q.isel(time=-1, copy=0, neuron=[4, 1]), memory.q[-1, 0, [4, 1]])
            np.testing.assert_array_equal(found.R.isel(time=slice(None, None, -3)), memory.R[::-3])
        assert trajectory.to_xarray().group.values.tolist() == ["left"] * 3 + ["right"] * 2
        read = []
        trajectory.q.read = lambda *part: read.append(part) or type(trajectory.q).read(trajectory.q, *part)
        lazy = trajectory.to_xarray().q.isel(time=slice(2, 4))
        assert not read
        assert lazy.values.shape == (2, 2, 5, 3) and read == [(slice(2, 4, 1),)]
        trajectory.to_xarray().to_netcdf(tmp_path / "a.nc", engine="scipy")
    assert xarray.open_dataset(tmp_path / "a.nc", engine="scipy").attrs["seed"] == 0


def test_tables(solutions):
    pytest.importorskip("pandas", reason="needs pandas: pip install 'dynsim[xarray]'")
    pytest.importorskip("xarray", reason="needs xarray: pip install 'dynsim[xarray]'")
    memory, streamed = solutions
    table = streamed.to_pandas()
    assert table.index.names == ["time", "copy", "neuron"] and len(table) == 11 * 2 * 5
    assert list(table.columns) == ["group", "q_0", "q_1", "q_2", "R_0", "R_1", "E_0", "E_1"]
    row = table.loc[(memory.t[3], 1, 4)]
    assert row[["q_0", "q_1", "q_2"]].tolist() == memory.q[3, 1, 4].tolist() and row["E_1"] == memory.E[3, 4, 1]


def test_a_backend_of_notebooks_stops_no_command(tmp_path):
    import os
    import subprocess
    import sys

    environment = {**os.environ, "MPLBACKEND": "module://no_such_backend"}
    command = [sys.executable, "-m", "dynsim", "simulate", "--preset", "pair", "--until", "1", "-o", "run.h5"]
    subprocess.run(command, cwd=tmp_path, env=environment, check=True, capture_output=True)
    command = [sys.executable, "-m", "dynsim", "plot", "run.h5", "--kind", "signals", "-o", "a.png"]
    done = subprocess.run(command, cwd=tmp_path, env=environment, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
