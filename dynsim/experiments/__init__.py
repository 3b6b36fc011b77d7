"""Experiments: many trainings described by one TOML file, however often they are stopped, and their table."""

from ._task_runner import run
from ._training_recipe import Recipe, find, load, names, read_toml
from ._training_table import report
from ._training_task import Task

__all__ = ["Recipe", "Task", "find", "load", "names", "read_toml", "report", "run"]
