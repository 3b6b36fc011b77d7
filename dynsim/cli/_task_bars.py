"""Progress of many tasks: a bar over all of them and one over the one that runs."""

from __future__ import annotations

import sys

from ._progress_bars import ProgressBar
from ._standard_error import say


class TaskBars:
    """A line for every task that begins, where there is no terminal; a bar over all, and one that `make(task)` makes.

    By default that counts the batches of a training.
    """

    def __init__(self, make=None):
        self.tasks, self.inner, self.make = ProgressBar("task", delay=0.0), None, make or _batches

    def __enter__(self):
        return self

    def progress(self, done, total, task=None):
        """A task begins, or (None) all are finished."""
        if task is not None and not sys.stderr.isatty():
            say(f"{done} of {total} finished; {task}")
        self.tasks(done, total)

    def one(self, task):
        """Return the progress of one task."""
        self._close()
        self.inner = self.make(task)
        return self.inner

    def _close(self):
        if self.inner is not None:
            self.inner.close()

    def __exit__(self, *_):
        self._close()
        self.tasks.close()


def _batches(task):
    return ProgressBar("batch", delay=0.0, description=task.name, leave=False)
