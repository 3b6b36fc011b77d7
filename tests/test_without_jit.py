"""The compiled code also runs as plain Python, which is how its coverage is measured."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).parent
CASES = [
    ("kernels/test_pairs.py", "force or relation or layout or meeting or nonsense"),
    ("kernels/test_expressions.py", "sums or forces or weights or configurations"),
    ("engine/test_closed_forms.py", "one_neuron or layers or frames_where or power_of_the_matrix"),
    ("engine/test_small.py", "every_kernel or ring or max_steps or elimination or activations"),
    ("engine/test_operators.py", ""),
]


@pytest.mark.slow
@pytest.mark.parametrize(("path", "chosen"), CASES, ids=lambda value: value.split("/")[-1])
def test_without_jit(path, chosen):
    options = ["-n", "0", "-v", "-x", "-p", "no:cacheprovider", "-k", chosen]
    command = [sys.executable, "-m", "pytest", FOLDER / path, *options]
    done = subprocess.run(command, env={**os.environ, "NUMBA_DISABLE_JIT": "1"}, capture_output=True, text=True,
                          cwd=FOLDER.parent, check=False)  # fmt: skip
    assert done.returncode == 0, done.stdout[-3000:]
    assert "passed" in done.stdout
