"""The engine: neurons as particles, equations (1) to (3), solved in time."""

from . import presets
from ._config import Configured, configure
from ._echo import echo_gain
from ._estimate import estimate
from ._operators import Operators
from ._record import EveryStep, LastOnly, Times
from ._solution import Solution
from ._solve import solve
from ._system import System
from .integrators import METHODS, Tableau

__all__ = [
    "METHODS",
    "Configured",
    "EveryStep",
    "LastOnly",
    "Operators",
    "Solution",
    "System",
    "Tableau",
    "Times",
    "configure",
    "echo_gain",
    "estimate",
    "presets",
    "solve",
]
