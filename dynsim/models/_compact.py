"""Small convolutional networks: convolutions of 3 x 3, whole or depthwise separable, in DyN form or with weights."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np

from dynsim._check import as_choice, as_count, as_instance, refusal
from dynsim.kernels import Kernel
from dynsim.layers import (
    CONV_SETS,
    BatchNorm,
    ChannelMean,
    Conv,
    Depthwise,
    Parameter,
    PlainConv,
    PlainDepthwise,
    places_on_sphere,
    start_strengths,
)

from ._model import Model
from ._parts import DTYPE, Enlarge, OfShape, convolution_strengths, he, ordinary, settings
from ._size import expect_room

FORMS = ("whole", "separable")
SIDE = 3  # of all convolutions
WAVES = Kernel("cos(r)", softening=1e-3)
ENLARGED = 28  # size that small images are enlarged to


def compact(
    channels: int = 32,
    copies: int = 24,
    *,
    dim: int = 2,
    depth: int = 5,
    form: str = "whole",
    sets: str = "one",
    populations: int = 2,
    pools: Sequence[int] = (1, 3),
    margins: Sequence[int] = (1,),
    kernel: Kernel | None = None,
    seed: int = 0,
    weights: bool = False,
    rank: int | None = None,
    image: Sequence[int] = (1, 28, 28),
    classes: int = 10,
) -> Model:
    """A row of 3 x 3 convolutions with BatchNorm and ReLU, pooling, the mean of every channel, and a full layer.

    The first convolution, which sees the image, and the full layer at the end keep ordinary weights, as they have few.
    The convolutions between them all have the same channels, so they can share their neurons: see `populations`.

    Parameters
    ----------
    channels : int
        Of every convolution.
    copies, dim : int
        Places per neuron H, and the dimension d of the space.
    depth : int
        Convolutions, the first one included; at least 2.
    form : {"whole", "separable"}
        Convolutions between all channels, or a depthwise one followed by one of 1 x 1 (Howard et al.,
        arXiv:1704.04861). In DyN form both of a pair see the same places of the channels.
    sets : {"half", "full", "one"}
        Of the convolutions of form "whole" (see `Conv`).
    populations : int
        Populations of neurons, through which signals pass in turn: the first of them receives the signals of the
        first convolution, and the l-th convolution after that leads from population l to population l + 1, both modulo
        this number. With 1 the neurons act on one another, with 2 signals go back and forth, and convolutions between
        the same populations differ in lambda alone; with `depth` or more, neighbours share the neurons between them
        and nothing returns. 0: every convolution has neurons of its own on both sides.
    pools, margins : sequence of int
        Numbers of the convolutions, from 1 on, that are followed by pooling of 2 x 2, and that have a margin of zeros,
        which keeps the size of the image.
    kernel : Kernel, optional
        Default: the cosine of the l2 distance, softened by 1e-3.
    seed : int
        Of the start.
    weights : bool
        Ordinary weights instead of places: the baseline.
    rank : int, optional
        With weights: those of every convolution but the first are a product of this rank, or of full rank.
    image : sequence of int
        (channels, height, width) of the images; small ones of one channel are enlarged to 28 x 28.
    classes : int

    Raises
    ------
    ValueError, TypeError
        If a number is out of range, or the image does not last for so many convolutions.

    Examples
    --------
    >>> from dynsim.models import compact, count
    >>> count(compact(channels=8, weights=True))["numbers"], count(compact(channels=24, copies=17))["numbers"]
    (2546, 2950)
    """
    channels, copies, dim = as_count(channels, "channels"), as_count(copies, "copies"), as_count(dim, "dim")
    depth, classes = as_count(depth, "depth", minimum=2), as_count(classes, "classes")
    as_choice(form, FORMS, "form")
    as_choice(sets, CONV_SETS, "sets")
    populations = as_count(populations, "populations", minimum=0)
    kernel = settings(WAVES if kernel is None else kernel, seed, weights, rank)
    pools, margins = (_numbers(given, name, depth) for given, name in ((pools, "pools"), (margins, "margins")))
    image = [as_count(size, "image") for size in as_instance(image, list | tuple, "image")]
    if len(image) != 3 or image[1] != image[2]:
        raise refusal("image", image, "(channels, size, size)")
    config = {"model": "compact", "channels": channels, "copies": copies, "dim": dim, "depth": depth, "form": form}
    config |= {"sets": sets, "populations": populations, "pools": pools, "margins": margins, "kernel": kernel.to_dict()}
    config |= {"seed": seed, "weights": bool(weights), "rank": rank, "image": image, "classes": classes}
    small = image[0] == 1 and image[1] < ENLARGED
    _expect_size(ENLARGED if small else image[1], depth, pools, margins)
    expect_room(config)
    generator = np.random.default_rng(seed)
    between = _ordinary(generator, config) if weights else _of_particles(generator, config, kernel)
    layers = [PlainConv(he(generator, (channels, image[0], SIDE, SIDE), image[0] * SIDE**2), margin=int(1 in margins))]
    for number in range(1, depth + 1):
        if number > 1:
            layers += between(int(number in margins))
        layers.append(BatchNorm(channels, dtype=DTYPE, relu=True, pool=number in pools))
    layers += [ChannelMean(), ordinary(generator, (classes, channels))]
    return Model(layers, config, preprocess=OfShape(image, Enlarge(ENLARGED) if small else None), image=tuple(image))


def _numbers(given, name, depth):
    found = [as_count(number, name) for number in as_instance(given, list | tuple, name)]
    if any(number > depth for number in found) or len(set(found)) < len(found):
        raise refusal(name, found, f"different numbers of convolutions, 1 to {depth}")
    return found


def _expect_size(size, depth, pools, margins):
    """Refuse an image that becomes too small, or odd before pooling."""
    for number in range(1, depth + 1):
        size += 0 if number in margins else 1 - SIDE
        if size < 1 or (number in pools and size % 2):
            fault = "too small an image" if size < 1 else f"an image of the odd size {size} to pool"
            raise refusal("compact", f"{fault} after convolution {number}", "other pools, margins or depth")
        size = size // 2 if number in pools else size


def _ordinary(generator, config):
    """A function of a margin that returns the layers of the next convolution with weights."""
    channels, rank = config["channels"], config["rank"]

    def whole(margin):
        return [ordinary(generator, (channels, channels, SIDE, SIDE), rank, bias=False, margin=margin)]

    def separable(margin):
        depthwise = PlainDepthwise(he(generator, (channels, SIDE, SIDE), SIDE**2), margin=margin)
        return [depthwise, ordinary(generator, (channels, channels, 1, 1), rank, bias=False)]

    return separable if config["form"] == "separable" else whole


def _of_particles(generator, config, kernel):
    """The same of particles: neurons are drawn when they are first needed."""
    channels, copies, dim, populations = (config[key] for key in ("channels", "copies", "dim", "populations"))
    sets = "one" if config["form"] == "separable" else config["sets"]
    rows = {"one": (1,), "half": (SIDE,), "full": (2, SIDE)}[sets]
    numbers, drawn = itertools.count(), {}

    def population(number):
        if number not in drawn:
            drawn[number] = Parameter(places_on_sphere(generator, *rows, copies, channels, dim), "places")
        return drawn[number]

    def ends():
        """Neurons that the next convolution leads from, and those that it leads to."""
        number = next(numbers)
        if not populations:
            return population(2 * number), population(2 * number + 1)
        return population(number % populations), population((number + 1) % populations)

    def whole(margin):
        places_in, places_out = ends()
        strengths = convolution_strengths(generator, kernel, places_in.value, places_out.value, sets, SIDE)
        return [Conv(places_in, places_out, strengths, kernel, sets=sets, margin=margin)]

    def separable(margin):
        places_in, places_out = ends()
        offsets = places_on_sphere(generator, 1, copies, SIDE**2, dim)
        strengths = start_strengths(kernel, offsets, places_in.value)
        depthwise = Depthwise(places_in, offsets, strengths, kernel, margin=margin)
        strengths = start_strengths(kernel, places_in.value, places_out.value)
        return [depthwise, Conv(places_in, places_out, strengths, kernel)]

    return separable if config["form"] == "separable" else whole
