"""The classical Runge-Kutta method, order 4, with its continuous extension of order 3."""

from ._tableau import Tableau

METHOD = Tableau(
    "rk4",
    4,
    A=[[0, 0, 0, 0], [1 / 2, 0, 0, 0], [0, 1 / 2, 0, 0], [0, 0, 1, 0]],
    b=[1 / 6, 1 / 3, 1 / 3, 1 / 6],
    c=[0, 1 / 2, 1 / 2, 1],
    # Unlike Hermite's cubic it needs no velocity at the end, which jumps where a delay ends.
    P=[[1, -3 / 2, 2 / 3], [0, 1, -2 / 3], [0, 1, -2 / 3], [0, -1 / 2, 2 / 3]],
    nodes=4,
    reference="Kutta, Z. Math. Phys. 46 (1901) 435; interpolant: Zennaro, Math. Comp. 46 (1986) 119.",
)
