"""Experiments: many trainings described by one TOML file, however often they are stopped, and their table."""

from ._recipe import Recipe, find, load, names, read_toml
from ._report import report
from ._run import run
from ._task import Task

__all__ = ["Recipe", "Task", "find", "load", "names", "read_toml", "report", "run"]
