"""A command that computes says when it compiles, and when what it compiles cannot be kept."""

from __future__ import annotations

import sys
from contextlib import contextmanager

import click


class Computing(click.Command):
    """A command that uses the kernels."""

    def invoke(self, context):
        """Run it, and say what the user should know of the compiler."""
        with compiler_speaks():
            return super().invoke(context)


@contextmanager
def compiler_speaks():
    """One line on stderr at the first compilation (terminals only), one if there is no folder to keep kernels in."""
    from dynsim import kernels

    if kernels.TEMPORARY_CACHE is not None:
        click.echo(
            "No folder to keep compiled kernels in: every run compiles anew. Set NUMBA_CACHE_DIR to a folder that can "
            "be written.",
            err=True,
        )
    if not sys.stderr.isatty():
        yield
        return
    from numba.core import event

    with event.install_listener("numba:compile", _listener(event)):
        yield


def _listener(event):
    told = []

    class Once(event.Listener):
        """Speaks at the first compilation."""

        def on_start(self, _):
            if not told:
                told.append(True)
                click.echo("Compiling kernels, once for this machine; the next run finds them ready ...", err=True)

        def on_end(self, _):
            """Nothing more to say."""

    return Once()
