"""What is said on standard error: nothing stops because nobody can read it any more."""

from __future__ import annotations

import os
import sys
from contextlib import contextmanager, suppress

import click


def say(text):
    """Print a line on standard error."""
    with telling():
        click.echo(text, err=True)


@contextmanager
def telling():
    """A block that prints on standard error; if that is gone (a full disk, a pipe without reader), it goes nowhere."""
    try:
        yield
    except OSError:
        to_nowhere(sys.stderr)


def to_nowhere(stream):
    """Drop what is still to be printed there, and what will be."""
    with suppress(OSError):  # a stream without a number
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
