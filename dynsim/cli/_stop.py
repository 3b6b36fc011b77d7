"""Ctrl-C and SIGTERM end a run after the step it is in; a second one ends it at once."""

from __future__ import annotations

import signal
from contextlib import contextmanager


@contextmanager
def stop_on_signals():
    """Yield a function that says whether the user asked to stop."""
    asked = []

    def handle(number, frame):
        if asked:
            raise KeyboardInterrupt
        asked.append(number)

    old = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield lambda: bool(asked)
    finally:
        for number, handler in old.items():
            signal.signal(number, handler)
