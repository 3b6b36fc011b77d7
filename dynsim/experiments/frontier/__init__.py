"""Accuracy of families of networks with equally many numbers, each with as many trials of its settings."""

from ._frontier_recipe import FrontierRecipe, load
from ._widest_networks import widest

__all__ = ["FrontierRecipe", "load", "widest"]
