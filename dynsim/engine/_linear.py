"""A small linear map per neuron: zero, one matrix for all neurons, or one matrix each."""

from __future__ import annotations

import numpy as np


class Linear:
    """A map applied to the last axis of an (..., N, columns) array.

    `value` is (rows, columns) or (N, rows, columns); `number` is c if the map is c times the identity, else None.
    """

    __slots__ = ("number", "value", "zero")

    def __init__(self, value, zero=None, number=None):
        self.value = value
        self.zero = not value.any() if zero is None else zero
        if number is None and value.ndim == 2 and value.shape[0] == value.shape[1]:
            first = value[0, 0]
            number = float(first) if np.array_equal(value, first * np.eye(len(value))) else None
        self.number = number

    @classmethod
    def identity(cls, size):
        """The identity of this size."""
        return cls(np.eye(size))

    @classmethod
    def build(cls, value, name, rows, columns, neurons):
        """Make operator `name` from what the user gave: number, (N,), (rows, columns) or (N, rows, columns)."""
        wanted = f"a number (where square), ({rows}, {columns}) or ({neurons}, {rows}, {columns})"
        if value.ndim < 2:
            if value.ndim == 1 and len(value) != neurons:
                raise ValueError(f"operator {name}: got shape {value.shape}; expected {wanted}, or ({neurons},).")
            if rows != columns and value.any():
                raise ValueError(
                    f"operator {name}: got the number {value.flat[0]:g}, which means a multiple of the identity, "
                    f"but {name} is ({rows}, {columns}); expected a matrix of this shape, 0, or as many signals as "
                    f"axes of space (signals=d)."
                )
            return cls(value[..., None, None] * np.eye(rows, columns))
        if value.shape not in ((rows, columns), (neurons, rows, columns)):
            raise ValueError(f"operator {name}: got shape {value.shape}; expected {wanted}.")
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
        if self.value.ndim == 2:
            return x @ self.value.T
        return np.matmul(self.value, x[..., None])[..., 0]

    def scale_rows(self, factors):
        """The map with row r of neuron i multiplied by factors[i, r]."""
        return Linear(self.value * factors[..., None])

    def times(self, factor):
        """The map multiplied by a number."""
        return Linear(self.value * factor)

    def __matmul__(self, other):
        return Linear(np.matmul(self.value, other.value))

    def __add__(self, other):
        return Linear(self.value + other.value)

    def __sub__(self, other):
        return Linear(self.value - other.value)
