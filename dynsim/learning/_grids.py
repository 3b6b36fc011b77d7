"""Evenly spaced values of few bits: what training keeps numbers on, and what packed files store."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

MOST_BITS = 16
FARTHEST = 32000  # parts of a step from zero to the values at most, so that a file holds the offset in 16 bits
SHARES = np.linspace(1, 0.15, 18)  # of the range of the values: a grid that cuts off the rarest errs less elsewhere
ROUGH = 8  # bits of the numbers that are few, and of which each changes many weights or signals
GRID_BYTES = 4  # of a grid in a file


@dataclass(frozen=True)
class Grid:
    """The values (code - offset / parts) * step of the codes 0 to 2^bits - 1.

    The step has 8 significant bits, so that values of up to 12 bits are exact in float32, and 4 bytes hold the step and
    the offset, which is counted in parts of a step: 16 up to 8 bits, 1 from 12 bits on. Zero is exactly on the grid if
    the offset is a multiple of them (Jacob et al., CVPR 2018).

    Examples
    --------
    >>> grid = Grid(0.5, 16, 2)
    >>> grid.values(np.arange(4))
    array([-0.5,  0. ,  0.5,  1. ])
    >>> grid.codes(np.array([-9.0, 0.3, 0.6])).tolist()
    [0, 2, 2]
    """

    step: float
    offset: int
    bits: int

    @property
    def parts(self) -> int:
        """Parts of a step in which the offset is counted."""
        return _parts(self.bits)

    @property
    def zero(self) -> int:
        """The code of the value nearest to 0."""
        return min(max(round(self.offset / self.parts), 0), 2**self.bits - 1)

    def codes(self, values: npt.NDArray) -> npt.NDArray:
        """Codes of the values on the grid that are nearest."""
        codes = np.rint(values / values.dtype.type(self.step) + values.dtype.type(self.offset / self.parts))
        return np.clip(codes, 0, 2**self.bits - 1).astype(np.int32)

    def values(self, codes: npt.NDArray, dtype: npt.DTypeLike = np.float64) -> npt.NDArray:
        """Values of codes."""
        return ((codes * self.parts - self.offset) * (self.step / self.parts)).astype(dtype)

    def nearest(self, values: npt.NDArray) -> npt.NDArray:
        """The values on the grid that are nearest, in the same precision."""
        return self.values(self.codes(values), values.dtype)


def stored_bits(kind: str, size: int, bits: int) -> int | None:
    """Bits of each number of an array that is packed at `bits` bits; None where it is stored as float16.

    Places and weights have `bits`. Strengths, biases and norms, which are few, have 8, or float16 beside more bits than
    that. An array so small that it takes no more bytes as float16 than on a grid is float16, too.

    >>> stored_bits("places", 100, 3), stored_bits("norm", 100, 3), stored_bits("strengths", 3, 3)
    (3, 8, None)
    """
    if kind not in ("places", "weights"):
        if bits > ROUGH:
            return None
        bits = ROUGH
    return bits if bits * size / 8 + GRID_BYTES < 2 * size else None


def find_grid(values: npt.NDArray, bits: int) -> Grid:
    """Return the grid of 2^bits values for an array: the one that it lies on, or else the one of the least error.

    Values on a grid of up to 12 bits are kept exactly, those on the grids of packed files of format 1 to a few percent
    of a step. Otherwise the squared error is compared over grids that cover the range of the values and parts of it. If
    any of the values is 0, as those of a pruned layer, the grid has 0 exactly.

    >>> values = find_grid(np.random.default_rng(0).standard_normal(1000), 3).nearest(np.linspace(-1, 1, 50))
    >>> grid = find_grid(values, 3)
    >>> bool((grid.nearest(values) == values).all())
    True
    """
    flat = np.asarray(values, np.float64).ravel()
    with np.errstate(over="ignore", invalid="ignore"):  # infinite steps: their values are not finite either
        middle, zero = flat.mean(), bool((flat == 0).any())
        grids = [grid for grid in _recognised(flat, bits) if not zero or grid.nearest(np.zeros(1))[0] == 0]
        if grids and np.array_equal(grids[-1].nearest(flat), flat):
            return grids[-1]
        ends = [middle + share * (end - middle) for share in SHARES for end in (flat.min(), flat.max())]
        grids += [_covering(low, high, bits, zero) for low, high in zip(ends[::2], ends[1::2], strict=True)]
        levels, counts = np.unique(flat, return_counts=True)
        return min(grids, key=lambda grid: float(np.square(grid.nearest(levels) - levels) @ counts))


def _recognised(flat, bits):
    """Grids that the values lie on but for rounding in float32; one that has exactly these values comes last.

    Neighbours are a number of steps apart, of which the least distance is a multiple.
    """
    levels = np.unique(flat)
    if not 2 <= len(levels) <= 2**bits:
        return
    distances = levels - levels[0]
    spread, least = distances[-1], np.diff(levels).min()
    rounding = 4 * np.finfo(np.float32).eps * np.abs(levels).max()
    for part in range(1, 2**bits):
        steps = np.rint(part * spread / least)
        if steps > 2**bits - 1:
            return
        step = spread / steps
        if np.abs(distances - step * np.rint(distances / step)).max() <= rounding:
            grid = _covering(levels[0], levels[-1], bits, False, steps)
            yield grid
            if np.array_equal(grid.nearest(levels), levels):
                return


def _covering(low, high, bits, zero, steps=None):
    """The grid from `low` to `high`, to the precision of a stored one; with `zero` it has 0 exactly."""
    size = max(abs(low), abs(high))
    if zero:
        low, high = min(low, 0.0), max(high, 0.0)
    parts = _parts(bits)
    step = _rounded(max((high - low) / (steps or 2**bits - 1), size * parts / FARTHEST), up=steps is None)
    unit = parts if zero else 1
    offset = np.rint(-low / step * parts / unit) * unit if np.isfinite(step) else 0
    return Grid(step, int(offset), bits)


def _parts(bits):
    return 2 ** min(4, max(0, 12 - bits))


def _rounded(step, up):
    """The nearest positive number, or the next above, whose float32 has zeros in its lower 16 bits (bfloat16); 1 for 0.

    Many steps of one that was rounded down would leave out the ends of the range.
    """
    if step == 0:
        return 1.0
    bits = (
        int(np.float32(max(step, np.finfo(np.float32).tiny)).view(np.uint32)) + (2**16 - 1 if up else 2**15)
        & 0xFFFF0000
    )
    return float(np.uint32(bits).view(np.float32))
