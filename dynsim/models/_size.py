"""How many numbers a configuration asks for, compared with what there is before memory is taken."""

from __future__ import annotations

import os

from dynsim._check import expect_memory
from dynsim._files import damaged

LARGEST = 2**31  # floats; a configuration of a file that asks for more is refused
DRAWN = 24  # bytes that a number takes at most while it is drawn in float64, or while a weight follows from places
KEPT = 4  # bytes of a number in float32
LAYER = 2**12  # bytes of a layer's objects, or more
NAMES = ("widths", "image", "channels", "depth", "patch", "width", "hidden", "classes")
NAMES += ("copies", "copies_fc", "copies_conv", "dim")


def check_size(config: dict, *, stored: float | None = None, path: str | os.PathLike = "model"):
    """Refuse a configuration that asks for too many numbers, before memory is taken.

    `stored` are the bytes of the file that it comes from, times 32 / b where numbers are packed to b bits. Raises
    FileError for more numbers than these hold, ValueError for more than a machine has memory for.
    """
    neurons, weights, _ = _sizes(config)
    floats = _coordinates(config, neurons) + weights
    if not 0 < floats < LARGEST:
        raise ValueError(f"the configuration asks for {floats} numbers")
    least = _least(config, neurons, weights)
    if stored is not None and 4 * least > stored:
        raise damaged(path, f"its configuration asks for {least:,} numbers or more, which it does not hold")
    expect_room(config, f"{path}: ")


def expect_room(config: dict, where: str = ""):
    """Refuse a configuration that takes more memory than this machine has, before any is taken; raises ValueError."""
    neurons, weights, all_weights = _sizes(config)
    size = DRAWN * weights + LAYER * int(config.get("depth", len(config.get("widths", ()))))
    size += KEPT * all_weights if config.get("weights") else DRAWN * _coordinates(config, neurons)
    size += DRAWN * _ends_of_compact(config) if config.get("model") == "compact" else 0
    sizes = ", ".join(f"{name} {config[name]}" for name in NAMES if name in config)
    sizes = sizes if len(sizes) < 200 else f"{sizes[:197]}..."
    expect_memory(size, f"{where}{config.get('model')} of {sizes}", "choose smaller numbers")


def _coordinates(config, neurons):
    return max(int(config.get(key, 1)) for key in ("copies", "copies_fc", "copies_conv")) * int(config["dim"]) * neurons


def _least(config, neurons, weights):
    """A bound from below of the numbers in a file, exact for places of mlp and vit; neurons are those of a copy."""
    if config.get("model") == "compact":
        return _least_of_compact(config, neurons, weights)
    if config.get("weights"):
        return neurons if config.get("rank") else weights
    if config.get("model") == "lenet5":
        return int(config["copies_fc"]) * int(config["dim"]) * sum(_lenet5(config))
    return int(config["copies"]) * int(config["dim"]) * neurons


def _lenet5(config):
    """Widths of the full layers of lenet5."""
    return 400, 120, 84, int(config.get("classes", 10))


def _sizes(config):
    """Neurons of a copy, the weights that are held at once, and all weights."""
    if config.get("model") == "compact":
        return _compact_sizes(config)
    if config.get("model") != "vit":
        widths = [int(width) for width in config.get("widths", _lenet5(config))]
        products = [a * b for a, b in zip(widths, [*widths[1:], 1], strict=True)]
        return sum(widths), max(products), sum(products)
    names = ("image", "channels", "patch", "width", "depth", "hidden", "classes")
    image, channels, patch, width, depth, hidden, classes = (int(config[name]) for name in names)
    embedding = width * (channels * patch**2 + (image // patch) ** 2)
    weights = depth * width * (4 * width + 2 * hidden) + width * classes + embedding
    return width + depth * (5 * width + hidden) + classes, weights, weights


def _compact_sizes(config):
    channels, depth = int(config["channels"]), int(config["depth"])
    separable, between = config["form"] == "separable", depth - 1
    populations = int(config["populations"])
    ends = min(depth, populations) if populations else 2 * between
    rows = 1 if separable else {"one": 1, "half": 3, "full": 6}[config["sets"]]
    weights = channels**2 if separable else 9 * channels**2
    every = between * (weights + 9 * channels * separable)
    return ends * rows * channels, weights, every + _ends_of_compact(config)


def _ends_of_compact(config):
    """Ordinary weights of the first convolution and of the full layer at the end."""
    return int(config["channels"]) * (9 * int(config["image"][0]) + int(config["classes"]))


def _least_of_compact(config, neurons, weights):
    """Numbers of a compact network, but for lambdas of full sets, offsets and what is depthwise."""
    channels, between, rank = int(config["channels"]), int(config["depth"]) - 1, config.get("rank")
    rest = _ends_of_compact(config) + 2 * channels * (between + 1)  # with a factor and an offset a channel of norms
    if not config.get("weights"):
        copies = int(config["copies"])
        return rest + copies * int(config["dim"]) * neurons + between * copies
    if rank:
        columns = weights // channels
        return rest + between * min(int(rank), channels, columns) * (channels + columns)
    return rest + between * weights
