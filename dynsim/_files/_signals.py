"""Signals that come while HDF5 works: to its own file functions that are Python, an exception is a failed disk."""

from __future__ import annotations

import signal
import threading
from contextlib import contextmanager


def _handlers():
    """The handlers that are Python, by their signals; none outside of the main thread, where no handler runs."""
    if threading.current_thread() is not threading.main_thread():
        return {}
    handlers = {number: signal.getsignal(number) for number in signal.valid_signals()}
    return {number: handler for number, handler in handlers.items() if callable(handler)}


@contextmanager
def uninterrupted():
    """Call handlers of signals, as that of Ctrl-C, when the block is done.

    A handler that raises would do so in the middle of HDF5, which then takes the disk for broken or goes on as if
    nothing had been.

    Examples
    --------
    >>> import os
    >>> before = signal.signal(signal.SIGINT, signal.default_int_handler)
    >>> try:
    ...     with uninterrupted():
    ...         os.kill(os.getpid(), signal.SIGINT)
    ...         print("done")
    ... except KeyboardInterrupt:
    ...     print("interrupted")
    done
    interrupted
    >>> signal.signal(signal.SIGINT, before) is signal.default_int_handler
    True
    """
    handlers, came = _handlers(), []
    for number in handlers:
        signal.signal(number, lambda *call: came.append(call))
    try:
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
        for number, frame in came:
            handlers[number](number, frame)


@contextmanager
def terminable():
    """Let SIGTERM end the program at once meanwhile: HDF5 can loop in damaged bytes, where no Python handler runs."""
    handler = _handlers().get(signal.SIGTERM)
    if handler is None:
        yield
        return
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, handler)
