"""The engine: neurons as particles, equations (1) to (3), solved in time."""

from . import presets
from ._configuration import Configured, configure
from ._configuration_keys import CONFIGURATION_KEYS, configuration_schema
from ._echo_gain import echo_gain
from ._fixed_points import FixedPoint, fixed_points
from ._kinetic_energy import kinetic_energy, neuron_masses
from ._loss_event import loss_below
from ._lyapunov import Lyapunov, lyapunov
from ._observables import OBSERVABLES, expect_observables, observe
from ._operators import Operators
from ._recorder import EvenTimes, EveryStep, LastOnly, Times
from ._resumed_state import expect_state
from ._run_cost import estimate
from ._small_loop import compiled_at_once
from ._solution import Solution
from ._solve import expect_span, solve
from ._system import System
from ._teacher import LOSSES, Teacher
from ._velocity import velocity
from .integrators import METHODS, Method, Tableau

__all__ = [
    "CONFIGURATION_KEYS", "LOSSES", "METHODS", "OBSERVABLES", "Configured", "EvenTimes", "EveryStep", "FixedPoint",
    "LastOnly", "Lyapunov", "Method", "Operators", "Solution", "System", "Tableau", "Teacher", "Times",
    "compiled_at_once", "configuration_schema", "configure", "echo_gain", "estimate", "expect_observables",
    "expect_span", "expect_state", "fixed_points", "kinetic_energy", "loss_below", "lyapunov", "neuron_masses",
    "observe", "presets", "solve", "velocity",
]  # fmt: skip
