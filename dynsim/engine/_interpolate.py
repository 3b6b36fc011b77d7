"""Lobatto nodes and Lagrange interpolation on [0, 1]."""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.polynomial import legendre

from ._ring import lagrange


class Nodes:
    """n Gauss-Lobatto nodes on [0, 1] with barycentric weights; both ends are nodes."""

    def __init__(self, n):
        interior = legendre.legroots(legendre.legder([0.0] * (n - 1) + [1.0])) if n > 2 else []
        self.x = np.concatenate([[0.0], 0.5 + 0.5 * np.sort(np.real(interior)), [1.0]])
        self.barycentric = _barycentric(self.x)
        # Error estimate: the node next to the middle against the polynomial through all the others.
        self.left_out = int(np.argmin(np.abs(self.x - 0.5)))
        others = np.delete(self.x, self.left_out)
        self.defect = np.ones(n)
        self.defect[np.arange(n) != self.left_out] = -lagrange(self.x[self.left_out], others, _barycentric(others))

    def weights(self, x):
        """Values at the nodes times these weights sum to the polynomial's value at x."""
        return lagrange(float(x), self.x, self.barycentric)


@cache
def lobatto(n):
    """The n Lobatto nodes, made once."""
    return Nodes(n)


def _barycentric(x):
    difference = x[:, None] - x
    np.fill_diagonal(difference, 1.0)
    return 1.0 / difference.prod(axis=1)
