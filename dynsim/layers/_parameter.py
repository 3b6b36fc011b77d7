"""What learning moves: places, strengths, and the ordinary numbers beside them."""

from __future__ import annotations

import numpy as np

from dynsim._check import as_array, as_choice

KINDS = ("places", "strengths", "weights", "bias", "norm")


class Parameter:
    """An array that learning changes, its gradient dL/dvalue, and what kind of thing it is.

    Neighbouring layers share places by holding the same `Parameter`; its gradient is the sum over both.

    Examples
    --------
    >>> import numpy as np
    >>> p = Parameter(np.zeros((2, 5, 3)), "places")
    >>> p.add(np.ones((2, 5, 3))); float(p.gradient.sum())
    30.0
    """

    def __init__(self, value, kind):
        as_choice(kind, KINDS, "kind")
        self.value = np.array(as_array(value, kind))  # a copy of its own: learning changes it in place
        self.kind = kind
        self.gradient = np.zeros_like(self.value)
        self.mask = None

    @property
    def stored(self):
        """How many numbers are stored: all, or those that a mask leaves."""
        return self.value.size if self.mask is None else int(np.count_nonzero(self.mask))

    def prune(self, mask):
        """Set to 0, and keep there, what the mask (a boolean array) does not cover."""
        self.mask = np.asarray(mask, self.value.dtype)
        self.value *= self.mask

    def add(self, gradient):
        """Add to the gradient; every layer that shares the parameter adds its part."""
        self.gradient += gradient if self.mask is None else gradient * self.mask

    def reset(self):
        """Set the gradient to zero before the next batch."""
        self.gradient[...] = 0


def as_parameter(value, kind):
    """Return `value` if it is a Parameter already (shared), else a new one."""
    return value if isinstance(value, Parameter) else Parameter(value, kind)
