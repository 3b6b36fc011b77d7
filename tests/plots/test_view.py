"""The page holds what the file holds, rounded as it says, and no name in the file becomes markup."""

import base64
import json
import re

import numpy as np
import pytest
from click.testing import CliRunner

from dynsim.cli.view import command
from dynsim.errors import DataError
from dynsim.plots import view
from dynsim.trajectory import Trajectory, TrajectoryWriter


def read(page):
    """The page's header, and its arrays by name."""
    text = page.read_text(encoding="utf-8")
    parts = dict(re.findall(r'<script type="[^"]+" id="([\w-]+)">(.*?)</script>', text, re.DOTALL))
    header = json.loads(parts.pop("header"))
    return header, {name: np.frombuffer(base64.b64decode(part), "<u2") for name, part in parts.items()}


def test_places_and_signals_come_back_to_half_a_step(make_file, tmp_path):
    path = make_file(neurons=7, dimension=3, frames=11, copies=2, signals=2, groups=np.arange(7) % 3)
    report = view(path, tmp_path / "run.html", component=1)
    header, arrays = read(tmp_path / "run.html")
    page = tmp_path / "run.html"
    expected = {"output": str(page), "bytes": page.stat().st_size, "neurons": 7, "frames": 11, "frame_stride": 1}
    assert report == expected
    with Trajectory(path) as run:
        q, R, E = run.q[...], run.R[...], run.E[...]
        assert header["time"] == run.time.tolist() and header["group"] == run.groups.tolist()
    step = np.array(header["range"]) / 65534
    found = header["low"] + arrays["places"].reshape(11, 14, 3) * step
    # Half a step of rounding, and half a unit of float32 in which places are read.
    assert (np.abs(found - q) <= 0.5 * step * (1 + 1e-6) + 6e-8 * np.abs(q).max()).all()
    for name, data in (("received", R), ("emitted", E)):
        step = header[name]["range"] / 65534
        found = header[name]["low"] + arrays[name].reshape(11, 7) * step
        assert np.allclose(found, data[:, :, 1], rtol=0, atol=0.5 * step * (1 + 1e-6))
    assert header["neuron"] == [*range(7), *range(7)] and header["groupNames"] == ["group 0", "group 1", "group 2"]
    assert header["component"] == ", component 1 of 2"


def test_speeds_are_those_of_equation_3(make_file, tmp_path):
    path = make_file(neurons=5, dimension=4, frames=9, copies=2)  # with a system that makes q' = -q
    view(path, tmp_path / "run.html")
    header, arrays = read(tmp_path / "run.html")
    with Trajectory(path) as run:
        expected = np.linalg.norm(run.q[...].astype(float), axis=2)
    step = header["speed"]["range"] / 65534
    found = header["speed"]["low"] + arrays["speed-words"].reshape(9, 10) * step
    assert (np.abs(found - expected) <= 0.5 * step * (1 + 1e-6)).all() and header["speed"]["name"] == "speed |q'|"


def test_speeds_that_are_not_known_are_left_out(tmp_path):
    for signals, words in ((1, "Speed |q'| is not known"), (None, "Speed is the displacement per epoch")):
        said = {} if signals else {"time_label": "epoch"}
        path, sizes = tmp_path / "run.h5", {"neurons": 1, "dimension": 2, "signals": signals}
        with TrajectoryWriter(path, **sizes, parameters=said, overwrite=True) as writer:
            for k in range(3):
                writer.write(k, 2.0 * k, [[3.0 * k, 4.0 * k]], *([[0.0], [0.0]] if signals else ()))
        view(tmp_path / "run.h5", tmp_path / "run.html")
        header, arrays = read(tmp_path / "run.html")
        assert any(words in note for note in header["notes"])
        assert (header["speed"] is None) == (signals == 1) == (len(arrays["speed-words"]) == 0)
    assert header["speed"]["low"] == 2.5 and header["speed"]["range"] == 0.0


def test_a_page_of_a_diverged_run_marks_what_is_not_a_number(make_file, tmp_path):
    view(make_file(frames=5, diverge=True), tmp_path / "run.html")
    places = read(tmp_path / "run.html")[1]["places"].reshape(5, 4, 3)
    assert (places[3:] == 65535).all() and places[:3].max() == 65534 and places[:3].min() == 0


@pytest.mark.parametrize("options", [{"dimension": 1}, {"dimension": 2, "frames": 1}, {"neurons": 1, "signals": None}])
def test_small_runs(make_file, tmp_path, options):
    view(make_file(**options), tmp_path / "run.html")
    header, arrays = read(tmp_path / "run.html")
    assert (header["range"][2] == 0) == (options.get("dimension", 3) < 3)
    assert bool(header["emitted"]) == (options.get("signals", 1) is not None)
    assert len(arrays["places"]) == 3 * len(header["time"]) * len(header["neuron"])


def test_large_runs_are_strided_and_say_so(make_file, tmp_path, monkeypatch):
    monkeypatch.setattr("dynsim.plots._player._MOST_PARTICLES", 20)
    monkeypatch.setattr("dynsim.plots._player._MOST_PLACES", 400)
    report = view(make_file(neurons=50, dimension=5, frames=90, groups=np.arange(50) // 10), tmp_path / "run.html")
    header, _ = read(tmp_path / "run.html")
    assert (report["neurons"], report["frames"], report["frame_stride"]) == (20, 18, 5)
    assert header["number"][-1] == 85 and header["neuron"][-1] == 49
    notes = " ".join(header["notes"])
    assert (
        "20 of 50 neurons" in notes and "out of 5;" in notes and "3 of 5 principal axes" in notes and "rounded" in notes
    )


def test_names_are_text(tmp_path):
    names = ["</script><script>alert(1)</script>", "<img src=x onerror=alert(2)>", 'a\u2028b & "c"']
    with TrajectoryWriter(
        tmp_path / "run.h5", neurons=3, dimension=2, groups=[0, 1, 2],
        parameters={"group_names": names, "time_label": "</script>"},
    ) as writer:  # fmt: skip
        writer.write(0, 0.0, np.zeros((3, 2)))
    view(tmp_path / "run.h5", tmp_path / "run.html", title="</title><script>alert(3)</script>")
    text = (tmp_path / "run.html").read_text(encoding="utf-8")
    assert "alert(1)" in text and "<script>alert" not in text and "<img" not in text and "\u2028" not in text
    assert text.count("<script") == text.count("</script>") == 6
    header, _ = read(tmp_path / "run.html")
    assert header["groupNames"] == names and header["title"].startswith("</title>")


def test_a_name_that_is_no_text(make_file, tmp_path):
    path = tmp_path / "b\udcff.h5"
    try:
        make_file().rename(path)
    except OSError:
        pytest.skip("this file system has only names that are text")
    view(path, tmp_path / "run.html")
    assert "<title>dynsim: b?.h5</title>" in (tmp_path / "run.html").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", ["", ".", "/"])
def test_folders_are_not_viewed(name):
    result = CliRunner().invoke(command, [name])
    assert isinstance(result.exception, IsADirectoryError) and "give the path of a file" in str(result.exception)


def test_the_page_asks_for_nothing(make_file, tmp_path):
    view(make_file(), tmp_path / "run.html")
    text = (tmp_path / "run.html").read_text(encoding="utf-8")
    assert "default-src 'none'" in text and not re.search(r"https?://|@import|\bfetch\(|XMLHttpRequest|@@", text)


def test_refusals(make_file, tmp_path, monkeypatch):
    path = make_file(signals=2)
    for options, words in (({"neurons": [9]}, "neurons: got 9"), ({"component": 2}, "component: got 2"),
                           ({"frames": 0}, "frames: got 0"), ({"axes": "x"}, "axes: got 'x'")):  # fmt: skip
        with pytest.raises(ValueError, match=words):
            view(path, tmp_path / "run.html", **options)
    with pytest.raises(ValueError, match=r"ends in \.html"):
        view(path, tmp_path / "run.txt")
    (tmp_path / "lines.jsonl").write_text("{}")
    with pytest.raises(DataError, match="expected a trajectory"):
        view(tmp_path / "lines.jsonl", tmp_path / "run.html")
    monkeypatch.setattr("dynsim.plots._player.LARGEST", 10_000)
    with pytest.raises(ValueError, match="choose fewer neurons or frames"):
        view(path, tmp_path / "run.html")
    assert not (tmp_path / "run.html").exists()


def test_the_command(make_file, tmp_path):
    path = make_file()
    result = CliRunner().invoke(command, [str(path), "--frames", "10"])
    page = path.with_suffix(".html")
    assert result.exit_code == 0 and result.stdout == f"{page}\n" and "every 4., 4 neurons" in result.stderr
    result = CliRunner().invoke(command, [str(path), "-o", str(page), "--json"])
    assert json.loads(result.stdout) == {
        "output": str(page), "bytes": page.stat().st_size, "neurons": 4, "frames": 40, "frame_stride": 1,
    }  # fmt: skip


def test_a_page_beside_the_run_replaces_none(make_file):
    path = make_file()
    page = path.with_suffix(".html")
    assert view(path)["output"] == str(page) and page.stat().st_size > 5000
    page.write_text("mine")
    with pytest.raises(FileExistsError, match=r"\.html exists; give it as the output \(-o .*\.html\) to replace it"):
        view(path)
    assert page.read_text() == "mine" and view(path, page)["output"] == str(page)
