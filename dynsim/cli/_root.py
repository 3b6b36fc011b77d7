"""The root command: which commands there are, exit codes, and how errors are printed.

A command is a file of this folder with a `command`; its docstring begins with "dynsim NAME: what it does.".
Commands are listed without being imported, so that `dynsim --help` loads click only.
"""

from __future__ import annotations

import ast
import os
import signal
import sys
import threading
import warnings
from difflib import get_close_matches
from importlib import import_module
from pathlib import Path
from traceback import walk_tb

import click

from dynsim._ranks import started_as, world

from ._standard_error import say, telling, to_nowhere

DIVIDED = ("simulate", "resume")  # commands whose work the ranks of mpiexec share
FOLDER = Path(__file__).parent


def command_names():
    """Names of all commands: the public modules of this folder."""
    return sorted(path.stem for path in FOLDER.glob("[!_]*.py"))


def command_summary(name):
    """What a command does, from the first line of its file.

    >>> command_summary("watch")
    'Follow a run or a training in progress.'
    """
    text = ast.get_docstring(ast.parse((FOLDER / f"{name}.py").read_text(encoding="utf-8"))) or ""
    line = text.partition("\n")[0]
    summary = line.partition(": ")[2] or line
    return summary[:1].upper() + summary[1:]


class RootGroup(click.Group):
    """A group that loads a command's module when it is called."""

    def list_commands(self, context):
        """Names of the commands."""
        return command_names()

    def get_command(self, context, name):
        """Import one command."""
        if name not in command_names():
            return None
        command = import_module(f"{__package__}.{name}").command
        command.name = name  # they are all called `command` where they are made
        return command

    def resolve_command(self, context, args):
        """Find the command; an error names the nearest one. Several ranks share the work of some only."""
        try:
            found = super().resolve_command(context, args)
        except click.UsageError as error:
            near = get_close_matches(args[0], command_names(), 1)
            if near and near[0] not in error.message:
                error.message += f" Did you mean {near[0]}?"
            raise
        if found[0] not in DIVIDED and world().size > 1:
            from dynsim._check import refusal

            do = f"start dynsim {found[0]} without it, since all would do the same"
            got = f"{world().size} processes of dynsim {found[0]}"
            raise refusal("mpiexec", got, " or ".join(f"dynsim {name}" for name in DIVIDED), do, error=click.UsageError)
        return found

    def invoke(self, context):
        """Run the command; an error that names an argument of Python names the option that was given for it."""
        try:
            return super().invoke(context)
        except (ValueError, TypeError) as error:
            name, colon, rest = str(error).partition(": ")
            command = self.get_command(context, context.invoked_subcommand)
            options = _given(command, context.obj or []) if command else {}
            if colon and name in options:
                error.args = (f"{options[name]}: {rest}",)
            raise

    def format_commands(self, context, formatter):
        """List the commands with what they do."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, command_summary(name)) for name in command_names()])


def _given(command, words):
    """What arguments may be called in Python, and the options among the words of a command by which they are given.

    >>> _given(click.Command("c", params=[click.Option(["--fit-steps", "steps"])]), ["c", "--fit-steps=0"])
    {'steps': '--fit-steps', 'fit_steps': '--fit-steps'}
    """
    found = {word.partition("=")[0] for word in words if word.startswith("-")}
    pairs = [(parameter.name, option) for parameter in command.params for option in parameter.opts if option in found]
    return {name: option for own, option in pairs for name in (own, option.lstrip("-").replace("-", "_"))}


@click.group(cls=RootGroup, context_settings={"help_option_names": ["-h", "--help"]})
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


def _open_standard_streams():
    """Open standard streams that are closed (2>&-): otherwise the next file opened would take the number of one of
    them, and messages would be written into that file.
    """
    while (number := os.open(os.devnull, os.O_RDWR)) <= 2:
        pass
    os.close(number)
    for name in ("stdin", "stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "r" if name == "stdin" else "w", encoding="utf-8"))


def _show_warning(message, category, *_):
    """Print a warning, unless it is one of those by which packages address programmers."""
    if not issubclass(category, (FutureWarning, DeprecationWarning, PendingDeprecationWarning)):
        say(f"Warning: {message}")


def _of_stdout(error):
    """The error itself, or one that names the standard output if it came where that is printed."""
    frame = [frame for frame, _ in walk_tb(error.__traceback__)][-1]
    if frame.f_code is not click.echo.__code__ or not isinstance(error, OSError):
        return error
    from dynsim._files import unwritable

    to_nowhere(sys.stdout)
    return unwritable("standard output cannot be written", error)


def _call(arguments):
    with world().together():
        return root.main(arguments, prog_name="dynsim", standalone_mode=False, obj=arguments) or 0


def main(arguments=None):
    """Run the command line; exit codes 0 done, 1 error, 2 usage, 3 diverged, 4 unreadable file, 130 interrupted."""
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    _open_standard_streams()
    if started_as()[0]:  # rank 0 speaks
        to_nowhere(sys.stdout)
        to_nowhere(sys.stderr)
    os.environ["MPLBACKEND"] = "agg"  # figures are files; a notebook's backend may not be installed here
    warnings.showwarning = _show_warning
    heard = signal.getsignal(signal.SIGTERM) != signal.SIG_IGN  # the parent may have asked to ignore it
    if threading.current_thread() is threading.main_thread() and heard:
        signal.signal(signal.SIGTERM, _terminate)  # ends as Ctrl-C does: files are closed, what was done is kept
    if "--debug" in arguments:
        sys.exit(_call(arguments))
    try:
        code = _call(arguments)
    except click.ClickException as error:
        with telling():
            error.show()
        code = error.exit_code
    except (click.Abort, KeyboardInterrupt):
        say("Interrupted.")
        code = 130
    except BrokenPipeError:  # the reader of our output has gone; nothing is left to be said
        to_nowhere(sys.stdout)
        code = 1
    except (ValueError, TypeError, OSError, ImportError) as error:
        from dynsim.errors import FileError

        error = _of_stdout(error)
        known = isinstance(error, OSError) and error.filename is not None and error.strerror
        say(f"Error: {error.filename}: {error.strerror}." if known else f"Error: {error}")
        code = 4 if isinstance(error, FileError) else 1
    except MemoryError as error:
        said = str(error).rstrip(".") or "it asks for more than this machine gives"
        say(f"Error: there is not enough memory ({said}); give smaller sizes.")
        code = 1
    except Exception as error:
        say(f"Internal error: {type(error).__name__}: {error}. Run again with --debug and report it.")
        code = 1
    sys.exit(code if isinstance(code, int) else 0)
