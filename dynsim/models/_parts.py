"""Parts that the networks are built from: layers at the start of training, and images made to fit."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from dynsim._check import as_count, as_flag, as_instance, refusal
from dynsim.kernels import Kernel
from dynsim.layers import Conv, Full, LowRankConv, LowRankFull, PlainConv, PlainFull, start_strengths

DTYPE = np.float32


def settings(kernel, seed, weights, rank):
    """Check what the networks have in common; returns the kernel."""
    as_count(seed, "seed", minimum=0)
    as_flag(weights, "weights")
    if rank is not None:
        as_count(rank, "rank")
    return Kernel(softening=1e-3) if kernel is None else as_instance(kernel, Kernel, "kernel")


def full(kernel, places_in, places_out):
    """A full layer between two subsystems, with the start of training and no bias yet."""
    strengths = start_strengths(kernel, places_in.value[None], places_out.value[None])[0, 0]
    return Full(places_in, places_out, strengths, kernel, bias=np.zeros(places_out.value.shape[1], DTYPE))


def ordinary(generator, shape, rank=None, *, bias=True, **options):
    """A layer of weights (n, m) or (n_out, n_in, k, k), plain or a product of low rank; options are the layer's."""
    rows, columns = shape[0], math.prod(shape[1:])
    options["bias"] = np.zeros(rows, DTYPE) if bias else None
    if rank is None:
        return (PlainFull if len(shape) == 2 else PlainConv)(he(generator, shape, columns), **options)
    rank = min(as_count(rank, "rank"), rows, columns)
    left, right = he(generator, (rows, rank), 2 * rank), he(generator, (rank, columns), columns)
    if len(shape) == 2:
        return LowRankFull(left, right, **options)
    return LowRankConv(left, right, n_in=shape[1], **options)


def convolution_strengths(generator, kernel, places_in, places_out, sets, side):
    """lambda of a convolution of particles, with the start of training; of full sets, for the sum of both relations."""
    if sets == "one":
        # With the same signs for all offsets their weights would be the same: lambda is drawn, with the sum 0 over the
        # copies, so that what all distances have in common cancels.
        strengths = generator.standard_normal((side, side, places_in.shape[1])).astype(DTYPE)
        if places_in.shape[1] > 1:
            strengths -= strengths.mean(axis=2, keepdims=True)
    elif sets == "half":
        return start_strengths(kernel, places_in, places_out)
    else:
        strengths = np.stack([start_strengths(kernel, *axis) for axis in zip(places_in, places_out, strict=True)])
    layer = Conv(places_in, places_out, strengths, kernel, sets=sets)
    strengths *= np.sqrt(2 / (side**2 * places_in.shape[-2]) / np.mean(layer.materialize() ** 2))
    return strengths


def he(generator, shape, fan):
    """Normal numbers of variance 2 / fan (He et al., ICCV 2015)."""
    return (generator.standard_normal(shape) * np.sqrt(2 / fan)).astype(DTYPE)


class OfShape:
    """Images (n, *shape) as they are, or as `change` makes them; networks that could take others refuse them by this.

    Examples
    --------
    >>> OfShape((1, 8, 8), Enlarge(32))(np.zeros((5, 1, 8, 8), np.float32)).shape
    (5, 1, 32, 32)
    """

    def __init__(self, shape: Sequence[int], change: Enlarge | None = None):
        self.shape, self.change = tuple(shape), change

    def __call__(self, images: npt.NDArray) -> npt.NDArray:
        """Return what the first layer takes; raises ValueError if they are of another shape."""
        if images.shape[1:] != self.shape:
            raise refusal("images", f"shape {images.shape}", f"(n, {', '.join(map(str, self.shape))})")
        return images if self.change is None else self.change(images)

    def to_onnx(self, graph, x):
        """The change alone, as `Layer.to_onnx`: a graph states the shape of its input."""
        return x if self.change is None else self.change.to_onnx(graph, x)


class Enlarge:
    """Images (n, 1, s, s) to (n, 1, size, size): pixels repeated as often as fits, then a margin of zeros.

    Examples
    --------
    >>> Enlarge(32)(np.zeros((5, 1, 28, 28), np.float32)).shape
    (5, 1, 32, 32)
    """

    def __init__(self, size: int):
        self.size = size

    def plan(self, size: int) -> tuple[int, int, int]:
        """How often a pixel of images of this size is repeated, and the margins before and after."""
        times = self.size // size
        margin = self.size - times * size
        return times, margin // 2, margin - margin // 2

    def __call__(self, images: npt.NDArray) -> npt.NDArray:
        """Enlarge; raises ValueError if they do not fit."""
        size = images.shape[2]
        if images.shape[1] != 1 or images.shape[3] != size or not 1 <= size <= self.size:
            raise refusal("images", f"shape {images.shape}", f"(n, 1, size, size), size at most {self.size}")
        times, before, after = self.plan(size)
        signals = np.moveaxis(images, 0, -1)
        if times > 1:
            signals = signals.repeat(times, axis=1).repeat(times, axis=2)
        padded = np.pad(signals, ((0, 0), (before, after), (before, after), (0, 0)))
        return np.moveaxis(padded, -1, 0)

    def to_onnx(self, graph, x):
        """Repeat pixels and pad, as `Layer.to_onnx`."""
        times, before, after = self.plan(graph.image[1])
        if times > 1:
            scales = graph.constant([1, 1, times, times])
            nearest = {"mode": "nearest", "coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
            x = graph.add("Resize", x, "", scales, **nearest)
        return graph.add("Pad", x, graph.constant([0, 0, before, before, 0, 0, after, after], np.int64))
