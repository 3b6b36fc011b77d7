"""Images made at random whose statistics are those of photographs: leaves that lie on each other."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from dynsim._check import as_count, refusal

SHAPES = 60  # of an image
SMALLEST, LARGEST = 0.02, 0.6  # half lengths, in units of the image's shorter side
NARROW = 8  # rows or columns; below it the longer side counts, as for signals that are images of one row
COLOUR = 0.35  # how much channels differ, in units of what they have in common
GRAIN = 0.15  # of the texture, likewise
STRIPED = 0.4  # of the shapes


def dead_leaves(count: int, channels: int, size: tuple[int, int], *, seed: int = 0) -> Tensor:
    """Images (count, channels, rows, columns) float32 of ellipses and rectangles, with mean 0 and variance 1.

    Shapes of all scales that hide each other have edges, flat parts and the power spectrum of photographs (Lee, Mumford
    & Huang, IJCV 2001), and what networks learn from such images alone is of use for photographs (Baradad et al.,
    NeurIPS 2021).

    Raises
    ------
    ValueError, TypeError
        If a number is out of range.

    Examples
    --------
    >>> images = dead_leaves(4, 3, (32, 24))
    >>> tuple(images.shape), bool(images.mean().abs() < 1e-5), bool((images.var() - 1).abs() < 1e-3)
    ((4, 3, 32, 24), True, True)
    """
    count, channels = as_count(count, "count"), as_count(channels, "channels")
    if len(size) != 2:
        raise refusal("size", repr(size), "(rows, columns)")
    size = tuple(as_count(side, "size") for side in size)
    generator = np.random.default_rng(as_count(seed, "seed", 0))
    images = np.empty((count, channels, *size), np.float32)
    for image in images:
        image[...] = _colour(channels, generator)
        for _ in range(SHAPES):
            _add_leaf(image, generator)
    images -= images.mean()
    return torch.from_numpy(images / images.std())


def _colour(channels, generator):
    return (generator.normal() + COLOUR * generator.normal(size=channels))[:, None, None]


def _add_leaf(image, generator):
    """Draw one shape, of random place, size, direction, colour, shade and texture, over what is there."""
    rows, columns = image.shape[1:]
    side = min(rows, columns) if min(rows, columns) >= NARROW else max(rows, columns)
    radius = side / generator.uniform(1 / LARGEST, 1 / SMALLEST)  # of density r^-2
    middle = generator.uniform(0, (rows, columns))
    first = np.maximum(0, (middle - radius).astype(int))
    last = np.minimum((rows, columns), (middle + radius + 1).astype(int))
    down = np.arange(first[0], last[0])[:, None] - middle[0]
    right = np.arange(first[1], last[1]) - middle[1]
    turn, flatness = generator.uniform(0, np.pi), generator.uniform(0.3, 1.0)
    along = (np.cos(turn) * right + np.sin(turn) * down) / radius
    across = (np.cos(turn) * down - np.sin(turn) * right) / (radius * flatness)
    if generator.random() < 0.5:
        inside = along**2 + across**2 < 1
    else:
        inside = np.maximum(abs(along), abs(across)) < 0.7
    slopes = 0.25 * generator.normal(size=2)
    shade = (
        slopes[0] * along + slopes[1] * across + GRAIN * generator.exponential() * generator.normal(size=inside.shape)
    )
    if generator.random() < STRIPED:
        waves = generator.uniform(0.2, 2.0) * np.pi * radius  # 1 to 10 pixels long
        shade = shade + 2 * GRAIN * generator.exponential() * np.sin(waves * along)
    part = image[:, first[0] : last[0], first[1] : last[1]]
    part[...] = np.where(inside, _colour(len(image), generator) + shade, part)
