"""The six operators of equations (2) and (3), and the small linear system in which they contain each other."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from dynsim._check import as_array

from ._activation import find_activation
from ._linear import Linear

# Operator -> (rows, columns) in the letters of section (1)-(3): s signals, d axes of space.
SHAPES = {"A": "ss", "B": "sd", "C": "sd", "D": "ds", "E": "ds", "F": "dd"}


@dataclass(frozen=True, eq=False)
class Operators:
    """The six operators of a system.

    Equations (2) and (3), for neuron i with received signal R (s,), emitted signal E (s,) and place q (d,)::

        E = act(A R) + B q + C q'
        q' = D R + E_op E + F q

    Parameters
    ----------
    A, B, C, D, E, F : float or array_like
        A (s, s), B (s, d), C (s, d), D (d, s), E (d, s), F (d, d). A number c means c times the identity and is
        refused where the operator is not square, unless it is 0. One operator per neuron: a leading axis N,
        (N, rows, columns), or (N,) for one number per neuron.
    activation : str
        act, elementwise: identity, relu, tanh, sigmoid, softplus, silu, gelu or sin.

    Raises
    ------
    ValueError, TypeError
        If an operator is not numeric, not finite, or has a number of axes other than 0 to 3; shapes are checked
        against each other here, and against the places by `System`.

    Examples
    --------
    >>> import numpy as np
    >>> from dynsim.engine import Operators
    >>> Operators(A=0.5, D=np.ones((3, 1)), activation="tanh").signals
    1
    """

    A: object = 0.0
    B: object = 0.0
    C: object = 0.0
    D: object = 0.0
    E: object = 0.0
    F: object = 0.0
    activation: str = "identity"

    def __post_init__(self):
        find_activation(self.activation)
        for name in SHAPES:
            value = as_array(getattr(self, name), f"operator {name}", dtype=np.float64)
            if value.ndim > 3:
                raise ValueError(
                    f"operator {name}: got shape {value.shape}; expected a number, (N,), {_wanted(name)} "
                    f"or (N, {_wanted(name)[1:]}."
                )
            object.__setattr__(self, name, value)
        self._sizes()

    @property
    def signals(self):
        """Number of signals s that the matrices imply, or None if all operators are numbers."""
        return self._sizes().get("s")

    @property
    def dimension(self):
        """Number of axes d that the matrices imply, or None if all operators are numbers."""
        return self._sizes().get("d")

    def _sizes(self):
        found = {}
        for name, letters in SHAPES.items():
            value = getattr(self, name)
            if value.ndim < 2:
                continue
            for letter, size in zip(letters, value.shape[-2:], strict=True):
                first, known = found.setdefault(letter, (name, size))
                if known != size:
                    raise ValueError(
                        f"operators: {name} {value.shape} says {letter} = {size} but {first} says "
                        f"{letter} = {known}; expected {_wanted(name)} with one {letter}."
                    )
        return {letter: size for letter, (_, size) in found.items()}


def _wanted(name):
    return "({}, {})".format(*SHAPES[name])


class Resolved:
    """Operators of a system with N neurons, H copies, s signals, d axes, with (2) and (3) solved for each other.

    Summed over the copies, Q = sum_h q^h, (3) reads Q' = H (D R + E_op E) + F Q. In (2) this gives
    (I - H C E_op) E = act(A R) + H C D R + (B + C F) Q, so with M = (I - H C E_op)^-1

        E = M act(A R) + G R + b Q,    G = M H C D,    b = M (B + C F).
    """

    def __init__(self, operators, neurons, copies, signals, dimension):
        sizes = {"s": signals, "d": dimension}
        op = {
            name: Linear.build(getattr(operators, name), name, sizes[letters[0]], sizes[letters[1]], neurons)
            for name, letters in SHAPES.items()
        }
        self.activation = find_activation(operators.activation)
        self.A, self.D, self.E, self.F = op["A"], op["D"], op["E"], op["F"]
        self.M = _invert(Linear.identity(signals) - (op["C"] @ op["E"]).times(copies), copies)
        self.G = (self.M @ (op["C"] @ op["D"])).times(copies)
        self.b = self.M @ (op["B"] + op["C"] @ op["F"])
        self.linear = operators.activation == "identity" or self.A.zero
        # Linear case: E = a R + b Q + e0; e0 = M act(0) is not 0 only for an activation that nothing feeds.
        self.a = self.M @ self.A + self.G if operators.activation == "identity" else self.G
        rest = self.activation.value(np.zeros(signals))
        self.rest = self.M.apply(np.broadcast_to(rest, (neurons, signals)))
        self.echoes = not (self.a.zero if self.linear else (self.A.zero and self.G.zero))
        self.B = op["B"]

    def emitted(self, R, Q):
        """E of (2), with (3) put in for q'."""
        if self.linear:
            E = self.a.apply(R) + self.b.apply(Q)
            return E + self.rest
        E = self.M.apply(self.activation.value(self.A.apply(R)))
        return E + self.G.apply(R) + self.b.apply(Q)

    def slope(self, R=None):
        """dE/dR as a Linear; R = None takes the activation at its steepest."""
        if self.linear:
            return self.a
        if R is None:
            return (self.M @ self.A).times(self.activation.steepest) + self.G
        return self.M @ self.A.scale_rows(self.activation.slope(self.A.apply(R))) + self.G

    def velocity(self, R, E, q):
        """q'^h of (3) for every copy, shape (H, N, d)."""
        moved = self.F.apply(q) + (self.D.apply(R) + self.E.apply(E))
        return moved if np.shape(moved) == q.shape else np.broadcast_to(moved, q.shape)


def _invert(matrix, copies):
    dense = matrix.value
    condition = np.atleast_1d(np.linalg.cond(dense))
    # 1 / condition is the relative distance to the next singular matrix; within rounding it is singular.
    bad = np.flatnonzero(~(condition < 0.1 / np.finfo(float).eps))
    if len(bad):
        where = f" for neuron {bad[0]}" if dense.ndim == 3 else ""
        times = "" if copies == 1 else f"{copies} "
        raise ValueError(
            f"operators: I - {times}C E is singular{where}, so equations (2) and (3) contradict each other; "
            f"expected operators C and E for which it can be inverted."
        )
    return matrix if matrix.is_identity else Linear(np.linalg.inv(dense), False)
