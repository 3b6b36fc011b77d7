"""Euler's method, order 1."""

from ._tableau import Tableau

METHOD = Tableau(
    "euler", 1, A=[[0]], b=[1], c=[0], P=[[1]], nodes=2, reference="Euler, Institutionum calculi integralis, 1768."
)
