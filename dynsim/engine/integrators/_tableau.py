"""A Runge-Kutta method is a table of numbers."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass, field

import numpy as np
import numpy.typing as npt

from dynsim._check import as_array, as_count, as_instance, refusal

from ._method import Method


@dataclass(frozen=True, eq=False)
class Tableau(Method):
    """An explicit Runge-Kutta method with its error estimate and its interpolant.

    Parameters
    ----------
    name : str
        What `solve(method=...)` calls it.
    order : int
        Order p of the method.
    A : array_like, (S, S)
        Strictly lower triangular stage matrix.
    b, c : array_like, (S,)
        Weights and times of the stages; if the last stage is the new state (last row of A equal to b, c = 1), it
        serves as the first stage of the next step.
    P : array_like, (S, degree)
        Interpolant: q(t + theta h) = q + h sum_j k_j sum_i P[j, i] theta^(i + 1). Its local error must be
        O(h^p), which also keeps a delay equation at order p.
    b_error : array_like, (S,), optional
        b minus the weights of the embedded method; None for a method of fixed step.
    error_order : int, optional
        Order of the embedded method.
    nodes : int
        Lobatto nodes per step at which the delay memory stores the emitted signal, at least p.
    reference : str
        Where it comes from.

    Raises
    ------
    ValueError
        If the shapes do not fit, the method is not explicit, or the sums that every method obeys are violated.

    Examples
    --------
    >>> midpoint = Tableau("midpoint", 2, A=[[0, 0], [0.5, 0]], b=[0, 1], c=[0, 0.5], P=[[1, -1], [0, 1]])
    >>> midpoint.adaptive
    False
    """

    name: str
    order: int
    _: KW_ONLY
    A: npt.ArrayLike
    b: npt.ArrayLike
    c: npt.ArrayLike
    P: npt.ArrayLike
    b_error: npt.ArrayLike | None = None
    error_order: int = 0
    nodes: int = 2
    reference: str = ""
    first_same_as_last: bool = field(init=False)

    def __post_init__(self):
        for name in ("name", "reference"):
            as_instance(getattr(self, name), str, f"tableau {name}")
        as_count(self.order, f"tableau {self.name} order")
        as_count(self.error_order, f"tableau {self.name} error_order", minimum=0)
        as_count(self.nodes, f"tableau {self.name} nodes", minimum=0)
        wanted = {"A": ("S", "S"), "b": ("S",), "c": ("S",), "P": ("S", "degree"), "b_error": ("S",)}
        arrays = {
            name: as_array(getattr(self, name), f"tableau {self.name} {name}", shape, np.float64).copy()
            for name, shape in wanted.items()
            if name != "b_error" or self.b_error is not None
        }
        for name, array in arrays.items():
            array.setflags(write=False)
            object.__setattr__(self, name, array)
        S = len(self.b)
        if self.A.shape != (S, S) or self.c.shape != (S,) or self.P.ndim != 2 or len(self.P) != S:
            raise ValueError(
                f"tableau {self.name}: A {self.A.shape}, c {self.c.shape} and P {self.P.shape} do not fit b ({S},)."
            )
        rows, weights, ends = self.A.sum(1) - self.c, self.b.sum() - 1.0, self.P.sum(1) - self.b
        # Sums of about ten rounded numbers of size below 100.
        if np.triu(self.A).any() or max(abs(weights), np.abs(rows).max(), np.abs(ends).max()) > 1e-12:
            raise ValueError(
                f"tableau {self.name}: expected A strictly lower triangular with row sums c, b summing to 1, and rows "
                f"of P summing to b."
            )
        if self.adaptive and (self.b_error.shape != (S,) or abs(self.b_error.sum()) > 1e-12 or self.error_order < 1):
            raise ValueError(
                f"tableau {self.name}: expected b_error ({S},) summing to 0 and an error_order of at least 1."
            )
        if self.nodes < max(2, self.order):
            raise refusal(f"tableau {self.name}", f"{self.nodes} nodes", f"at least {max(2, self.order)}")
        last = bool(S > 1 and self.c[-1] == 1.0 and np.array_equal(self.A[-1, :-1], self.b[:-1]) and self.b[-1] == 0)
        object.__setattr__(self, "first_same_as_last", last)

    @property
    def adaptive(self) -> bool:
        """Whether the method estimates its error and so chooses its steps."""
        return self.b_error is not None

    @property
    def stages(self) -> int:
        """Number of stages S."""
        return len(self.b)

    def arrays(self, rtol, atol):
        """What the loop over steps works on: A, b, c, b_error, P and (adaptive, tolerances, error order + 1, same)."""
        numbers = [self.adaptive, rtol, atol, self.error_order + 1, self.first_same_as_last]
        b_error = self.b_error if self.adaptive else np.zeros(self.stages)
        return tuple(np.array(a, float) for a in (self.A, self.b, self.c, b_error, self.P, numbers))
