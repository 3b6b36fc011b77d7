"""Runge-Kutta methods, one file each; METHODS is the table of their names."""

from . import bs32, dopri5, euler, heun, rk4, tsit5
from ._tableau import Tableau

METHODS = {module.METHOD.name: module.METHOD for module in (euler, heun, rk4, bs32, dopri5, tsit5)}

__all__ = ["METHODS", "Tableau"]
