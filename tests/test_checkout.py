"""A test that writes into the checkout fails the run, whether one process runs the tests or several do."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.parametrize("processes", ["0", "2"])
def test_a_run_that_changes_the_checkout_fails(tmp_path, processes):
    shutil.copy(Path(__file__).parent.parent / "conftest.py", tmp_path)
    (tmp_path / "kept.txt").write_text("old")
    (tmp_path / "test_it.py").write_text(
        "def test_right(tmp_path):\n    (tmp_path / 'new.txt').write_text('new')\n"
        "def test_wrong():\n    open('kept.txt', 'w').write('changed')\n    open('new.txt', 'w').write('new')\n"
    )
    command = [sys.executable, "-m", "pytest", "-q", "-n", processes, "-p", "no:cacheprovider"]
    for chosen, code in (("right", 0), ("wrong", 1)):
        done = subprocess.run([*command, "-k", chosen], cwd=tmp_path, capture_output=True, text=True, check=False)
        assert done.returncode == code and "1 passed" in done.stdout, done.stdout
        assert ("kept.txt" in done.stdout and "new.txt" in done.stdout) == bool(code)
