"""The tour leaves what its index shows."""

import json
import re

from dynsim.models import load_model
from dynsim.trajectory import Trajectory


def test_the_index_shows_files_that_are_there(run, tmp_path, capsys):
    folder = tmp_path / "tour"
    assert run("demo", "-o", folder, "--json") == 0
    report = json.loads(capsys.readouterr().out)
    page = (folder / "index.html").read_text()
    shown = re.findall(r'src="([^"]+)"', page)
    assert len(shown) == len(set(shown)) == 6 and all((folder / name).stat().st_size > 5000 for name in shown)
    pages = re.findall(r'<a href="([^"]+-player.html)">', page)
    assert len(pages) == 3 and all(b'id="header"' in (folder / name).read_bytes() for name in pages)
    for name in set(re.findall(r"<code>([^<\s]+\.h5)</code>", page)):
        with Trajectory(folder / name) as trajectory:
            assert trajectory.frames > 10
    assert report["test_accuracy"] > 90 and f"{report['test_accuracy']:.2f}" in page
    assert load_model(folder / "training/model.h5").results["test_accuracy"] > 90
    # Once more into the same folder.
    assert run("demo", "-o", folder) == 0
    assert str(folder / "index.html") in capsys.readouterr().out
    (tmp_path / "file").write_text("x")
    assert run("demo", "-o", tmp_path / "file") == 1
