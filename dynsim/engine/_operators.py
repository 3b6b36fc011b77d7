"""The six operators of equations (2) and (3), and the small linear system in which they contain each other."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial

import numpy as np
import numpy.typing as npt

from dynsim._check import as_array, as_choice, expect_memory, refusal

from ._equations import ACTIVATIONS, activate, activation_slopes

# Operator -> (rows, columns) in the letters of section (1)-(3): s signals, d axes of space.
SHAPES = {"A": "ss", "B": "sd", "C": "sd", "D": "ds", "E": "ds", "F": "dd"}


@dataclass(frozen=True, eq=False, kw_only=True)
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
    activation : str or sequence of str
        act, elementwise: identity, relu, tanh, sigmoid, softplus, silu, gelu or sin; several are one for each group.

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

    A: npt.ArrayLike = 0.0
    B: npt.ArrayLike = 0.0
    C: npt.ArrayLike = 0.0
    D: npt.ArrayLike = 0.0
    E: npt.ArrayLike = 0.0
    F: npt.ArrayLike = 0.0
    activation: str | tuple[str, ...] = "identity"

    def __post_init__(self):
        if not isinstance(self.activation, list | tuple):
            as_choice(self.activation, ACTIVATIONS, "activation")
        else:
            several = tuple(as_choice(one, ACTIVATIONS, "activation") for one in self.activation)
            object.__setattr__(self, "activation", several)
        for name in SHAPES:
            value = as_array(getattr(self, name), f"operator {name}", dtype=np.float64)
            if value.ndim > 3:
                wanted = f"a number, (N,), {_wanted(name)} or (N, {_wanted(name)[1:]}"
                raise refusal(f"operator {name}", f"shape {value.shape}", wanted)
            value = value.copy()
            value.setflags(write=False)
            object.__setattr__(self, name, value)
        self._sizes()

    def __reduce__(self):  # made anew, for arrays that were unpickled could be written to
        return partial(type(self), **{name: getattr(self, name) for name in (*SHAPES, "activation")}), ()

    @property
    def signals(self) -> int | None:
        """Number of signals s that the matrices imply, or None if all operators are numbers."""
        return self._sizes().get("s")

    @property
    def dimension(self) -> int | None:
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
                    raise refusal(
                        "operators",
                        f"{name} {value.shape}, which says {letter} = {size}, but {first} says {letter} = {known}",
                        f"{_wanted(name)} with one {letter}",
                    )
        return {letter: size for letter, (_, size) in found.items()}


MOST_ROWS = 64  # up to which multiples of the identity are written out for compiled loops


def _wanted(name):
    return "({}, {})".format(*SHAPES[name])


class Linear:
    """A map applied to the last axis of an (..., N, columns) array.

    `value` is (rows, columns) or (N, rows, columns); `number` is c if the map is c times the identity, else None. Such
    a map has no matrix until one is asked for: of many signals it would be large.
    """

    __slots__ = ("_value", "number", "shape", "zero")

    def __init__(self, value, zero=None, number=None):
        self._value, self.shape = value, value.shape
        self.zero = not value.any() if zero is None else zero
        if number is None and value.ndim == 2 and value.shape[0] == value.shape[1]:
            first = value[0, 0]
            number = float(first) if np.array_equal(value, first * np.eye(len(value))) else None
        self.number = number

    @classmethod
    def of_number(cls, number, size):
        """`number` times the identity of this size."""
        map_ = cls.__new__(cls)
        map_._value, map_.shape, map_.zero, map_.number = None, (size, size), number == 0.0, float(number)
        return map_

    @classmethod
    def identity(cls, size):
        """The identity of this size."""
        return cls.of_number(1.0, size)

    @property
    def value(self):
        """The matrix, or one for each neuron."""
        if self._value is None:
            self._value = self.number * np.eye(*self.shape)
        return self._value

    @property
    def each(self):
        """Whether every neuron has its own."""
        return len(self.shape) == 3

    @classmethod
    def build(cls, value, name, rows, columns, neurons):
        """Make operator `name` from what the user gave: number, (N,), (rows, columns) or (N, rows, columns)."""
        wanted = f"a number (where square), ({rows}, {columns}) or ({neurons}, {rows}, {columns})"
        if value.ndim < 2:
            if value.ndim == 1 and len(value) != neurons:
                raise refusal(f"operator {name}", f"shape {value.shape}", f"{wanted}, or ({neurons},)")
            if rows != columns and value.any():
                raise refusal(
                    f"operator {name}",
                    f"the number {value.flat[0]:g}, which means a multiple of the identity, but {name} is "
                    f"({rows}, {columns})",
                    "a matrix of this shape, 0, or as many signals as axes of space (signals=d)",
                )
            if value.ndim == 0 and rows == columns:
                return cls.of_number(float(value), rows)
            expect_memory(8 * value.size * rows * columns, f"operator {name}: {wanted}", "give one for all neurons")
            return cls(value[..., None, None] * np.eye(rows, columns))
        if value.shape not in ((rows, columns), (neurons, rows, columns)):
            raise refusal(f"operator {name}", f"shape {value.shape}", wanted)
        return cls(value)

    @property
    def is_identity(self):
        """Whether the map changes nothing."""
        return self.number == 1.0

    def apply(self, x):
        """Apply to x (..., N, columns) -> (..., N, rows); the scalar 0.0 if the map is zero."""
        if self.zero:
            return 0.0
        if self.number is not None:
            return x if self.number == 1.0 else self.number * x
        if not self.each:
            return x @ self.value.T
        return np.matmul(self.value, x[..., None])[..., 0]

    def array(self):
        """The matrices for compiled loops, (1 or N, rows, columns); (0, rows, columns) if the map is zero.

        A multiple of the identity for many signals is (1, 1, 1).
        """
        if self.number is not None and self.shape[0] > MOST_ROWS:
            return np.empty((0, *self.shape)) if self.zero else np.full((1, 1, 1), self.number)
        value = self.value if self.each else self.value[None]
        return np.ascontiguousarray(value[:0] if self.zero else value).copy()

    def scale_rows(self, factors):
        """The map with row r of neuron i multiplied by factors[i, r]."""
        numbers = math.prod((*factors.shape, self.shape[-1]))
        expect_memory(16 * numbers, f"a matrix of {self.shape[-1]:,} signals for each neuron", "take fewer signals")
        return Linear(self.value * factors[..., None])

    def transposed(self):
        """The map from rows to columns."""
        return self if self.number is not None else Linear(np.swapaxes(self.value, -1, -2))

    def beside(self, other):
        """The map of (x, y) that adds this one of x and the other of y."""
        shape = np.broadcast_shapes(self.shape[:-2], other.shape[:-2])
        parts = [np.broadcast_to(value, shape + value.shape[-2:]) for value in (self.value, other.value)]
        return Linear(np.concatenate(parts, axis=-1))

    def of(self, members):
        """The map of some of the neurons."""
        return Linear(self.value[members]) if self.each else self

    def times(self, factor):
        """The map multiplied by a number."""
        return self._both(factor) or Linear(self.value * factor)

    def __matmul__(self, other):
        square = self.shape[-2:] == other.shape[-2:] and len(self.shape) == 2
        if square and self.number is not None:
            return other.times(self.number) if self.number != 1.0 else other
        if self.zero or other.zero:
            each = np.broadcast_shapes(self.shape[:-2], other.shape[:-2])
            return Linear(np.zeros((*each, self.shape[-2], other.shape[-1])), True)
        return Linear(np.matmul(self.value, other.value))

    def __add__(self, other):
        return self._sum(other, 1.0) or Linear(self.value + other.value)

    def __sub__(self, other):
        return self._sum(other, -1.0) or Linear(self.value - other.value)

    def _both(self, factor):
        return None if self.number is None else Linear.of_number(self.number * factor, self.shape[0])

    def _sum(self, other, sign):
        both = self.number is not None and other.number is not None
        return Linear.of_number(self.number + sign * other.number, self.shape[0]) if both else None


class Resolved:
    """Operators of a system with N neurons, H copies, s signals, d axes, with (2) and (3) solved for each other.

    `rates` (N,), gamma / m, is empty where neurons have no mass; `members` (N,) are the groups of the neurons.

    Summed over the copies, Q = sum_h q^h, (3) reads Q' = H (D R + E_op E) + F Q. In (2) this gives
    (I - H C E_op) E = act(A R) + H C D R + (B + C F) Q, so with M = (I - H C E_op)^-1

        E = M act(A R) + G R + b Q,    G = M H C D,    b = M (B + C F).

    Neurons with mass have velocities of their own, with sum U, and (2) contains nothing else that is unknown:
    E = act(A R) + b (Q, U),    b = (B, C).
    """

    def __init__(self, operators, neurons, copies, signals, dimension, *, rates, members, number_of_groups):
        sizes = {"s": signals, "d": dimension}
        op = {
            name: Linear.build(getattr(operators, name), name, sizes[letters[0]], sizes[letters[1]], neurons)
            for name, letters in SHAPES.items()
        }
        self.kinds, self.size = _kinds(operators.activation, members, number_of_groups), (neurons, signals)
        self.A, self.D, self.E, self.F = op["A"], op["D"], op["E"], op["F"]
        self.rates = rates
        if len(rates):
            self.M, self.G = Linear.identity(signals), Linear.of_number(0.0, signals)
            self.b = op["B"].beside(op["C"])
        else:
            self.M = _invert(Linear.identity(signals) - (op["C"] @ op["E"]).times(copies), copies)
            self.G = (self.M @ (op["C"] @ op["D"])).times(copies)
            self.b = self.M @ (op["B"] + op["C"] @ op["F"])
        identity = not self.kinds.any()
        self.linear = identity or self.A.zero
        # Linear case: E = a R + b Q + e0; e0 = M act(0) is not 0 only for an activation that nothing feeds.
        self.a = self.M @ self.A + self.G if identity else self.G
        self.act_of_zero = np.zeros(self.size)
        activate(self.kinds, self.act_of_zero)
        self.rest = self.M.apply(self.act_of_zero)
        self.echoes = not (self.a.zero if self.linear else (self.A.zero and self.G.zero))
        self.B = op["B"]

    def arrays(self):
        """The operators for compiled loops: a, A, M, G, b, rest, D, E, F, flags, rates and kinds."""
        before, after = (self.a, self.A, self.M, self.G, self.b), (self.D, self.E, self.F)
        flags = np.array([self.linear, self.echoes], np.int64)
        maps = [[op.array() for op in ops] for ops in (before, after)]
        return (*maps[0], np.array(self.rest), *maps[1], flags, self.rates, self.kinds)

    def slope(self, R=None):
        """dE/dR as a Linear; R = None takes the activation at its steepest."""
        if self.linear:
            return self.a
        if R is None:
            steepest = [activation.steepest_at for activation in ACTIVATIONS.values()]
            slopes = np.broadcast_to(np.array(steepest)[self.kinds][:, None], self.size).copy()
        else:
            slopes = np.array(self.A.apply(R), order="C")
        activation_slopes(self.kinds, slopes)
        slope = self.M @ self.A.scale_rows(slopes)
        return slope if self.G.zero else slope + self.G


def _kinds(activation, members, number_of_groups):
    """The numbers of the activations: (1,) where all neurons have one, else (N,)."""
    names = list(ACTIVATIONS)
    if isinstance(activation, str):
        return np.array([names.index(activation)])
    if len(activation) != number_of_groups:
        raise refusal("activation", f"{len(activation)} of them", f"one, or {number_of_groups}, one for each group")
    kinds = np.array([names.index(one) for one in activation])[members]
    return kinds[:1] if np.all(kinds == kinds[0]) else kinds


def _invert(matrix, copies):
    if matrix.number:
        return matrix if matrix.is_identity else Linear.of_number(1.0 / matrix.number, matrix.shape[0])
    dense = matrix.value
    condition = np.atleast_1d(np.linalg.cond(dense))
    # 1 / condition is the relative distance to the next singular matrix; within rounding it is singular.
    bad = np.flatnonzero(~(condition < 0.1 / np.finfo(float).eps))
    if len(bad):
        where = f" for neuron {bad[0]}" if dense.ndim == 3 else ""
        times = "" if copies == 1 else f"{copies} "
        raise ValueError(
            f"operators: I - {times}C E is singular{where}, so equations (2) and (3) contradict each other; "
            f"choose operators C and E for which it can be inverted."
        )
    return Linear(np.linalg.inv(dense), False)
