"""The roof's ridge: which commands there are, and how an error leaves the house.

Modules are named, not imported, so that `dynsim --help` loads click only.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from importlib import import_module

import click

COMMANDS = {
    "demo": "A tour in under a minute: simulate, train, look.",
    "simulate": "Run a configuration or a preset into a trajectory file.",
    "resume": "Go on with a run that was stopped.",
    "train": "Train a network of particles (or the ordinary one) on a data set.",
    "evaluate": "Accuracy of a saved model, ideal or perturbed.",
    "info": "What a trajectory or model file is.",
    "validate": "Whether a file is sound.",
    "verify": "Whether a model says the same after it was saved and reloaded.",
    "plot": "Draw a trajectory.",
    "export": "Files for other programs.",
    "convert": "Turn a trained network of PyTorch into particles.",
    "data": "List and download data sets.",
    "bench": "This program beside its peers, timed in one run.",
    "experiment": "Tables of many trainings, as published.",
}


class Root(click.Group):
    """A group that loads a command's module when it is called."""

    def list_commands(self, context):
        """Names in the order of the table."""
        return list(COMMANDS)

    def get_command(self, context, name):
        """Import one command."""
        return import_module(f"dynsim.cli.{name}").command if name in COMMANDS else None

    def format_commands(self, context, formatter):
        """List the commands from the table, importing none."""
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


@click.group(cls=Root, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="dynsim")
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
def root(debug):
    """dynsim: networks without weights, whose neurons are particles.

    \b
    dynsim demo
    dynsim simulate --preset pulse -o pulse.h5
    dynsim train lenet5 --data mnist --epochs 3 -o out
    dynsim evaluate out/model.h5 --data mnist
    dynsim plot out/training.h5 --kind trajectories -o paths.png
    """


def _terminate(number, frame):
    raise KeyboardInterrupt


def main(arguments=None):
    """Run the command line; exit codes 0 done, 1 error, 2 usage, 3 diverged, 4 unreadable file, 130 interrupted."""
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, _terminate)  # ends as Ctrl-C does: files are closed, what was done is kept
    if "--debug" in arguments:
        sys.exit(root.main(arguments, prog_name="dynsim", standalone_mode=False) or 0)
    try:
        code = root.main(arguments, prog_name="dynsim", standalone_mode=False) or 0
    except click.ClickException as error:
        error.show()
        code = error.exit_code
    except (click.Abort, KeyboardInterrupt):
        click.echo("Interrupted.", err=True)
        code = 130
    except BrokenPipeError:  # the reader of our output has gone; nothing is left to be said
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 1
    except (ValueError, TypeError, OSError, ImportError) as error:
        from dynsim.errors import FileError

        known = isinstance(error, OSError) and error.filename is not None and error.strerror
        click.echo(f"Error: {error.filename}: {error.strerror}." if known else f"Error: {error}", err=True)
        code = 4 if isinstance(error, FileError) else 1
    except Exception as error:
        click.echo(
            f"Internal error: {type(error).__name__}: {error}. Run again with --debug and report it.",
            err=True,
        )
        code = 1
    sys.exit(code if isinstance(code, int) else 0)
