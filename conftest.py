"""What all tests share: no test changes the checkout, and a program that is stopped cannot end before its signal."""

import os
import signal
import subprocess
import sys
import tempfile
import time
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import pytest
from hypothesis import configuration, settings

ROOT = Path(__file__).parent
# Doctests of what needs another program are collected only where that is installed.
OPTIONAL = {
    "torch": [
        "dynsim/torch/*",
        "dynsim/experiments/cifar10/*",
        "dynsim/experiments/imagenet/*",
        "dynsim/experiments/agreement/*",
        "dynsim/experiments/_low_rank_networks.py",
    ],
    "sklearn": ["dynsim/sklearn.py"],
}
ABSENT = [name for name in OPTIONAL if find_spec(name) is None]
collect_ignore = ["tests/typing/consumer.py"]  # read by mypy only
collect_ignore_glob = [pattern for name in ABSENT for pattern in OPTIONAL[name]]

# No deadline, since a machine under load is slow; no database, since it would be written into the checkout. The same
# examples each time, so that a change is not blamed for a rare one; `--hypothesis-profile=search` draws new ones.
settings.register_profile("dynsim", deadline=None, database=None, derandomize=True)
settings.register_profile("search", deadline=None, database=None)
settings.load_profile("dynsim")
configuration.set_hypothesis_home_dir(Path(tempfile.gettempdir()) / "dynsim-hypothesis")

# Programs that tests start import what the tests import, not the folder that they are started in.
os.environ["PYTHONSAFEPATH"] = "1"

# Runs a command of dynsim that halts when it is about to give a file its name for the COUNT-th time, so that it can be
# stopped but cannot end. It goes on when its standard input is closed.
HALTING = """
import signal, sys
from dynsim.cli import main

name, count, *arguments = sys.argv[1:]
left = [int(count)]

def halt(event, values):
    if event == "os.rename" and str(values[1]).endswith(name):
        left[0] -= 1
        if left[0] == 0:
            sys.stdin.buffer.read()

signal.signal(signal.SIGINT, signal.default_int_handler)  # it is ignored where the tests run in the background
if name:
    sys.addaudithook(halt)
main(arguments)
"""
PATIENCE = 600.0  # seconds; only a program that hangs lets them pass
INTERVAL = 0.01  # seconds between two looks


class Program(subprocess.Popen):
    """A program that runs beside the test."""

    def wait_for(self, sign):
        """Wait until `sign()` is true; fail with what the program wrote if it ends before."""
        end = time.monotonic() + PATIENCE
        while not sign():
            if self.poll() is not None:
                pytest.fail(f"ended with {self.returncode} before the sign came:\n{self.communicate()}")
            assert time.monotonic() < end, "the sign did not come"
            time.sleep(INTERVAL)

    def stop(self, number=signal.SIGINT):
        """Send a signal and return what the program wrote, (standard output, standard error)."""
        self.send_signal(number)
        return self.communicate(timeout=PATIENCE)


@pytest.fixture
def start():
    """Start `dynsim ARGUMENTS`; `halt=(name, count)` halts it before the count-th time a file gets that name.

    `before` are the words that start it, as those of a launcher.
    """
    started = []

    def call(*arguments, halt=("", 0), command=None, before=(), **options):
        if command is None:
            command = [*before, sys.executable, "-c", HALTING, *map(str, halt), *map(str, arguments)]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        started.append(Program(command, **{**pipes, **options}))
        return started[-1]

    yield call
    for program in started:
        with program:  # closes the pipes
            program.kill()


def pytest_addoption(parser):
    """Declare --skipped."""
    parser.addoption("--skipped", action="store_true", help="run the tests that the last run without it skipped")


def pytest_collection_modifyitems(config, items):
    """With --skipped, keep what was skipped: tests, and files that skipped as a whole."""
    if config.getoption("--skipped"):
        skipped = set(config.cache.get("dynsim/skipped", []))
        kept = [item for item in items if item.nodeid in skipped or item.nodeid.partition("::")[0] in skipped]
        config.hook.pytest_deselected(items=[item for item in items if item not in kept])
        items[:] = kept


def pytest_report_header(config):
    """Say what is left out."""
    return [f"doctests of {', '.join(OPTIONAL[name])} left out: {name} is not installed" for name in ABSENT]


def _checkout():
    """Every file of the checkout with its size and time of change, without what tools keep for themselves."""
    found = {}
    for folder, inner, names in os.walk(ROOT):
        inner[:] = [n for n in inner if n[0] != "." and n != "__pycache__" and not n.endswith(".egg-info")]
        for name in names:
            if not name.startswith(".coverage"):
                path = Path(folder, name)
                status = path.lstat()
                found[str(path.relative_to(ROOT))] = (status.st_size, status.st_mtime_ns)
    return found


def pytest_sessionstart(session):
    """Remember the checkout, in the process that starts the others."""
    if not hasattr(session.config, "workerinput") and "DYNSIM_BASELINE" not in os.environ:
        session.config.stash[CHECKOUT] = _checkout()


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session):
    """Fail the run if a test changed the checkout."""
    before = session.config.stash.get(CHECKOUT, None)
    if before is None:
        return
    after = _checkout()
    changed = sorted(name for name in before.keys() | after.keys() if before.get(name) != after.get(name))
    if changed:
        session.config.stash[CHANGED] = changed
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter, config):
    """Keep what was skipped; name the files that the tests changed."""
    if not (config.getoption("--skipped") or hasattr(config, "workerinput")) and hasattr(config, "cache"):
        config.cache.set("dynsim/skipped", [report.nodeid for report in terminalreporter.getreports("skipped")])
    if changed := config.stash.get(CHANGED, []):
        terminalreporter.section("the checkout changed while the tests ran; a test writes into tmp_path only", red=True)
        terminalreporter.line("\n".join(changed))


CHECKOUT, CHANGED = pytest.StashKey(), pytest.StashKey()


@pytest.fixture(scope="session")
def torchvision():
    """torchvision, or None. Beside a PyTorch for the processor, operators of one that was built for CUDA do not load.

    Its import registers shapes for them and fails. No model here calls them, so that their names suffice.
    """
    if find_spec("torch") is None or find_spec("torchvision") is None:
        yield None
        return
    import torch

    library = torch.library.Library("torchvision", "FRAGMENT")
    try:
        import_module("torchvision")
    except RuntimeError:
        names = ["nms", "roi_align", "roi_pool", "ps_roi_align", "ps_roi_pool", "deform_conv2d", "qnms", "qroi_align"]
        for name in (*names, *(f"_{name}_backward" for name in names[1:6])):
            library.define(f"{name}(Tensor x) -> Tensor")
    yield import_module("torchvision")
    del library


@pytest.fixture(scope="session")
def timm(torchvision):
    """timm, which needs torchvision."""
    if torchvision is None:
        pytest.skip("needs timm and torchvision: pip install 'dynsim[imagenet]'")
    return pytest.importorskip("timm", reason="needs timm and torchvision: pip install 'dynsim[imagenet]'")
