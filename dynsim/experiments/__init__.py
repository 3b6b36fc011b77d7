"""Experiments: many trainings described by one TOML file, however often they are stopped, and their table."""

from ._configuration_text import configuration_text
from ._settings import SettingError, apply_settings, parse_value, set_value
from ._task_runner import run
from ._training_recipe import Recipe, find, load, names, read_toml
from ._training_table import report
from ._training_task import Task
from ._usual_training import usual_options, usual_training
from .sweep import Sweep, as_values

__all__ = [
    "Recipe", "SettingError", "Sweep", "Task", "apply_settings", "as_values", "configuration_text", "find", "load",
    "names", "parse_value", "read_toml", "report", "run", "set_value", "usual_options", "usual_training",
]  # fmt: skip
