"""A simulation for every value of one or several keys of a configuration, and their table."""

from ._sweep_recipe import Sweep
from ._varied_values import as_values

__all__ = ["Sweep", "as_values"]
