"""Every program of the gallery runs and makes the picture that stands beside it."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest

FOLDER = Path(__file__).parent.parent / "docs/gallery"
PROGRAMS = sorted(path.stem for path in FOLDER.glob("*.py"))
FASTER = {
    "cluster": {"frames": 5},
    "digits": {"epochs": 3},
    "noise": {"epochs": 2, "draws": 2},
    "product": {"sizes": (100, 200)},
}


@pytest.fixture
def run(tmp_path):
    def call(name, **options):
        spec = importlib.util.spec_from_file_location(f"gallery_{name}", FOLDER / f"{name}.py")
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module.main(tmp_path, **options)

    return call


@pytest.mark.parametrize("name", PROGRAMS)
def test_a_program_makes_its_picture(run, tmp_path, name):
    found = run(name, **FASTER.get(name, {}))
    picture = (tmp_path / f"{name}.png").read_bytes()
    assert picture.startswith(b"\x89PNG") and len(picture) > 5000
    assert (FOLDER / f"{name}.png").stat().st_size < 150_000
    if name == "cluster":
        assert (tmp_path / "cluster.gif").read_bytes().startswith(b"GIF89a")
        assert (FOLDER / "cluster.gif").stat().st_size < 400_000
    if name == "pulse":
        # Layer k is passed at 1 + k; recorded every 0.02, and the pulse's sides shift its largest value.
        np.testing.assert_allclose(found, 1.0 + np.arange(6), atol=0.05)
    if name == "echo":  # per delay the field grows by the gain; below 1 it settles, at 1 it grows by less and less
        np.testing.assert_allclose([found[0.8], found[1.25]], [1.0, 1.25], rtol=0.01)
        assert 1.0 < found[1.0] < 1.1
    if name == "events":
        assert len(found) > 3 and np.abs(found[:, 2, 0]).max() < 1e-9
    if name == "product":  # n terms in float32, added in another order
        assert found < 200 * np.finfo(np.float32).eps
    if name == "digits":
        assert found > 50


def test_every_program_stands_in_the_gallery():
    text = (FOLDER / "index.md").read_text(encoding="utf-8")
    assert len(PROGRAMS) >= 6 and all(f"({name}.py)" in text and f"({name}.png)" in text for name in PROGRAMS)
