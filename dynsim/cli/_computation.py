"""What commands that compute have in common: what is said of the compiler, how they are stopped, and how they go on."""

from __future__ import annotations

import shlex
import signal
import sys
import time
from contextlib import contextmanager

import click

from dynsim._files import to_json
from dynsim._ranks import world

from ._standard_error import say

SECONDS = 4.0  # between lines that say how far the compilation is


class ComputingCommand(click.Command):
    """A command that uses the kernels."""

    def invoke(self, context):
        """Run it, and say what the user should know of the compiler."""
        with compilation_messages():
            return super().invoke(context)


@contextmanager
def compilation_messages():
    """Lines on stderr at the first compilation and every few seconds of it (terminals only); one without a cache."""
    from dynsim import kernels

    if kernels.TEMPORARY_CACHE is not None:
        say(
            "No folder to keep compiled kernels in: every run compiles anew. Set NUMBA_CACHE_DIR to a folder that can "
            "be written."
        )
    if not sys.stderr.isatty():
        yield
        return
    from numba.core import event

    with event.install_listener("numba:compile", _compilation_listener(event)):
        yield


def _compilation_listener(event):
    class Compilations(event.Listener):
        """Prints a line at the first compilation, and how far they are every few seconds."""

        done = begun = said = 0

        def on_start(self, _):
            if not self.begun:
                self.begun = self.said = time.monotonic()
                say("Compiling kernels, once for this machine; the next run finds them ready ...")

        def on_end(self, _):
            self.done += 1
            now = time.monotonic()
            if now - self.said > SECONDS:
                self.said = now
                say(f"  {self.done} functions compiled in {now - self.begun:.0f} s ...")

    return Compilations()


def same_command(*more):
    """The command line of this call with further words, as a person would type it."""
    given = click.get_current_context().find_root().obj or []
    return shlex.join(["dynsim", *given, *(word for word in more if word not in given)])


def resume_command(file):
    """The command line that goes on with the simulation into `file`.

    >>> resume_command("-a b.h5")
    "dynsim resume -- '-a b.h5'"
    """
    return shlex.join(["dynsim", "resume", *(["--"] if str(file).startswith("-") else []), str(file)])


def can_resume():
    """Whether the command that runs has an option --resume."""
    return any(parameter.name == "resume" for parameter in click.get_current_context().command.params)


@contextmanager
def stopped_by_signals():
    """Yield a function that says whether Ctrl-C or SIGTERM asked to stop; a second signal ends the block at once.

    A signal that the parent process has set to be ignored, as nohup and shells do for background jobs, stays ignored.
    """
    received = []

    def handle(number, frame):
        if received:
            raise KeyboardInterrupt
        received.append(number)

    heard = [n for n in (signal.SIGINT, signal.SIGTERM) if signal.getsignal(n) != signal.SIG_IGN]
    old = {number: signal.signal(number, handle) for number in heard}
    try:
        yield lambda: bool(received)
    finally:
        for number, handler in old.items():
            signal.signal(number, handler)


@contextmanager
def resumable_simulation(file):
    """Yield a stop function for the simulation into `file`; if it was used, the command that goes on is printed."""
    try:
        with stopped_by_signals() as stop:
            yield stop
    except KeyboardInterrupt:
        say(f"Interrupted after a checkpoint. Go on with: {resume_command(file)}")
        raise SystemExit(130) from None


def report_simulation(file, solution, as_json, config):
    """Print what a simulation came to; exit code 3 if it diverged, 1 if it failed."""
    if world().first:
        click.echo(_report(file, solution, as_json))
    expect_success(solution.status, solution.message, config)


def _report(file, solution, as_json):
    from dynsim.trajectory import Trajectory

    with Trajectory(file) as trajectory:
        report = {
            "status": solution.status,
            "message": solution.message,
            "neurons": trajectory.neurons,
            "dimension": trajectory.dimension,
            "frames": trajectory.frames,
            "time": float(solution.t[-1]) if len(solution.t) else None,
            "steps": solution.naccepted,
            "echo_gain": solution.echo_gain,
            "seed": trajectory.seed,
            "seconds": round(solution.wall_time, 3),
            "output": str(file),
        }
    return to_json(report) if as_json else "\n".join(f"{key:10} {value}" for key, value in report.items())


def expect_success(status, message, config):
    """End the command where a run of a configuration did not end well: exit code 3 if it diverged, 1 if it failed."""
    if status >= 0:
        return
    if "strengths" in message and "echo_gain" in config:
        message += f" Here echo_gain = {config['echo_gain']:g} sets the strengths: lower that."
    say(f"Error: {message}")
    raise SystemExit(3 if status == -2 else 1)
