"""The command line that was given, for messages that tell how to go on."""

from __future__ import annotations

import shlex

import click


def same_command(*more):
    """The command line of this call with further words, as a person would type it."""
    given = click.get_current_context().find_root().obj or []
    return shlex.join(["dynsim", *given, *(word for word in more if word not in given)])


def can_resume():
    """Whether the command that runs has an option --resume."""
    return any(parameter.name == "resume" for parameter in click.get_current_context().command.params)
