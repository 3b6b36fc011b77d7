"""Averages of batch norms and biases of a network whose weights were replaced, corrected by what reaches them.

A fit by least squares leaves weights that are slightly too small and outputs that are slightly shifted, and a norm with
the old averages passes both on (Nagel et al., ICCV 2019, correct biases likewise). How much is seen when inputs pass
through the original and the module. Without inputs of the user's, random ones pass, every norm in both taking the
averages of the batch: behind a norm each channel then has the mean and variance that it has in use, whatever passes.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from ._random_inputs import random_inputs
from ._watching import Norm, watch


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


def averages(
    net: nn.Module, batches: Iterable, *, own: bool = False, names: Iterable[str] | None = None, expected=None
) -> dict[str, tuple[Tensor, Tensor]]:
    """{name: (mean, variance)} of the channels that reach each batch norm, in float64, in the order of first calls.

    With `own`, norms normalise by the averages of the batch. With `names`, those of these norms only, whose numbers of
    calls in every batch may be given as `expected` (see `watch`).
    """
    sums = {}

    def add(use):
        if isinstance(use, Norm):
            x = use.signal.double().transpose(0, 1).flatten(1)
            count = torch.full((len(x),), float(x.shape[1]), dtype=x.dtype, device=x.device)
            sums[use.name] = sums.get(use.name, 0.0) + torch.stack([count, x.sum(1), x.square().sum(1)])

    norms = {name: mean for name, (mean, _) in norms_of(net).items() if names is None or name in names}
    watch(net, batches, norms=norms, seen=add, own=own, expected=expected)
    found = {}
    for name, (count, total, squares) in sums.items():
        mean = total / count
        found[name] = mean, (squares / count - mean.square()).clamp(min=0)
    return found


@torch.no_grad()
def correct_norm(norm: tuple[Tensor, Tensor], before: tuple[Tensor, Tensor], now: tuple[Tensor, Tensor]) -> None:
    """Change a norm's averages by what the averages `now` that reach it differ from those `before`, (mean, variance).

    An average over few inputs, or over random ones, is so not taken for one over all.
    """
    (mean, variance), (there, spread) = norm, now
    ratio = torch.where(before[1] > 0, spread / before[1], 1.0)
    # The distance of the inputs' mean from that of all inputs scales as the signals do.
    mean.copy_(there + (mean.double() - before[0]) * ratio.sqrt())
    variance.mul_(ratio.to(variance.dtype))


def same_norms(original: nn.Module, module: nn.Module) -> bool:
    """Whether both have batch norms, and those of the same names and channels."""
    theirs, ours = ({name: mean.shape for name, (mean, _) in norms_of(net).items()} for net in (original, module))
    return bool(ours) and theirs == ours


@torch.no_grad()
def adopt_averages(original: nn.Module, module: nn.Module, batches: list) -> None:
    """Give the norms of a module those averages of the original that a few batches, passed through both, correct.

    So they are averages over all that the original has learned from, even where the batches are of another kind.
    """
    before, now = (averages(net, batches, own=True) for net in (original, module))
    theirs, ours = norms_of(original), norms_of(module)
    for name in ours:
        for average, given in zip(ours[name], theirs[name], strict=True):
            average.copy_(given)
        if name in before and name in now:
            correct_norm(ours[name], before[name], now[name])


def correct_norms(original: nn.Module, module: nn.Module, *, batches: Iterable | None = None) -> list[str]:
    """Correct all batch norms of a module whose weights are not quite the original's; returns the names of the others.

    Parameters
    ----------
    original, module : torch.nn.Module
    batches : iterable, optional
        Inputs; without them random ones of a shape that the module takes, if one is found.

    Returns
    -------
    list of str
        Norms that no input reached, or whose averages are used in another way; all, if nothing can be sent.

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
    batches = random_inputs(original) if batches is None else list(batches)
    if batches is None:
        return list(norms)
    before, now = (averages(net, batches, own=True) for net in (original, module))
    for name in before.keys() & now.keys():
        correct_norm(norms[name], before[name], now[name])
    return [name for name in norms if name not in before or name not in now]
