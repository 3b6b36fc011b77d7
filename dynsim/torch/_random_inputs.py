"""Inputs at random of a shape that a network takes, for what is measured of it when the user gives none."""

from __future__ import annotations

import math

import torch
from torch import Tensor, fx, nn

from ._batches import inputs_of, send, tensors_in
from ._dead_leaves import dead_leaves
from ._input_shapes import batch_of, only_input
from ._module_measures import count_macs
from ._watching import Product, Watcher, evaluating

SIZES = (32, 64, 96, 128, 224, 28, 16, 8, 256, 48, 299, 384, 40, 24, 20, 14, 12, 10)  # of images, that are tried
LAST = 7  # pixels of a side of the last map of a network that takes images of any size, at least
PIXELS, FEWEST, MOST = 2**21, 8, 256  # of all images, and how many there are at least and at most
WORK = 2e13  # multiply-accumulates of all passes in which layers are matched on them, at most
KINDS = (nn.Conv1d, nn.Conv2d, nn.Linear, nn.Embedding)
TEXTS, LENGTH = 64, 32  # noise for full layers: in rows, or in texts of so many tokens


def random_inputs(module: nn.Module, example: object = None) -> list | None:
    """A batch of inputs in a list, of a shape that the module takes, or None if none is found.

    The same in every call. Images are those of `dead_leaves`, as large as the example's, else so large that the last
    map of a network that takes any size has 7 pixels a side; with an example that is not of one value they have its
    mean, deviation and range. Sounds are noise of all scales; rows and tokens are independent. A program of one number
    of images has several batches. Where the network takes none of these, an example is returned itself.

    Examples
    --------
    >>> net = nn.Sequential(nn.Conv2d(3, 4, 3, stride=4), nn.ReLU())
    >>> [tuple(batch.shape) for batch in random_inputs(net)]
    [(256, 3, 32, 32)]
    >>> [tuple(batch.shape) for batch in random_inputs(net, torch.zeros(1, 3, 224, 200))]
    [(46, 3, 224, 200)]
    """
    generator = torch.Generator().manual_seed(0)
    given = None if example is None else inputs_of(example)
    best = 0, None
    for make, any_size in _tried(module, given, generator):
        few = _fitting(module, make(2))
        last = _last_map(module, few, any_size)
        if last > best[0]:
            best = last, make
        if last >= LAST:
            break
    if best[1] is None:
        return None if given is None else [given]
    made, count = [_fitting(module, best[1](None))], batch_of(module)
    if count is not None and are_images(made[0]):
        many = _count(made[0].shape[2:]) // count
        made += [_fitting(module, best[1](None, seed)) for seed in range(1, many)]
    return made


def are_images(batch: object) -> bool:
    """Whether a batch is one of images, (count, channels, rows, columns), whose convolutions have signals to match."""
    return isinstance(batch, Tensor) and batch.dim() == 4 and batch.is_floating_point()


def _fitting(module, batch):
    """The batch on the device and in the precision of the module."""
    weight = next((p for p in module.parameters() if p.is_floating_point()), torch.zeros(()))
    return batch.to(weight.device, weight.dtype if batch.is_floating_point() else batch.dtype)


def _last_map(module, batch, any_size):
    """Pixels of the shorter side of the smallest map that a convolution makes of images, maps of one pixel left out.

    0 where the module does not take the batch, or answers with numbers that are not finite; infinite where the size is
    no guess.
    """
    found = []

    def add(use):
        if isinstance(use, Product) and use.options and use.output.dim() == 4:
            found.append(min(use.output.shape[2:]))

    weights = dict(module.named_parameters()) if any_size else {}
    try:
        with evaluating(module), Watcher(weights, {}, add, own=True):
            answers = list(tensors_in(send(module, batch.clone())))
    except Exception:  # the module's own code, which may raise anything on inputs that it was not made for
        return 0
    if not all(bool(torch.isfinite(answer).all()) for answer in answers):
        return 0
    return min((side for side in found if side > 1), default=1) if any_size else math.inf


def _tried(module, example, generator):
    """(function that makes a batch, of that many images if it is not None; whether their size is a guess)."""
    program = only_input(module) if isinstance(module, fx.GraphModule) else None
    if example is not None:
        if are_images(example):
            count, (_, channels, *size) = batch_of(module), example.shape
            yield lambda few, seed=0: _like(example, _images(count or few, channels, size, seed)), False
        return
    if program is not None and program.dim():
        shape, count = tuple(size if isinstance(size, int) else LENGTH for size in program.shape[1:]), batch_of(module)
        if not program.is_floating_point():
            rows = min((p.shape[0] for p in module.parameters() if p.dim() == 2), default=2)
            yield lambda _: torch.randint(rows, (count or _count(shape[1:]), *shape), generator=generator), False
        elif len(shape) == 3:
            yield lambda few, seed=0: _images(count or few, shape[0], shape[1:], seed), False
        else:
            yield lambda _: torch.randn(count or _count(shape[1:]), *shape, generator=generator), False
    usual = tuple(getattr(module, "pretrained_cfg", {}).get("input_size", ())[1:])  # of a backbone of timm
    first = {}
    for part in module.modules():
        first.setdefault(next((kind for kind in KINDS if isinstance(part, kind)), None), part)
    for kind, part in first.items():  # in the order of the module; the first need not be what takes the inputs
        if kind is nn.Conv1d:
            for side in SIZES:
                yield lambda _, side=side, part=part: _sounds(part.in_channels, side, generator), False
        elif kind is nn.Conv2d:
            for size in [usual] * (len(usual) == 2) + [(side, side) for side in SIZES]:
                yield lambda few, size=size, part=part: _images(few, part.in_channels, size), size != usual
        elif kind is nn.Linear:
            yield lambda _, part=part: torch.randn(TEXTS * LENGTH, part.in_features, generator=generator), False
            yield lambda _, part=part: torch.randn(TEXTS, LENGTH, part.in_features, generator=generator), False
        elif kind is nn.Embedding:
            yield lambda _, part=part: torch.randint(part.num_embeddings, (TEXTS, LENGTH), generator=generator), False


def _count(size):
    return min(max(FEWEST, PIXELS // max(1, math.prod(size))), MOST)


def _images(count, channels, size, seed=0):
    return dead_leaves(count or _count(size), channels, tuple(size), seed=seed)


def _like(example, images):
    """Images with the mean, deviation and range of an example, channel by channel, if it is not of one value."""
    values = example.detach().float().cpu().transpose(0, 1).flatten(1)
    spread = values.std(1)
    if not bool(torch.isfinite(values).all()) or not bool(spread.max() > 0):
        return images
    mean, spread, low, high = (x[:, None, None] for x in (values.mean(1), spread, values.amin(1), values.amax(1)))
    return (images * spread + mean).clamp(low, high)


def bounded(original: nn.Module, batches: list, layers: int) -> list:
    """So many of the random images as can pass through two networks for every layer with a bounded amount of work."""
    few = batches[0] if batch_of(original) else batches[0][:FEWEST]
    each = sum(count_macs(original, few).values())
    most = max(FEWEST, int(WORK / max(1, 2 * layers * each)))
    if batch_of(original):
        return batches[: max(1, most // len(few))]
    return [batches[0][:most]]


def _sounds(channels, size, generator):
    """Noise of all scales, each with the same power, of variance one."""
    total, scale = 0.0, 1
    while scale <= size:
        coarse = torch.randn(MOST, channels, scale, generator=generator)
        total = total + nn.functional.interpolate(coarse, size=size, mode="linear", align_corners=False)
        scale *= 2
    return total / total.std()
