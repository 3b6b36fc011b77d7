"""The widest network that has no more numbers than a budget."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable
from functools import cache

from dynsim.models import Model, numbers


def widest(build: Callable[[int], Model], budget: int) -> int | None:
    """Return the width from 1 to the budget with which `build(width)` has most numbers, at most `budget`, or None.

    Numbers must not fall as the width grows; `dynsim.models.numbers` counts them. Of widths with as many, such as ranks
    beyond that of the matrix, it is the smallest.

    Examples
    --------
    >>> from dynsim.models import mlp
    >>> widest(lambda width: mlp((64, width, 10), weights=True), 1000)  # 76 width + 10
    13
    >>> widest(lambda width: mlp((64, width, 10), weights=True), 50) is None
    True
    >>> widest(lambda rank: mlp((64, 16, 10), weights=True, rank=rank), 5000)
    16
    """

    @cache
    def count(width):
        return numbers(build(width))

    if budget < 1 or count(1) > budget:
        return None
    fits, beyond = 1, 2
    while beyond <= budget and count(beyond) <= budget:  # by doubling, since wide networks take memory
        fits, beyond = beyond, 2 * beyond
    largest = fits + bisect_right(range(fits + 1, min(beyond, budget + 1)), budget, key=count)
    if largest == 1 or count(largest - 1) < count(largest):
        return largest
    return 1 + bisect_left(range(1, largest), count(largest), key=count)
