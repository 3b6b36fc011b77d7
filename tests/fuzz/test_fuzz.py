"""Readers answer or refuse in a sentence, whatever a file holds: some changed files, and those that once went wrong."""

import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
# (kind, seed, number) of cases that once were internal errors, hangs or too large.
KEPT = []


@pytest.fixture(scope="module")
def driver():
    sys.path.insert(0, str(HERE))
    try:
        import fuzz_files
        import kinds
    finally:
        sys.path.remove(str(HERE))
    return fuzz_files, kinds


def test_changed_files_are_read_or_refused(driver, tmp_path):
    fuzz_files, kinds = driver
    names = [kind.name for kind in kinds.KINDS if kind.available() and kind.needs != "torch"]
    found = fuzz_files.run(names, 200, seed=15, folder=tmp_path)
    assert not found, "\n".join(" | ".join(map(str, one)) for one in found)


def test_changed_programs_are_read_or_refused(driver, tmp_path):
    pytest.importorskip("torch", reason="needs PyTorch: pip install 'dynsim[torch]'")
    fuzz_files, _ = driver
    found = fuzz_files.run(["program", "converted"], 60, seed=15, folder=tmp_path)
    assert not found, "\n".join(" | ".join(map(str, one)) for one in found)


def test_cases_that_went_wrong_do_so_no_more(driver, tmp_path):
    fuzz_files, kinds = driver
    available = {kind.name for kind in kinds.KINDS if kind.available()}
    found = []
    for name, seed, number in KEPT:
        if name in available:
            found += fuzz_files.run([name], 1, seed, first=number, folder=tmp_path)
    assert not found, "\n".join(" | ".join(map(str, one)) for one in found)
