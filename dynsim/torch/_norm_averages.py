"""Averages of batch norms and biases of a network whose weights were replaced, corrected by what reaches them.

A fit by least squares leaves weights that are slightly too small and outputs that are slightly shifted, and a norm with
the old averages passes both on (Nagel et al., ICCV 2019, correct biases likewise). How much is seen when inputs pass
through the original and the module. Without inputs of the user's, noise passes, every norm in both taking the averages
of the batch: behind a norm each channel then has the mean and variance that it has in use, whatever was put in.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

import torch
from torch import Tensor, fx, nn

from ._batches import send
from ._input_shapes import batch_of, only_input
from ._watching import Norm, Watcher, evaluating, watch

SIZES = (64, 32, 224, 28, 16, 8, 256, 128, 96, 48, 299, 384, 40, 24, 20, 14, 12, 10)  # of images, that are tried
PIXELS, FEWEST, MOST = 2**18, 8, 256  # of all images, and how many there are at least and at most
TEXTS, LENGTH = 64, 32  # noise for full layers: in rows, or in texts of so many tokens


def norms_of(net: nn.Module) -> dict[str, tuple[Tensor, Tensor]]:
    """{name: (running mean, running variance)} of everything that keeps both.

    Examples
    --------
    >>> list(norms_of(nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))))
    ['1']
    """
    buffers = dict(net.named_buffers())
    found = {}
    for name, mean in buffers.items():
        place, _, kind = name.rpartition(".")
        variance = buffers.get(f"{place}.running_var".lstrip("."))
        if kind == "running_mean" and mean is not None and variance is not None:
            found[place] = mean, variance
    return found


def averages(net: nn.Module, batches: Iterable, *, own: bool = False) -> dict[str, tuple[Tensor, Tensor]]:
    """{name: (mean, variance)} of the channels that reach each batch norm, in float64, in the order of first calls.

    With `own`, norms normalise by the averages of the batch.
    """
    sums = {}

    def add(use):
        if isinstance(use, Norm):
            x = use.signal.double().transpose(0, 1).flatten(1)
            count = torch.full((len(x),), float(x.shape[1]), dtype=x.dtype, device=x.device)
            sums[use.name] = sums.get(use.name, 0.0) + torch.stack([count, x.sum(1), x.square().sum(1)])

    norms = {name: mean for name, (mean, _) in norms_of(net).items()}
    watch(net, batches, norms=norms, seen=add, own=own)
    found = {}
    for name, (count, total, squares) in sums.items():
        mean = total / count
        found[name] = mean, (squares / count - mean.square()).clamp(min=0)
    return found


@torch.no_grad()
def correct_norm(norm: tuple[Tensor, Tensor], before: tuple[Tensor, Tensor], now: tuple[Tensor, Tensor]) -> None:
    """Change a norm's averages by what the averages `now` that reach it differ from those `before`, (mean, variance).

    An average over few inputs, or over noise, is so not taken for one over all.
    """
    (mean, variance), (there, spread) = norm, now
    ratio = torch.where(before[1] > 0, spread / before[1], 1.0)
    # The distance of the inputs' mean from that of all inputs scales as the signals do.
    mean.copy_(there + (mean.double() - before[0]) * ratio.sqrt())
    variance.mul_(ratio.to(variance.dtype))


def correct_norms(original: nn.Module, module: nn.Module, *, batches: Iterable | None = None) -> list[str]:
    """Correct all batch norms of a module whose weights are not quite the original's; returns the names of the others.

    Parameters
    ----------
    original, module : torch.nn.Module
    batches : iterable, optional
        Inputs; noise of a shape that the module takes without them, if one is found.

    Returns
    -------
    list of str
        Norms that no input reached, or whose averages are used in another way; all, if no noise can be sent.

    Examples
    --------
    >>> import copy
    >>> net = nn.Sequential(nn.Linear(8, 4, bias=False), nn.BatchNorm1d(4)).eval()
    >>> module = copy.deepcopy(net)
    >>> with torch.no_grad():
    ...     _ = module[0].weight.mul_(2.0)
    >>> correct_norms(net, module), module[1].running_var
    ([], tensor([4., 4., 4., 4.]))
    """
    norms = norms_of(module)
    if not norms:
        return []
    batches = noise_for(original) if batches is None else list(batches)
    if batches is None:
        return list(norms)
    before, now = (averages(net, batches, own=True) for net in (original, module))
    for name in before.keys() & now.keys():
        correct_norm(norms[name], before[name], now[name])
    return [name for name in norms if name not in before or name not in now]


def noise_for(module: nn.Module) -> list | None:
    """A batch of noise in a list, of a shape that the module takes, or None if none is found.

    The same in every call. Images are noise whose neighbouring pixels are alike, as in photographs.
    """
    generator = torch.Generator().manual_seed(0)
    weight = next((p for p in module.parameters() if p.is_floating_point()), torch.zeros(()))
    for batch in _noise(module, generator):
        batch = batch.to(weight.device, weight.dtype if batch.is_floating_point() else batch.dtype)
        try:
            with evaluating(module), Watcher({}, {}, lambda use: None, own=True):
                send(module, batch)
        except Exception:  # the module's own code, which may raise anything on inputs that it was not made for
            continue
        return [batch]
    return None


def _noise(module, generator):
    """Batches to try: of the shape that the module says it takes, or by the layer that comes first."""
    program = only_input(module) if isinstance(module, fx.GraphModule) else None
    if program is not None and program.dim():
        shape, count = tuple(size if isinstance(size, int) else LENGTH for size in program.shape[1:]), batch_of(module)
        count = count or min(max(FEWEST, PIXELS // max(1, math.prod(shape[1:]))), MOST)
        if not program.is_floating_point():
            rows = min((p.shape[0] for p in module.parameters() if p.dim() == 2), default=2)
            yield torch.randint(rows, (count, *shape), generator=generator)
        elif len(shape) == 3:
            yield _smooth((count, shape[0]), shape[1:], "bilinear", generator)
        else:
            yield torch.randn(count, *shape, generator=generator)
    usual = getattr(module, "pretrained_cfg", {}).get("input_size", (0, 0, 0))[-1]  # of a backbone of timm
    for part in module.modules():
        if isinstance(part, (nn.Conv1d, nn.Conv2d)):
            axes, mode = (1, "linear") if isinstance(part, nn.Conv1d) else (2, "bilinear")
            for size in [usual] * (usual > 0) + list(SIZES):
                count = min(max(FEWEST, PIXELS // size**axes), MOST)
                yield _smooth((count, part.in_channels), (size,) * axes, mode, generator)
            return
        if isinstance(part, nn.Linear):
            yield torch.randn(TEXTS * LENGTH, part.in_features, generator=generator)
            yield torch.randn(TEXTS, LENGTH, part.in_features, generator=generator)
            return
        if isinstance(part, nn.Embedding):
            yield torch.randint(part.num_embeddings, (TEXTS, LENGTH), generator=generator)
            return


def _smooth(shape, size, mode, generator):
    """Noise of all scales, each with the same power, of variance one."""
    total, scale = 0.0, 1
    while scale <= size[0]:
        coarse = torch.randn(*shape, *(min(scale, one) for one in size), generator=generator)
        total = total + nn.functional.interpolate(coarse, size=size, mode=mode, align_corners=False)
        scale *= 2
    return total / total.std()
