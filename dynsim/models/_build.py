"""The networks by name, in DyN form or with ordinary weights; mlp and lenet5."""

from __future__ import annotations

import inspect
import itertools
from collections.abc import Mapping, Sequence

import numpy as np

from dynsim._check import as_choice, as_count, as_flag, as_instance, as_like, expect_keys, refusal
from dynsim.kernels import Kernel
from dynsim.layers import SETS, BatchNorm, Conv, Flatten, Parameter, PlainConv, ReLU, places_on_sphere, random_places

from ._compact import compact
from ._model import Model
from ._parts import DTYPE, Enlarge, convolution_strengths, full, he, ordinary, settings
from ._size import expect_room
from ._vit import vit


def mlp(
    widths: Sequence[int] = (784, 1000, 1500, 10),
    copies: int = 4,
    *,
    dim: int = 8,
    kernel: Kernel | None = None,
    seed: int = 0,
    weights: bool = False,
    rank: int | None = None,
    norm: bool = True,
) -> Model:
    """Full layers with BatchNorm and ReLU between them; neighbours share the hidden neurons' places.

    Parameters
    ----------
    widths : sequence of int
        Neurons per layer, inputs first, classes last.
    copies, dim : int
        Places per neuron H, and the dimension d of the space.
    kernel : Kernel, optional
        Default: inverse, l2, softened by 1e-3.
    seed : int
        Of the start.
    weights : bool
        Ordinary weights instead of places: the baseline.
    rank : int, optional
        With weights: every layer's are a product of this rank, or of full rank where that is less.
    norm : bool
        False leaves BatchNorm out: biases, 0 at the start, and ReLU alone stand between the layers. The answer to an
        image then depends on no other images, as `dynsim.learning.flow_system` needs it.

    Raises
    ------
    ValueError, TypeError
        If a number is out of range.

    Examples
    --------
    >>> from dynsim.models import count, mlp
    >>> count(mlp(widths=(784, 1000, 1500, 10), copies=4, dim=8))["memory"]
    107930
    """
    widths = [as_count(width, "widths") for width in as_instance(widths, list | tuple, "widths")]
    if len(widths) < 2:
        raise refusal("widths", widths, "at least inputs and classes")
    copies, dim = as_count(copies, "copies"), as_count(dim, "dim")
    kernel = settings(kernel, seed, weights, rank)
    config = {"model": "mlp", "widths": widths, "copies": copies, "dim": dim, "kernel": kernel.to_dict()}
    config |= {"seed": seed, "weights": bool(weights), "rank": rank}
    if not as_flag(norm, "norm"):  # earlier versions wrote none
        config["norm"] = False
    expect_room(config)
    generator = np.random.default_rng(seed)
    full_layers = _full_layers(generator, widths, copies, dim, kernel, weights, rank, places_on_sphere, norm=norm)
    layers = [Flatten(), *full_layers]
    return Model(layers, config, image=(1, 1, widths[0]))


def lenet5(
    copies_fc: int = 2,
    copies_conv: int = 3,
    *,
    dim: int = 9,
    kernel: Kernel | None = None,
    seed: int = 0,
    weights: bool = False,
    sets: str = "half",
    rank: int | None = None,
    classes: int = 10,
) -> Model:
    """LeNet-5 with BatchNorm: conv 5x5 1-6 (ordinary), conv 5x5 6-16, full 400-120-84-classes (LeCun et al., 1998).

    Images are square with one channel; they are repeated and padded to 32 x 32 (28 by a margin of 2, 8 four times).
    Parameters as `mlp`, with copies of the full and of the convolutional subsystems apart, and `sets` of the
    convolution, "half" or "full" (see `Conv`).

    Examples
    --------
    >>> from dynsim.models import count, lenet5
    >>> parameters = count(lenet5(copies_fc=2, copies_conv=3, dim=9))
    >>> parameters["memory"], parameters["disk"]
    (14502, 2038)
    """
    copies_fc, copies_conv = as_count(copies_fc, "copies_fc"), as_count(copies_conv, "copies_conv")
    dim = as_count(dim, "dim")
    as_choice(sets, SETS, "sets")
    kernel = settings(kernel, seed, weights, rank)
    config = {"model": "lenet5", "copies_fc": copies_fc, "copies_conv": copies_conv, "dim": dim}
    config |= {"kernel": kernel.to_dict(), "seed": seed, "weights": bool(weights), "sets": sets, "rank": rank}
    if as_count(classes, "classes") != 10:  # earlier versions wrote none
        config["classes"] = classes
    expect_room(config)
    generator = np.random.default_rng(seed)
    first = PlainConv(he(generator, (6, 1, 5, 5), 25), np.zeros(6, DTYPE))
    if weights:
        second = ordinary(generator, (16, 6, 5, 5), rank)
    else:
        second = _convolution(generator, 5, 6, 16, copies_conv, dim, kernel, sets)
    norms = [BatchNorm(channels, dtype=DTYPE, relu=True, pool=True) for channels in (6, 16)]
    layers = [first, norms[0], second, norms[1], Flatten()]
    layers += _full_layers(generator, [400, 120, 84, classes], copies_fc, dim, kernel, weights, rank, random_places)
    return Model(layers, config, preprocess=Enlarge(32), image=(1, 28, 28))


BUILDERS = {"mlp": mlp, "lenet5": lenet5, "compact": compact, "vit": vit}


def build(config: Mapping) -> Model:
    """Build the model that a configuration describes (the `config` of a Model), with its start.

    Raises
    ------
    ValueError, TypeError
        If the model's name or a key is unknown, or a value does not fit.

    Examples
    --------
    >>> build({"model": "mlp", "widths": [4, 2], "copies": 2, "dim": 2}).config["dim"]
    2
    """
    options = dict(as_instance(config, Mapping, "config"))
    name = options.pop("model", None)
    as_choice(name, BUILDERS, "model")
    if isinstance(options.get("kernel"), dict):
        options["kernel"] = Kernel.from_dict(options["kernel"])
    expect_keys(options, list(inspect.signature(BUILDERS[name]).parameters), f"model {name}")
    return BUILDERS[name](**options)


def materialize(model: Model) -> Model:
    """Return the ordinary network whose weights are those that follow from the places of `model`.

    A low-rank network becomes one of full weights; an ordinary network is copied, with what is pruned.

    Examples
    --------
    >>> import numpy as np
    >>> from dynsim.models import mlp
    >>> model = mlp(widths=(4, 3, 2), copies=2, dim=3)
    >>> ordinary = materialize(model)
    >>> sorted(parameter.kind for parameter in ordinary.parameters.values())
    ['bias', 'bias', 'norm', 'norm', 'weights', 'weights']
    >>> images = np.ones((5, 1, 2, 2))
    >>> bool((ordinary.scores(images) == model.scores(images)).all())
    True
    """
    as_like(model, ("config", "layers", "results"), "Model", "model")
    ordinary = build({**model.config, "weights": True, "rank": None})
    ordinary.results = dict(model.results)
    for layer, plain in zip(model.layers, ordinary.layers, strict=True):
        if layer.weighted:
            plain.weights.value[...] = layer.materialize()
        for name, parameter in layer.parameters.items():
            if layer.weighted and name not in ("weights", "bias"):
                continue  # what the weights follow from
            same = plain.parameters[name]
            same.value[...] = parameter.value
            if parameter.mask is not None:
                same.prune(parameter.mask)
        for name, buffer in layer.buffers.items():
            plain.buffers[name][...] = buffer
    return ordinary


def _full_layers(generator, widths, copies, dim, kernel, weights, rank, draw, *, norm=True):
    layers, shared = [], None
    for m, n in itertools.pairwise(widths):
        if weights:
            layers.append(ordinary(generator, (n, m), rank))
        else:
            shared = shared or Parameter(draw(generator, copies, m, dim), "places")
            following = Parameter(draw(generator, copies, n, dim), "places")
            layers.append(full(kernel, shared, following))
            shared = following
        layers.append(BatchNorm(n, dtype=DTYPE, relu=True) if norm else ReLU())
    return layers[:-1]  # the classes' scores stay as they are


def _convolution(generator, k, n_in, n_out, copies, dim, kernel, sets):
    drawn = [
        [random_places(generator, k, copies, n, dim) for n in (n_in, n_out)] for _ in range(2 if sets == "full" else 1)
    ]
    places_in, places_out = (np.stack([pair[side] for pair in drawn]) for side in (0, 1))
    if sets == "half":
        places_in, places_out = places_in[0], places_out[0]
    strengths = convolution_strengths(generator, kernel, places_in, places_out, sets, k)
    return Conv(places_in, places_out, strengths, kernel, bias=np.zeros(n_out, DTYPE), sets=sets)
