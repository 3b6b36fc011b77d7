"""Bogacki and Shampine's pair of order 3 with an embedded order 2, interpolated by Hermite's cubic."""

from ._tableau import Tableau

METHOD = Tableau(
    "bs32",
    3,
    A=[[0, 0, 0, 0], [1 / 2, 0, 0, 0], [0, 3 / 4, 0, 0], [2 / 9, 1 / 3, 4 / 9, 0]],
    b=[2 / 9, 1 / 3, 4 / 9, 0],
    c=[0, 1 / 2, 3 / 4, 1],
    P=[[1, -4 / 3, 5 / 9], [0, 1, -2 / 3], [0, 4 / 3, -8 / 9], [0, -1, 1]],
    b_error=[-5 / 72, 1 / 12, 1 / 9, -1 / 8],
    error_order=2,
    nodes=4,
    reference="Bogacki and Shampine, Appl. Math. Lett. 2 (1989) 321.",
)
