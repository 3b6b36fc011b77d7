"""The tour leaves what its index shows."""

import json
import re
from pathlib import Path

from dynsim.models import load_model
from dynsim.trajectory import Trajectory


def test_the_index_shows_files_that_are_there(run, tmp_path, capsys):
    folder = tmp_path / "tour"
    assert run("demo", "-o", folder, "--json") == 0
    report = json.loads(capsys.readouterr().out)
    page = (folder / "index.html").read_text()
    shown = re.findall(r'src="([^"]+)"', page)
    shown = [name for name in shown if name.endswith(".png")]
    assert len(shown) == len(set(shown)) == 8 and all((folder / name).stat().st_size > 5000 for name in shown)
    pages = re.findall(r'<a href="([^"]+-player.html)">', page)
    assert len(pages) == 4 and pages == re.findall(r'<iframe src="([^"]+)"', page)
    assert all(b'id="header"' in (folder / name).read_bytes() for name in pages)
    for name in set(re.findall(r"<code>([^<\s]+\.h5)</code>", page)):
        with Trajectory(folder / name) as trajectory:
            assert trajectory.frames > 10
    assert report["test_accuracy"] > 90 and f"{report['test_accuracy']:.2f}" in page
    assert load_model(folder / "training/model.h5").results["test_accuracy"] > 90
    # Once more into the same folder.
    assert run("demo", "-o", folder) == 1
    assert f"{folder / 'pulse.h5'} exists" in (said := capsys.readouterr().err) and "--overwrite" in said
    assert run("demo", "-o", folder, "--overwrite") == 0
    assert str(folder / "index.html") in capsys.readouterr().out
    written = {path.relative_to(folder) for path in folder.rglob("*") if path.is_file()}
    for name in written - {Path("training/training.progress"), Path("training/training.checkpoint.previous")}:
        (tmp_path / name.name / name).parent.mkdir(parents=True)
        (tmp_path / name.name / name).write_text("mine")
        assert run("demo", "-o", tmp_path / name.name) == 1
        assert f"{name} exists" in capsys.readouterr().err and (tmp_path / name.name / name).read_text() == "mine"
    (tmp_path / "file").write_text("x")
    assert run("demo", "-o", tmp_path / "file") == 1
