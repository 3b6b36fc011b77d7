"""The progress of a run as a small file of lines of JSON beside it, appended while the run goes on.

HDF5 files that are being written cannot be read at the same time; this one can. It is no part of the trajectory:
without it the run and its file are the same, bit for bit.
"""

from __future__ import annotations

import math
import os
import socket
import time as clock
import warnings
from contextlib import suppress
from pathlib import Path

import numpy as np

from dynsim._files import from_json, process_exists, to_json
from dynsim._ranks import world
from dynsim.errors import DataError, FileError

LARGEST = 64 * 2**20  # bytes of a file that is read
_SHARE = 1000  # a line at most every thousandth of the time passed: a long run's file stays small
_WITHOUT_GAIN, _WITH_GAIN = 1, 2  # kinds of lines
_GAIN_SHARE = 50  # an echo gain at most every fifty times what the last one took


def progress_of(path: str | os.PathLike) -> Path:
    """Return where the progress of a run is written; of a training, in its folder.

    >>> progress_of("run.h5").name
    'run.h5.progress'
    """
    path = Path(path)
    return path / "training.progress" if path.is_dir() else Path(f"{path}.progress")


def this_process() -> dict:
    """Return what the first line says of the process that writes."""
    return {"process": os.getpid(), "host": socket.gethostname(), "process_start": process_start(os.getpid())}


def process_start(process: int) -> int | None:
    """Return when a process of this machine began, in ticks since the machine did; None where that is not told."""
    try:
        text = Path(f"/proc/{process}/stat").read_bytes()
        return int(text.rpartition(b")")[2].split()[19])  # the name before may have blanks and brackets
    except (OSError, ValueError, IndexError):
        return None


class ProgressWriter:
    """Appends a line at most every `seconds`, and one when the run ends.

    The first line says what runs (span, neurons, process); the others the time t, `received`, `emitted` and `speed`,
    the root mean squares over neurons of |R|, |E| and |q'|, `echo_gain`, `frames` and the seconds passed. If the file
    cannot be written, a warning says so and the run goes on without it. Of several ranks each has a writer, since all
    compute the echo gain; that of rank 0 looks at the clock and writes.
    """

    def __init__(self, path, system, span, seconds, again=False):
        self.ranks = world()
        self.path, self.system, self.seconds = progress_of(path) if self.ranks.first else None, system, seconds
        self.began = self.last = clock.monotonic()
        self.gain_value, self.gain_due = None, 0.0
        if self.path is not None and not again:
            self.path.unlink(missing_ok=True)
        self._append({"start": float(span[0]), "until": float(span[1]), "neurons": system.neurons, **this_process()})

    def step(self, t, state, frames):
        """After every step; `state()` gives q, velocity, R and E and is called only when a line is due."""
        due = self.ranks.asked(self._due)
        if due:
            self._line(t, state(), frames, due == _WITH_GAIN)

    def _due(self):
        """0, or what kind of line is due."""
        now = clock.monotonic()
        if now - self.last < max(self.seconds, (now - self.began) / _SHARE):
            return 0
        self.last = now
        return _WITH_GAIN if now >= self.gain_due else _WITHOUT_GAIN

    def _line(self, t, state, frames, gain):
        # Velocities of neurons with mass follow the places in a state, error signals of a teacher the signals.
        copies, neurons = self.system.copies, self.system.neurons
        if gain:
            from dynsim.engine import echo_gain

            before, q = clock.monotonic(), state["q"][:copies].reshape(self.system.q.shape)
            self.gain_value = echo_gain(self.system, q, R=state["R"], together=True)
            self.gain_due = clock.monotonic() + _GAIN_SHARE * (clock.monotonic() - before)
        line = {"t": float(t), "frames": frames, "seconds": round(clock.monotonic() - self.began, 3)}
        sizes = {"received": state["R"], "emitted": state["E"][:neurons], "speed": state["velocity"][:copies]}
        line |= {name: _size(values) for name, values in sizes.items()}
        self._append({**line, "echo_gain": self.gain_value})

    def end(self, solution, frames):
        """The last line: what came of it."""
        if solution.state:
            self.gain_value = solution.echo_gain
            self._line(solution.state["t"], solution.state, frames, gain=False)
        self._append({"status": int(solution.status), "message": str(solution.message), "frames": frames})

    def stopped(self, reason):
        """The last line of a run that an exception ended."""
        self._append({"status": None, "message": reason})

    def _append(self, entry):
        if self.path is None:
            return
        try:
            with open(self.path, "a", encoding="utf-8") as file:
                file.write(to_json(entry) + "\n")
        except OSError as error:
            warnings.warn(f"{self.path} cannot be written ({error}); the run goes on unwatched", stacklevel=2)
            self.path = None


def _size(values):
    """Root mean square over neurons of the lengths of vectors (..., k)."""
    values = np.asarray(values, dtype=float)
    with np.errstate(over="ignore"):  # of a run that diverges: infinity is what it is
        total = float(np.sum(values**2))
    return math.sqrt(total / max(1, values.size // values.shape[-1]))


class Progress:
    """Reads the progress of the run into `path`, again and again.

    Raises FileNotFoundError if there is none, DataError if the file is another one.
    """

    def __init__(self, path: str | os.PathLike):
        self.path, self.offset, self.begun, self.ended = progress_of(path), 0, None, None
        if not self.path.is_file():
            what = "is no run that can be watched" if Path(path).exists() else "does not exist"
            writers = "dynsim simulate, resume and train"
            raise FileNotFoundError(f"{path} {what}: there is no {self.path}, which {writers} write.")

    def new(self) -> list[dict]:
        """Return new entries, those of the newest of several runs into one file; sets `begun` and `ended`."""
        size = self.path.stat().st_size if self.path.is_file() else 0
        if size < self.offset:  # the run was begun anew
            self.offset, self.begun, self.ended = 0, None, None
        if size - self.offset > LARGEST:
            raise DataError(f"{self.path} has {size:,} bytes, more than {LARGEST:,}; it is no progress of a run.")
        if not size:
            return []
        with open(self.path, "rb") as file:
            file.seek(self.offset)
            whole, newline, _ = file.read(LARGEST).rpartition(b"\n")  # a line that is being written has no end yet
        self.offset += len(whole) + len(newline)
        entries = []
        for line in whole.splitlines():
            try:
                entry = from_json(line, self.path)
            except FileError:
                entry = None
            if not isinstance(entry, dict):
                raise DataError(f"{self.path} holds a line that is no JSON object; it is no progress of a run.")
            if "process" in entry:
                self.begun, self.ended, entries = entry, None, []
            elif "status" in entry:
                self.ended = entry
            else:
                entries.append(entry)
        return entries

    def alive(self) -> bool:
        """Return whether the run's process exists, as far as can be known: on another machine it is assumed."""
        return self._goes_on() or self._held()

    def waiting(self) -> bool:
        """Return whether a training holds the folder and has not begun: what the file says is an earlier one's."""
        return not self._goes_on() and self._held()

    def _held(self):
        """Whether the file is locked, as that of a training is from before its first line to its end."""
        with suppress(ImportError, OSError):  # a system or a file system without locks, or no file any more
            import fcntl

            with open(self.path, "rb") as file:
                try:
                    fcntl.flock(file.fileno(), fcntl.LOCK_SH | fcntl.LOCK_NB)
                except BlockingIOError:
                    return True
        return False

    def _goes_on(self):
        if self.begun is None or self.ended is not None:
            return False
        if self.begun.get("host") != socket.gethostname():
            return True
        process, start = int(self.begun["process"]), self.begun.get("process_start")
        # A number is given again to another process, which began at another time.
        return process_exists(process) and start in (None, process_start(process))
