"""Velocity Verlet, order 2, for neurons with mass; friction is treated exactly."""

from ._scheme import Scheme
from ._splitting import kick_drift_relax

METHOD = Scheme(
    "verlet", 2, kick_drift_relax, massive=True,
    reference="Swope, Andersen, Berens & Wilson, J. Chem. Phys. 76 (1982) 637.",
)  # fmt: skip
