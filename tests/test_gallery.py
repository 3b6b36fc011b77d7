"""Every program of the gallery runs, as a script and as a notebook, and makes the picture that stands beside it."""

import base64
import re
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

FOLDER = Path(__file__).parent.parent / "docs/gallery"
PAGE = (FOLDER / "index.md").read_text(encoding="utf-8")
PROGRAMS = sorted(path.stem for path in FOLDER.glob("*.py"))
FASTER = {
    "cluster": {"FRAMES": "5"},
    "convert": {"EPOCHS": "5", "STEPS": "5"},
    "digits": {"EPOCHS": "3"},
    "flow": {"UNTIL": "20.0", "FRAMES": "3"},
    "learn": {"FRAMES": "5"},
    "noise": {"EPOCHS": "2", "DRAWS": "2"},
    "product": {"SIZES": "(100, 200)"},
}
NEEDS = {"convert": "torch"}


def program(name):
    """The text of a program, with constants that make it fast."""
    text = (FOLDER / f"{name}.py").read_text(encoding="utf-8")
    for constant, value in FASTER.get(name, {}).items():
        text, count = re.subn(rf"^{constant} = .*$", f"{constant} = {value}", text, flags=re.MULTILINE)
        assert count == 1, f"{name}.py: {constant}"
    return text


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Run a program in a folder of its own; returns its names."""
    import matplotlib.pyplot as plt

    monkeypatch.chdir(tmp_path)
    plt.switch_backend("agg")

    def call(name):
        names = {"__name__": "__main__"}
        exec(compile(program(name), f"{name}.py", "exec"), names)
        return names

    yield call
    plt.close("all")


@pytest.mark.parametrize("name", PROGRAMS)
def test_a_program_makes_its_picture(run, tmp_path, name, capsys):
    if name in NEEDS:
        pytest.importorskip(NEEDS[name], reason=f"needs {NEEDS[name]}")
    found = run(name)
    picture = (tmp_path / f"{name}.png").read_bytes()
    assert picture.startswith(b"\x89PNG") and len(picture) > 5000
    assert (FOLDER / f"{name}.png").stat().st_size < 150_000
    if name == "pair":
        # rho' = -0.2 rho + 1/2 for opposite neurons: exp(-8) of the way to 2.5 is left, and 2e-4 of softening.
        assert abs(found["distance"][-1] - 5.0) < 5.0 * (np.exp(-8) + 2e-4)
    if name == "cluster":
        assert (tmp_path / "cluster.gif").read_bytes().startswith(b"GIF89a")
        assert (FOLDER / "cluster.gif").stat().st_size < 400_000
    if name == "learn":
        assert (tmp_path / "learn.gif").read_bytes().startswith(b"GIF89a")
        assert (FOLDER / "learn.gif").stat().st_size < 400_000
        assert found["right"][-1] == 100 and np.all(np.diff(found["loss"]) < 1e-3)
    if name == "pulse":
        # Layer k is passed at 1 + k; recorded every 0.02, and the pulse's sides shift its largest value.
        np.testing.assert_allclose(found["arrivals"], 1.0 + np.arange(6), atol=0.05)
    if name == "groups":
        # Nothing moves, so what is received is a sum of the two given signals half a unit of time before.
        t, R = found["solution"].t, found["solution"].R[:, found["receivers"], 0]
        late = t > 0.5
        given = np.stack([np.sin(np.pi * (t - 0.5)), np.exp(-(((t - 4.5) / 0.2) ** 2) / 2)], axis=1)
        factors = np.linalg.lstsq(given[late], R[late], rcond=None)[0]
        np.testing.assert_allclose(R[late], given[late] @ factors, atol=1e-9)
        # Before, there is the tail of the pulse, twenty widths from its middle: five neurons by 0.3 by at most 1.
        assert np.abs(R[~late]).max() < 1.5 * np.exp(-(20**2) / 2) and factors.min() > 0
    if name == "echo":  # per delay the field grows by the gain; below 1 it settles, at 1 it grows by less and less
        growth = found["growth"]
        np.testing.assert_allclose([growth[0.8], growth[1.25]], [1.0, 1.25], rtol=0.01)
        assert 1.0 < growth[1.0] < 1.1
    if name == "events":
        assert len(found["where"]) > 3 and np.abs(found["where"][:, 2, 0]).max() < 1e-9
    if name == "product":  # n terms in float32, added in another order
        assert found["worst"] < 200 * np.finfo(np.float32).eps
    if name == "digits":
        assert found["result"].test_accuracy > 50
    if name == "convert":
        layer = found["report"].layers[0]
        assert layer.floats < layer.weights / 2 and layer.error < 0.2


@pytest.mark.slow
@pytest.mark.parametrize("name", ["digits", "pair"])
def test_a_program_is_a_notebook(name, tmp_path, monkeypatch):
    for needed in ("jupytext", "nbclient", "ipykernel"):
        pytest.importorskip(needed, reason="the extra notebooks is not installed")
    import jupytext
    from nbclient import NotebookClient

    for variable in ("IPYTHONDIR", "JUPYTER_RUNTIME_DIR", "JUPYTER_DATA_DIR", "JUPYTER_CONFIG_DIR"):
        monkeypatch.setenv(variable, str(tmp_path / "jupyter"))
    monkeypatch.delenv("MPLBACKEND", raising=False)  # the kernel chooses the one that shows figures
    notebook = jupytext.reads(program(name), fmt="py:percent")
    assert notebook.cells[0].cell_type == "markdown" and notebook.cells[0].source.startswith("# ")
    client = NotebookClient(
        notebook, timeout=600, kernel_name="python3", resources={"metadata": {"path": str(tmp_path)}}
    )
    client.execute()
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", ())]
    shown = [output.data["image/png"] for output in outputs if "image/png" in output.get("data", {})]
    assert shown and base64.b64decode(shown[0]).startswith(b"\x89PNG")
    assert (tmp_path / f"{name}.png").exists()


def test_every_program_stands_in_the_gallery():
    links = re.findall(r"\[(\w+)\.py\]\((\w+)\.py\)", PAGE)
    assert all(one == other for one, other in links) and sorted(one for one, _ in links) == PROGRAMS
    assert len(PROGRAMS) >= 10 and all(f"({name}.png)" in PAGE for name in PROGRAMS)
    assert links[0][0] == "pair" and (links[-1][0] == "convert" or not find_spec("torch"))
