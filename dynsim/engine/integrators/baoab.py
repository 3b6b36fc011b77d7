"""BAOAB, Langevin dynamics of neurons with mass, of weak order 2 and at temperature 0 the steps of velocity Verlet."""

from ._scheme import Scheme
from ._splitting import kick_drift_relax

METHOD = Scheme(
    "baoab", 1, kick_drift_relax, noisy=True, massive=True,
    reference="Leimkuhler & Matthews, Appl. Math. Res. Express 2013 (2013) 34.",
)  # fmt: skip
