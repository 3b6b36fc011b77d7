"""Runge-Kutta-Chebyshev, order 2, of as many stages as keep a step stable along the negative real axis."""

from ._stabilised import Stabilised

METHOD = Stabilised(
    "rkc2", reference="Sommeijer, Shampine & Verwer, J. Comput. Appl. Math. 88 (1998) 315; Verwer, Hundsdorfer & "
    "Sommeijer, Numer. Math. 57 (1990) 157.",
)  # fmt: skip
