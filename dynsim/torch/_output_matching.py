"""Targets of layers, measured on the signals of a few batches (see `dynsim.learning.ridge_target`)."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt
import torch
from torch import nn
from torch.nn import functional

from dynsim._check import refusal
from dynsim.learning import ridge_target

from ._exchange import LayerEntry
from ._modules import padding_sides

LARGEST = 8192  # inputs of a layer, patches counted, whose moments are held
NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)


class Matching:
    """The original and the module as far as it is converted, and batches of inputs to send through both.

    Both are in evaluation mode. Batch norms of the module (all, or none with `norms=False`) are corrected in the order
    in which they are called, each before the first layer behind it is matched: by what the module's averages on the
    batches differ from the original's, so that an average over few inputs is not taken for one over all.
    """

    def __init__(self, original: nn.Module, module: nn.Module, *, batches: Iterable, norms: bool = True):
        self.original, self.module = original, module
        self.batches = [batch[0] if isinstance(batch, (list, tuple)) else batch for batch in batches]
        if not self.batches:
            raise refusal("data", "no batches", "an iterable of batches of inputs")
        self.calls = _called(original, self.batches[0])
        found = {name: original.get_submodule(name) for name in self.calls}
        names = [name for name, part in found.items() if isinstance(part, NORMS) and part.track_running_stats]
        self.waiting, self.corrected = names if norms else [], 0
        self.averages = _averages(original, self.waiting, self.batches)

    def target(self, entry: LayerEntry) -> tuple[npt.NDArray, npt.NDArray] | None:
        """Target (T, S, n, m) and moments (T S m, T S m) of a layer, or None where they cannot be measured."""
        self.correct_averages(entry.name)
        t, s, n, m = entry.shape
        size = t * s * m
        grouped = entry.kind == "conv" and entry.module.groups > 1
        if entry.kind == "embedding" or grouped or size > LARGEST:
            return None
        total, sums, count = np.zeros((2, size, size)), np.zeros((2, size)), 0
        for batch in self.batches:
            before, now = (_seen(net, entry.name, batch) for net in (self.original, self.module))
            if before is None or now is None:
                return None
            before, now = _rows(entry, before), _rows(entry, now)
            total += np.stack([now.T @ now, before.T @ now])
            sums += np.stack([now.sum(0), before.sum(0)])
            count += len(now)
        means = sums / count
        moments = total / count - np.einsum("ka,b->kab", means, means[0])
        weights = entry.weights.transpose(2, 0, 1, 3).reshape(n, size).astype(np.float64)
        target, metric = ridge_target(weights, moments[0], cross=moments[1], count=count)
        target = target.reshape(n, t, s, m).transpose(1, 2, 0, 3)
        return np.ascontiguousarray(target, entry.weights.dtype), metric.astype(entry.weights.dtype)

    def correct_averages(self, until: str | None = None) -> int:
        """Correct the batch norms called before the layer `until` (all, by default); returns how many are corrected."""
        end = self.calls.index(until) if until in self.calls else (len(self.calls) if until is None else 0)
        while self.waiting and self.calls.index(self.waiting[0]) < end:
            name = self.waiting.pop(0)
            (mean, variance), norm = self.averages[name], self.module.get_submodule(name)
            there, spread = _averages(self.module, [name], self.batches)[name]
            ratio = torch.where(variance > 0, spread / variance, 1.0)
            # The distance of the batches' mean from that of all inputs scales as the signals do.
            average = there + (norm.running_mean.double() - mean) * ratio.sqrt()
            norm.running_mean.copy_(average)
            norm.running_var.mul_(ratio.to(norm.running_var.dtype))
            self.corrected += 1
        return self.corrected


def _called(net, batch):
    """Names of the parts without parts of their own, in the order in which they are first called."""
    names, hooks = [], []
    for name, part in net.named_modules():
        if not list(part.children()):
            hooks.append(part.register_forward_pre_hook(lambda part, inputs, name=name: names.append(name)))
    _send(net, [batch], hooks)
    return list(dict.fromkeys(names))


def _averages(net, names, batches):
    """{name: (mean, variance)} of the channels that reach batch norms, in float64."""
    sums, hooks = {name: 0.0 for name in names}, []
    for name in names:

        def add(part, inputs, name=name):
            x = inputs[0].detach().double().transpose(0, 1).flatten(1)
            count = torch.full((len(x),), float(x.shape[1]), dtype=x.dtype, device=x.device)
            sums[name] = sums[name] + torch.stack([count, x.sum(1), x.square().sum(1)])

        hooks.append(net.get_submodule(name).register_forward_pre_hook(add))
    _send(net, batches, hooks)
    found = {}
    for name, (count, total, squares) in sums.items():
        mean = total / count
        found[name] = mean, (squares / count - mean.square()).clamp(min=0)
    return found


def _send(net, batches, hooks):
    try:
        with torch.no_grad():
            for batch in batches:
                net(batch)
    finally:
        for hook in hooks:
            hook.remove()


def _seen(net, name, batch):
    """The input of a layer when a batch passes, or None if it is never called with one tensor."""
    found = []
    hook = net.get_submodule(name).register_forward_pre_hook(lambda part, inputs: found.append(inputs[0].detach()))
    _send(net, [batch], [hook])
    return found[0] if len(found) == 1 else None


def _rows(entry, x):
    """Inputs as rows (examples, T S m) in float64, the patches of a convolution in the order (row, column, channel)."""
    part = entry.module
    if entry.kind == "linear":
        return x.reshape(-1, x.shape[-1]).double().numpy()
    padding = part.padding
    if isinstance(padding, str) or part.padding_mode != "zeros":
        x = functional.pad(x, padding_sides(part), "constant" if part.padding_mode == "zeros" else part.padding_mode)
        padding = 0
    patches = functional.unfold(x, part.kernel_size, part.dilation, padding, part.stride)
    t, s, _, m = entry.shape
    columns = patches.reshape(len(x), m, t, s, -1).permute(0, 4, 2, 3, 1)
    return columns.reshape(-1, t * s * m).double().numpy()
