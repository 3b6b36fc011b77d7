"""Which delays a system has: one number for all pairs, or a number for each pair of groups."""

from __future__ import annotations

import numpy as np

from dynsim._check import as_array, as_number, refusal


class Delays:
    """The delays of the pairs that act on each other.

    `value` is what a system shows, one number, or (G, G) [from, to] where pairs that act have several; `each` the
    distinct ones, increasing, 0 among them where some pairs have none. Pairs that do not act are those of strength 0,
    of empty groups, and of a group of one neuron with itself.
    """

    def __init__(self, delay, strengths, groups, neurons):
        G = strengths.shape[-1]
        numbers = np.bincount(np.zeros(neurons, int) if groups is None else groups, minlength=G)
        self.acting = strengths.any(axis=0) & (np.outer(numbers, numbers) > np.diag(numbers == 1))
        self.value = _as_delay(delay, G)
        self.each = (self.value,)
        if np.ndim(self.value):
            self.each = tuple(sorted({float(eps) for eps in self.value[self.acting]})) or (0.0,)
            if len(self.each) == 1:
                self.value = self.each[0]
            else:
                self.value.setflags(write=False)

    @property
    def several(self):
        """Whether pairs that act have different delays."""
        return len(self.each) > 1

    @property
    def positive(self):
        """The distinct delays above 0, increasing."""
        return tuple(eps for eps in self.each if eps > 0)

    @property
    def shortest(self):
        """The shortest delay above 0; 0 if there is none."""
        return min(self.positive, default=0.0)

    @property
    def longest(self):
        """The longest delay."""
        return self.each[-1]

    def pairs(self, eps):
        """(G, G) [from, to]: which pairs of groups act on each other with a delay."""
        return self.acting & (np.broadcast_to(self.value, self.acting.shape) == eps)

    def __str__(self):
        if not self.several:
            return f"{self.value:g}"
        numbers = ", ".join(f"{eps:g}" for eps in self.each) if len(self.each) <= 4 else f"{len(self.each)} numbers"
        return f"{numbers} by pair of groups"


def _as_delay(delay, G):
    """A number, or (G, G) numbers of our own."""
    if np.ndim(delay) == 0 and not isinstance(delay, np.ndarray):
        return as_number(delay, "delay", minimum=0)
    array = as_array(delay, "delay", dtype=np.float64)
    if array.ndim == 0:
        return as_number(array.item(), "delay", minimum=0)
    if array.shape != (G, G):
        raise refusal("delay", f"shape {array.shape}", f"a number, or ({G}, {G}), [from, to], for {G} group(s)")
    if array.min() < 0:
        raise refusal("delay", f"{array.min():g}", "numbers from 0 on")
    return array.copy()
