"""A disk that refuses, and memory that ends, at every call in turn: the old file or the new one is there, whole.

`python -m pytest tests/faults -m ""` runs every writer under every fault, some minutes.
"""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
SOON = ["text.txt", "model.h5", "run.checkpoint"]
SLOW = ["lines.json", "run.h5", "run.xyz", "figure.png", "figure.svg", "page.html", "film.gif"]
OPTIONAL = {"packed.safetensors": "safetensors", "ordinary.safetensors": "safetensors", "model.onnx": "onnx"}
CASES = [("broken", name) for name in SOON] + [("full", "run.checkpoint"), ("short", "model.h5")]
ALL = [
    pytest.param(kind, name, marks=pytest.mark.slow)
    for kind in ("full", "full-once", "broken", "dead", "short", "memory")
    for name in (*SOON, *SLOW, *OPTIONAL)
    if (kind, name) not in CASES
]


@pytest.fixture(scope="module")
def library(tmp_path_factory):
    compiler = next((found for name in ("cc", "gcc", "clang") if (found := shutil.which(name))), None)
    if compiler is None or not sys.platform.startswith("linux"):
        pytest.skip("needs Linux and a C compiler")
    path = tmp_path_factory.mktemp("faults") / "faults.so"
    command = [compiler, "-shared", "-fPIC", "-O1", "-o", path, HERE / "faults.c", "-ldl"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"the compiler refuses ({done.stderr.strip()[:200]})")
    return path


@pytest.mark.parametrize(("kind", "name"), [*CASES, *ALL])
def test_the_old_file_or_the_new_one_is_there(library, tmp_path, kind, name):
    if name in OPTIONAL:
        pytest.importorskip(OPTIONAL[name], reason=f"needs {OPTIONAL[name]}")
    # Without compiled loops no threads are started, so the program can be copied for every failure.
    environment = {**os.environ, "LD_PRELOAD": str(library), "NUMBA_DISABLE_JIT": "1", "OPENBLAS_NUM_THREADS": "1"}
    command = [sys.executable, HERE / "injection.py", tmp_path, kind, name]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["found"] == [] and found["lost"] == 0
    assert found["calls"] > 0 or kind == "memory"
