"""Readers answer or refuse in a sentence, whatever a file holds: some changed files, and those that once went wrong."""

import importlib.util
import shutil
from pathlib import Path

import fuzz_files
import kinds
import pytest

HERE = Path(__file__).parent
# (kind, seed, number) of cases that once were internal errors, hangs or too large.
KEPT = [
    ("trajectory", 0, 0), ("trajectory", 1, 156), ("metrics", 2, 283), ("converted", 1, 77), ("converted", 2, 116),
    ("model", 15, 132), ("trajectory", 15, 169), ("converted", 15, 194), ("program", 0, 180),
    ("converted", 0, 1039), ("converted", 0, 1520), ("converted", 0, 1819), ("program", 0, 882),
    ("trajectory", 0, 8580), ("model", 0, 4487), ("model", 0, 9869),
    ("metrics", 0, 2818), ("metrics", 0, 6575), ("metrics", 0, 8122), ("recipe", 0, 4596), ("recipe", 0, 5688),
    ("program", 0, 6849), ("program", 0, 9800), ("checkpoint", 0, 11779),
]  # fmt: skip


def test_changed_files_are_read_or_refused(tmp_path):
    names = [kind.name for kind in kinds.KINDS if kind.available()]
    cases = [case for case in KEPT if case[0] in names]
    cases += [(names[number % len(names)], 15, number) for number in range(220)]
    found = fuzz_files.run(cases, tmp_path)
    assert not found, "\n".join(" | ".join(map(str, one)) for one in found)


FAULTY = """
from types import SimpleNamespace

times = []

def read(path):
    times.append(path)
    if len(times) > 1:
        FAULT

reader = {"read": read}
KINDS = [SimpleNamespace(name="faulty", readers=reader, rare={}, change=lambda rng, data, folder: (data, "nothing"))]

def make(kind, folder):
    return "faulty.txt", b"text"
"""


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ("raise KeyError('start')", "KeyError"),
        ("import numpy; numpy.zeros(3).reshape(2)", "reshape"),
        ("while True: pass", "no answer within"),
        ("import numpy; numpy.ones(160_000_000)", "GiB of memory"),
        ("import os; os._exit(7)", "the process ended: 7"),
        ("from pathlib import Path; Path('marker-of-code-that-ran').touch()", "code in the file ran"),
    ],
)
def test_the_driver_sees_what_is_wrong(tmp_path, fault, words):
    """A copy of it, with a kind of files whose only reader has a fault, except for the valid file."""
    for name in ("fuzz_files.py", "mutations.py"):
        shutil.copy(HERE / name, tmp_path)
    (tmp_path / "kinds.py").write_text(FAULTY.replace("FAULT", fault))
    specification = importlib.util.spec_from_file_location("fuzz_copy", tmp_path / "fuzz_files.py")
    copy = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(copy)
    copy.SECONDS = 1.0 if "while" in fault else 60.0
    folder = tmp_path / "files"
    folder.mkdir()
    found = copy.run([("faulty", 0, 0)], folder)
    assert len(found) == 1 and words in found[0][-1]
