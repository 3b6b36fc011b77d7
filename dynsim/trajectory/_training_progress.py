"""The progress of a training as lines of JSON in its folder, in a file that is locked while the training lasts."""

from __future__ import annotations

import os
import time as clock
import warnings
from contextlib import suppress
from pathlib import Path

from dynsim._files import expect_output, from_json, to_json
from dynsim.errors import FileError

from ._run_progress import progress_of, this_process

SECONDS = 1.0  # between two lines of one epoch
LOOKS = 3  # at the lock: who watches takes it, too, for a moment


class TrainingProgress:
    """Holds the folder of a training for one process, and appends to its progress file.

    The first line says how many epochs there are to be, and which process trains; then come lines with `done` of
    `total` batches and their loss, at most one a second, and one for every epoch; `end` writes the last. Another
    process that wants to train into the folder meanwhile gets an OSError, and nothing is touched: the file is made
    empty by `begin`, when nothing is refused any more.

    >>> import tempfile
    >>> with TrainingProgress(tempfile.mkdtemp()) as progress:
    ...     progress.begin(epochs=3)
    ...     progress.batch(1, 30, loss=2.3)
    ...     progress.end(0, "done")
    """

    def __init__(self, folder: str | os.PathLike):
        self.folder, self.path = Path(folder), progress_of(folder)
        self.made, self.begun, self.said, self.lost, self.last = not self.path.exists(), False, False, False, 0.0
        # Without a buffer: a line that the disk refused must not come back when the file is closed.
        self.file = open(expect_output(self.path), "ab", buffering=0)
        try:
            self._lock()
        except BaseException:
            self.file.close()
            raise

    def _lock(self):
        with suppress(ImportError):  # a system without such locks
            import fcntl

            for left in reversed(range(LOOKS)):
                try:
                    fcntl.flock(self.file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    if not left:
                        raise self._in_use() from None
                    clock.sleep(0.01)
                except OSError:  # a file system without locks
                    return
            # The holder before may have removed the file between opening and locking.
            if not (self.path.exists() and os.path.samestat(os.fstat(self.file.fileno()), os.stat(self.path))):
                raise self._in_use()

    def _in_use(self):
        found = [entry["process"] for entry in _entries(self.path) if "process" in entry]
        who = f"process {found[-1]}" if found else "another process"
        where = f"{self.folder} is in use"
        return OSError(f"{where}: {who} trains into it; wait for its end, or choose another folder.")

    def begin(self, **facts):
        """Write the first line, in place of an earlier training's."""
        self.began, self.begun = clock.monotonic(), True
        self._append({**facts, **this_process()}, anew=True)

    def batch(self, done: int, total: int, **facts):
        """Say how far it is, if the last line is old enough."""
        now = clock.monotonic()
        if now - self.last >= SECONDS:
            self.last = now
            self._append({"done": done, "total": total, **facts, "seconds": round(now - self.began, 3)})

    def epoch(self, entry: dict):
        """Write an entry of a training's metrics."""
        self._append({**entry, "seconds": round(clock.monotonic() - self.began, 3)})

    def end(self, status: int | None, message: str):
        """Write the last line: what came of it, None for an interruption or an error."""
        if self.begun and not self.said:
            self.said = True
            self._append({"status": status, "message": message})

    def _append(self, entry, anew=False):
        if self.lost:
            return
        line = (to_json(entry) + "\n").encode()
        try:
            if anew:
                self.file.truncate(0)
            while line:
                line = line[self.file.write(line) :]
        except OSError as error:
            self.lost = True
            warnings.warn(f"{self.path} cannot be written ({error}); the training goes on unwatched", stacklevel=2)

    def __enter__(self):
        return self

    def __exit__(self, kind, error, trace):
        try:
            if error is not None:
                self.end(None, "Interrupted." if issubclass(kind, KeyboardInterrupt | SystemExit) else str(error))
        finally:
            with suppress(OSError):  # the training is what it is, whatever becomes of this file
                if self.made and not self.begun:  # as if it had never been
                    self.path.unlink(missing_ok=True)
            with suppress(OSError):
                self.file.close()


def _entries(path):
    """The lines of a progress file that are whole."""
    lines = path.read_bytes().splitlines() if path.is_file() else []
    for line in lines:
        with suppress(FileError):
            entry = from_json(line, path)
            if isinstance(entry, dict):
                yield entry
