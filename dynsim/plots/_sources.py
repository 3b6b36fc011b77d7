"""What a figure is drawn from: a trajectory, a model, lines or an exponent; given as a path or as the object itself."""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path

from dynsim._check import refusal
from dynsim._files import from_json
from dynsim.engine import Lyapunov, configure
from dynsim.errors import DataError
from dynsim.models import Model, load_model
from dynsim.trajectory import SolutionTrajectory, Trajectory, file_kind, stored_system

LARGEST = 256 * 2**20  # bytes of a file of lines


class Lines:
    """Dictionaries of numbers, one a line: metrics.jsonl of a training, or what `dynsim evaluate --json` printed."""

    def __init__(self, entries, path=Path("lines")):
        self.entries, self.path = list(entries), path

    def numbers(self, name):
        """Numbers (x, value) of the entries that have both; x is the epoch."""
        pairs = [(entry["epoch"], entry[name]) for entry in self.entries if _both(entry, "epoch", name)]
        return [x for x, _ in pairs], [y for _, y in pairs]


def _both(entry, *names):
    return all(isinstance(entry.get(name), int | float) for name in names)


@contextmanager
def opened(source, kind=None, why=""):
    """`source` as a Trajectory (of a file or of a Solution), Model, Lines or Lyapunov; a file is closed at the end.

    Raises DataError if it is another `kind` than the expected one, saying `why`; else as the readers do.
    """
    found, close = _open(source)
    try:
        if kind is Trajectory and not is_trajectory(found):
            what = "lines of numbers" if isinstance(found, Lines) else f"a {source_name(found)}"
            raise refusal(getattr(found, "path", "source"), what, f"a trajectory: {why}", error=DataError)
        yield found
    finally:
        if close:
            found.close()


def is_trajectory(found):
    """Whether an opened source holds frames of places."""
    return isinstance(found, Trajectory | SolutionTrajectory)


def system_of(trajectory):
    """The system that made a trajectory, as its solution or its file knows it; None where neither does."""
    system = getattr(trajectory, "system", None)
    config = trajectory.parameters.get("config")
    if system is None and trajectory.signals is not None:
        made = isinstance(config, dict)
        system = configure(config, like=trajectory).system if made else stored_system(trajectory)
        trajectory.system = system  # made once
    return system


def source_name(found):
    """The word for an opened source in the table of kinds."""
    if is_trajectory(found):
        return "trajectory"
    return "model" if isinstance(found, Model) else "lines" if isinstance(found, Lines) else "Lyapunov exponent"


def _open(source):
    """The opened source, and whether it was opened here."""
    if isinstance(source, Trajectory | SolutionTrajectory | Model | Lines | Lyapunov):
        return source, False
    if hasattr(source, "metrics") and hasattr(source, "test_accuracy"):  # a TrainingResult
        return Lines(source.metrics), False
    if hasattr(source, "nfev"):  # a Solution; one that streamed into a file is read from there
        if source.path is None:
            return SolutionTrajectory(source), False
        found = Trajectory(source.path)
        found.system = source.system
        return found, True
    path = Path(source)
    if path.suffix.lower() in (".jsonl", ".json"):
        return Lines(_lines(path), path), False
    return (Trajectory(path), True) if file_kind(path) == "trajectory" else (load_model(path), False)


def _whole(digits):
    """A whole number; one that no array holds is infinite."""
    return int(digits) if len(digits) < 19 else float(digits)


def _lines(path):
    if not path.is_file():
        raise FileNotFoundError(f"{path} does not exist; give metrics.jsonl of a training, or lines of evaluate --json")
    if path.stat().st_size > LARGEST:
        raise refusal(path, f"{path.stat().st_size:,} bytes", f"at most {LARGEST:,}", error=DataError)
    entries = []
    for number, line in enumerate(path.read_text(encoding="utf-8", errors="replace").splitlines(), 1):
        try:
            entry = from_json(line, path, parse_int=_whole) if line.strip() else {}
        except ValueError:
            raise refusal(path, f"line {number}, which is no JSON", "one object a line", error=DataError) from None
        if not isinstance(entry, dict):
            raise refusal(path, f"line {number}, which is no JSON object", "one a line", error=DataError)
        entries += [entry] if entry else []
    return entries
