"""Heun's method (explicit trapezoidal rule), order 2."""

from ._tableau import Tableau

METHOD = Tableau(
    "heun",
    2,
    A=[[0, 0], [1, 0]],
    b=[1 / 2, 1 / 2],
    c=[0, 1],
    P=[[1, -1 / 2], [0, 1 / 2]],
    nodes=2,
    reference="Heun, Z. Math. Phys. 45 (1900) 23.",
)
