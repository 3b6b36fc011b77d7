"""The documentation site builds without a warning, from this folder alone, and holds every command and public name."""

import doctest
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import click
import pytest

from dynsim.cli._root import root

FOLDER = Path(__file__).parent.parent
ROOMS = ("kernels", "engine", "layers", "models", "learning", "trajectory", "datasets", "plots", "export", "errors")
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
DRIVER = shutil.which("chromedriver")
HEIGHTS = "return [...document.querySelectorAll('.math')].map(one => [one.scrollHeight, one.clientHeight])"
WIDTHS = "return [...document.querySelectorAll('pre > code')].map(one => [one.scrollWidth, one.clientWidth])"


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The site, built as if neither PyTorch nor scikit-learn were installed."""
    for name in ("mkdocs", "mkdocstrings", "mkdocs_click", "latex2mathml", "jupytext"):
        pytest.importorskip(name, reason="the extra docs is not installed")
    folder, absent = tmp_path_factory.mktemp("site"), tmp_path_factory.mktemp("absent")
    for name in ("torch", "sklearn"):
        (absent / f"{name}.py").write_text("raise ModuleNotFoundError(f'No module named {__name__}', name=__name__)\n")
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "-d", str(folder)],
        env=os.environ | {"PYTHONPATH": os.pathsep.join([str(absent), os.environ.get("PYTHONPATH", "")])},
        cwd=FOLDER, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return folder


@pytest.mark.slow
def test_the_site_is_complete_and_asks_no_other_host(site):
    commands = (site / "command-line.html").read_text(encoding="utf-8")
    assert all(f'id="dynsim-{name}"' in commands for name in root.list_commands(click.Context(root)))
    assert 'id="dynsim-experiment-run"' in commands and "dynsim experiment run mnist-lenet5 -o results" in commands
    for room in ROOMS:
        page = (site / f"reference/{room}.html").read_text(encoding="utf-8")
        public = getattr(import_module(f"dynsim.{room}"), "__all__", ("FileError", "DataError"))
        assert all(f'id="dynsim.{room}.{name}"' in page for name in public if name not in ("sklearn", "torch")), room
    assert 'id="dynsim.sklearn.DynClassifier"' in (site / "reference/sklearn.html").read_text("utf-8")
    assert "<mfrac>" in (site / "equations.html").read_text(encoding="utf-8")
    loads = r'<(?:script|img|link|iframe)[^>]*?(?:src|href)="?(?:https?:)?//|url\(["\']?(?:https?:)?//'
    for file in [*site.rglob("*.html"), *site.rglob("*.css")]:
        found = re.search(loads, file.read_text(encoding="utf-8"))
        assert found is None, f"{file.name}: {found[0]}"
    other = re.compile(r"https://[\w.]+/(?:mermaid|iframe-worker)")
    assert not any(other.search(file.read_text(encoding="utf-8")) for file in site.rglob("*.js"))


@pytest.mark.slow
def test_the_reference_has_types_and_the_values_of_constants(site):
    engine = (site / "reference/engine.html").read_text(encoding="utf-8")
    assert "<code>'dopri5'</code>" in engine
    assert "<code>'distances'</code>" in (site / "reference/plots.html").read_text("utf-8")
    pair = json.loads((site / "gallery/pair.ipynb").read_text(encoding="utf-8"))
    assert pair["nbformat"] == 4 and [cell["cell_type"] for cell in pair["cells"][:2]] == ["markdown", "code"]
    assert (site / "gallery/pair.py").exists()
    assert all(form in (site / "gallery/index.html").read_text("utf-8") for form in ("pair.py", "pair.ipynb"))
    first = (site / "index.html").read_text(encoding="utf-8")
    assert "solution = " in re.sub("<[^>]*>", "", first) and 'href="start.html"' in first


@pytest.mark.slow
@pytest.mark.browser
@pytest.mark.skipif(not (CHROMIUM and DRIVER), reason="needs chromium and chromedriver")
def test_nothing_on_a_page_of_equations_scrolls(site, tmp_path):
    webdriver = pytest.importorskip("selenium.webdriver", reason="needs selenium (extra test)")
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for flag in (
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--window-size=1300,900",
        f"--user-data-dir={tmp_path}",
    ):
        options.add_argument(flag)
    browser = webdriver.Chrome(options=options, service=webdriver.ChromeService(executable_path=DRIVER))
    try:
        count = 0
        for page in sorted(site.rglob("*.html")):
            if 'class="math"' in page.read_text(encoding="utf-8"):
                browser.get(page.as_uri())
                found = browser.execute_script(HEIGHTS)
                assert all(inside <= shown for inside, shown in found), page.name
                count += len(found)
        assert count > 10
        browser.get((site / "index.html").as_uri())
        assert all(inside <= shown for inside, shown in browser.execute_script(WIDTHS))
    finally:
        browser.quit()


@pytest.mark.parametrize("name", ["docstrings", "hooks"])
def test_examples_in_the_sites_own_code_hold(name):
    for needed in ("mkdocs", "griffe", "latex2mathml", "jupytext"):
        pytest.importorskip(needed, reason="the extra docs is not installed")
    spec = importlib.util.spec_from_file_location(name, FOLDER / f"docs/_site/{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    found = doctest.testmod(module)
    assert found.attempted > 0 and found.failed == 0
