"""The documentation site builds without a warning, from this folder alone, and holds every command and public name."""

import doctest
import importlib.util
import re
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import click
import pytest

from dynsim.cli._root import root

FOLDER = Path(__file__).parent.parent
ROOMS = ("kernels", "engine", "layers", "models", "learning", "trajectory", "datasets", "plots", "export", "errors")


@pytest.mark.slow
def test_the_site_is_complete_and_asks_no_other_host(tmp_path):
    for name in ("mkdocs", "mkdocstrings", "mkdocs_click", "latex2mathml", "torch"):
        pytest.importorskip(name, reason="the extras docs and torch are not installed")
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "-d", str(tmp_path)],
        cwd=FOLDER, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    commands = (tmp_path / "command-line.html").read_text(encoding="utf-8")
    assert all(f'id="dynsim-{name}"' in commands for name in root.list_commands(click.Context(root)))
    assert 'id="dynsim-experiment-run"' in commands and "dynsim experiment run mnist-lenet5 -o results" in commands
    for room in ROOMS:
        page = (tmp_path / f"reference/{room}.html").read_text(encoding="utf-8")
        public = getattr(import_module(f"dynsim.{room}"), "__all__", ("FileError", "DataError"))
        assert all(f'id="dynsim.{room}.{name}"' in page for name in public if name not in ("sklearn", "torch")), room
    assert 'id="dynsim.sklearn.DynClassifier"' in (tmp_path / "reference/sklearn.html").read_text("utf-8")
    assert "<mfrac>" in (tmp_path / "equations.html").read_text(encoding="utf-8")
    loads = r'<(?:script|img|link|iframe)[^>]*?(?:src|href)="?(?:https?:)?//|url\(["\']?(?:https?:)?//'
    for file in [*tmp_path.rglob("*.html"), *tmp_path.rglob("*.css")]:
        found = re.search(loads, file.read_text(encoding="utf-8"))
        assert found is None, f"{file.name}: {found[0]}"
    other = re.compile(r"https://[\w.]+/(?:mermaid|iframe-worker)")
    assert not any(other.search(file.read_text(encoding="utf-8")) for file in tmp_path.rglob("*.js"))


@pytest.mark.parametrize("name", ["docstrings", "hooks"])
def test_examples_in_the_sites_own_code_hold(name):
    for needed in ("mkdocs", "griffe", "latex2mathml"):
        pytest.importorskip(needed, reason="the extra docs is not installed")
    spec = importlib.util.spec_from_file_location(name, FOLDER / f"docs/_site/{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    found = doctest.testmod(module)
    assert found.attempted > 0 and found.failed == 0
