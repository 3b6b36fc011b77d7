"""Films are whole or not there, say what they leave out, and are written by what there is."""

import itertools
import json
import shutil
import subprocess

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from dynsim.cli.animate import command
from dynsim.errors import DataError
from dynsim.plots import animate
from dynsim.plots._film import _Picture, _pictures
from dynsim.trajectory import Trajectory

SMALL = {"size": (240, 200)}
needs_ffmpeg = pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="needs the program ffmpeg")


def test_a_gif_has_every_frame_for_its_time(make_file, tmp_path):
    output = tmp_path / "film.gif"
    seen = []
    report = animate(make_file(frames=7), output, fps=20, progress=lambda *count: seen.append(count), **SMALL)
    assert report == {"output": str(output), "encoder": "Pillow", "frames": 7, "stride": 1, "neurons": 4}
    assert seen == [(k, 7) for k in range(1, 8)]
    with Image.open(output) as film:
        assert (film.n_frames, film.size, film.info["duration"], film.info["loop"]) == (7, (240, 200), 50, 0)
        pictures = []
        for k in range(7):
            film.seek(k)
            pictures.append(np.asarray(film.convert("L")).astype(int))
    assert all(np.abs(a - b).max() > 100 for a, b in itertools.pairwise(pictures))  # points moved
    assert pictures[0][0, 0] == 255


def test_a_gif_is_the_pictures_that_were_drawn(make_file, tmp_path):
    path = make_file(frames=4, groups=[0, 0, 1, 1])
    animate(path, tmp_path / "film.gif", size=(480, 400))
    with Trajectory(path) as read, Image.open(tmp_path / "film.gif") as film:
        picture = _Picture(read, range(4), size=(480, 400))
        for k in range(4):
            film.seek(k)
            drawn = picture.draw(k, read.q[k])[..., :3].astype(int)
            # A palette of 255 colours, for about three hues on white: a hundredth of them off by a tenth at most.
            assert np.quantile(np.abs(np.asarray(film.convert("RGB")).astype(int) - drawn), 0.99) <= 26


@needs_ffmpeg
def test_an_mp4_by_ffmpeg(make_file, tmp_path):
    report = animate(make_file(frames=12, neurons=20), tmp_path / "film.mp4", stride=2, fps=10, **SMALL)
    assert report["encoder"] == "ffmpeg" and report["frames"] == 6 and report["stride"] == 2
    ask = ["ffprobe", "-v", "error", "-count_frames", "-select_streams", "v", "-show_entries"]
    ask += ["stream=codec_name,width,height,nb_read_frames,r_frame_rate", "-of", "json", str(tmp_path / "film.mp4")]
    (stream,) = json.loads(subprocess.run(ask, capture_output=True, check=True, text=True).stdout)["streams"]
    assert stream == {"codec_name": "h264", "width": 240, "height": 200, "r_frame_rate": "10/1", "nb_read_frames": "6"}
    assert [p.name for p in tmp_path.glob("*film*")] == ["film.mp4"]


def test_a_film_beside_the_run_replaces_none(make_file, tmp_path, monkeypatch):
    path = make_file(frames=2)
    monkeypatch.setattr("dynsim.plots._film_encoders.shutil.which", lambda name: None)
    assert animate(path, **SMALL)["output"] == str(path.with_suffix(".gif"))
    path.with_suffix(".gif").write_text("mine")
    with pytest.raises(FileExistsError, match=r"\.gif exists; give it as the output \(-o .*\.gif\) to replace it"):
        animate(path, **SMALL)
    assert path.with_suffix(".gif").read_text() == "mine"
    assert animate(path, path.with_suffix(".gif"), **SMALL)["frames"] == 2


def test_without_ffmpeg(make_file, tmp_path, monkeypatch):
    monkeypatch.setattr("dynsim.plots._film_encoders.shutil.which", lambda name: None)
    with pytest.raises(FileNotFoundError, match=r"ffmpeg to be installed; install it .* ends in \.gif"):
        animate(make_file(frames=2), tmp_path / "film.mp4", **SMALL)
    report = animate(make_file(frames=2), tmp_path / "film", **SMALL)
    assert report["output"].endswith("film.gif") and report["encoder"] == "Pillow"
    assert not list(tmp_path.glob("*.mp4"))


@needs_ffmpeg
def test_what_ffmpeg_says_is_passed_on(make_file, tmp_path, monkeypatch):
    fake = tmp_path / "ffmpeg"
    fake.write_text("#!/bin/sh\necho no such codec >&2\nexit 1\n")
    fake.chmod(0o755)
    monkeypatch.setattr("dynsim.plots._film_encoders.ffmpeg", lambda: str(fake))
    with pytest.raises(OSError, match="no such codec"):
        animate(make_file(frames=3), tmp_path / "film.mp4", **SMALL)
    assert not list(tmp_path.glob("*film*"))


def test_strides_are_on_the_picture(make_file):
    assert _pictures(np.arange(10_000.0), None, None) == range(0, 10_000, 17)
    assert _pictures(np.arange(7.0), 3, None) == range(0, 7, 3)
    with Trajectory(make_file(neurons=30, dimension=5, frames=20, copies=100)) as read:
        picture = _Picture(read, range(0, 20, 4), dim=2, size=(600, 400))
        words = picture.figure.get_supxlabel()
        assert "5 of 20 frames, every 4." in words and "20 of 30 neurons" in words and "2 of 5 principal axes" in words
        picture.draw(0, read.q[0][picture.which])
        assert np.array_equal(picture.points[0].get_xdata(), picture.projection(read.q[0][picture.which])[:, 0])
        assert picture.clock.get_text() == "20 of 30 neurons, time 0"


def test_bad_options(make_file, tmp_path):
    path = make_file(frames=3)
    for options, words in (
        ({"frames": 2, "stride": 2}, "frames, stride: got both"),
        ({"stride": 0}, "stride: got 0"),
        ({"fps": 0}, "frames a second"),
        ({"neurons": [4]}, "neurons: got 4"),
    ):
        with pytest.raises(ValueError, match=words):
            animate(path, tmp_path / "film.gif", **options)
    with pytest.raises(ValueError, match=r"ends in \.mp4, \.gif"):
        animate(path, tmp_path / "film.avi")
    with pytest.raises(ValueError, match="no frames yet"):
        animate(make_file(frames=0), tmp_path / "film.gif")
    (tmp_path / "lines.jsonl").write_text("{}")
    with pytest.raises(DataError, match="expected a trajectory"):
        animate(tmp_path / "lines.jsonl", tmp_path / "film.gif")
    assert not list(tmp_path.glob("*.gif"))


def test_a_diverged_run_is_shown_to_its_end(make_file, tmp_path):
    assert animate(make_file(frames=5, dimension=2, diverge=True), tmp_path / "film.gif", **SMALL)["frames"] == 5


def test_the_command(make_file, tmp_path):
    output = tmp_path / "film.gif"
    arguments = [str(make_file(frames=4)), "-o", str(output), "--size", "200x200", "--stride", "2"]
    result = CliRunner().invoke(command, arguments)
    assert result.exit_code == 0 and result.stdout == f"{output}\n"
    assert "every 2., 4 neurons, by Pillow" in result.stderr
    result = CliRunner().invoke(command, [*arguments, "--json"])
    assert json.loads(result.stdout)["frames"] == 2


@pytest.mark.parametrize("suffix", ["gif", pytest.param("mp4", marks=needs_ffmpeg)])
def test_ctrl_c_leaves_no_half_film(start, make_file, tmp_path, suffix):
    output = tmp_path / f"film.{suffix}"
    output.write_bytes(b"old")
    process = start("animate", make_file(neurons=50, frames=400), "-o", output, "--stride", "1", halt=(output.name, 1))
    process.wait_for(lambda: any(half.stat().st_size for half in tmp_path.glob(f".film-*.{suffix}")))
    error = process.stop()[1]
    assert process.returncode == 130 and "Traceback" not in error
    assert output.read_bytes() == b"old" and not list(tmp_path.glob(".film-*"))
