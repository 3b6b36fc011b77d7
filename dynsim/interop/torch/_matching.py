"""What a layer is to do to the signals that it sees, measured on a few batches.

A layer of weights V that sees x' in place of a layer of weights W that saw x is to make |V x' - W x|^2 small, means
left out (the norm or the bias behind takes them). With a ridge towards W that is |V - T|^2 weighted by M, where
M = cov(x', x') + ridge and T = (W cov(x, x') + ridge W) M^-1.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import nn
from torch.nn import functional

RIDGE = 0.1  # of the mean variance: directions that few batches do not show count this much
LARGEST = 8192  # inputs of a layer, patches counted, whose moments are held
NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)


class Matching:
    """The original and the module as far as it is converted, and batches of inputs to send through both."""

    def __init__(self, original, module, batches):
        self.original, self.module = original, module
        self.batches = [batch[0] if isinstance(batch, (list, tuple)) else batch for batch in batches]
        if not self.batches:
            raise ValueError("data: got no batches; expected an iterable of inputs.")

    def goal(self, entry):
        """Target (T, S, n, m) and moments (T S m, T S m) of a layer, or None where they cannot be measured."""
        t, s, n, m = entry.shape
        size = t * s * m
        if entry.kind == "embedding" or getattr(entry.module, "groups", 1) > 1 or size > LARGEST:
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
        ridge = RIDGE * float(np.mean(np.diag(moments[0]))) or 1.0
        metric = moments[0] + ridge * np.eye(size)
        weights = entry.weights.transpose(2, 0, 1, 3).reshape(n, size).astype(np.float64)
        target = np.linalg.solve(metric, (weights @ moments[1] + ridge * weights).T).T
        target = target.reshape(n, t, s, m).transpose(1, 2, 0, 3)
        return np.ascontiguousarray(target, entry.weights.dtype), metric.astype(entry.weights.dtype)

    def settle(self):
        """Measure the averages of all batch norms of the module anew."""
        norms = [part for part in self.module.modules() if isinstance(part, NORMS) and part.track_running_stats]
        kept, modes = [norm.momentum for norm in norms], {part: part.training for part in self.module.modules()}
        try:
            for norm in norms:
                norm.reset_running_stats()
                norm.momentum = None  # the mean of all batches
                norm.train()
            with torch.no_grad():
                for batch in self.batches:
                    self.module(batch)
        finally:
            for norm, momentum in zip(norms, kept, strict=True):
                norm.momentum = momentum
            for part, mode in modes.items():
                part.training = mode
        return len(norms)


def _seen(net, name, batch):
    """The input of a layer when a batch passes, or None if it is never called with one tensor."""
    found = []
    hook = net.get_submodule(name).register_forward_pre_hook(lambda part, inputs: found.append(inputs[0].detach()))
    try:
        with torch.no_grad():
            net(batch)
    finally:
        hook.remove()
    return found[0] if len(found) == 1 else None


def _rows(entry, x):
    """Inputs as rows (examples, T S m) in float64, the patches of a convolution in the order (row, column, channel)."""
    part = entry.module
    if entry.kind == "linear":
        return x.reshape(-1, x.shape[-1]).double().numpy()
    padding = part.padding
    if isinstance(padding, str) or part.padding_mode != "zeros":
        sides = [side for pair in reversed(_sides(part)) for side in pair]
        x = functional.pad(x, sides, "constant" if part.padding_mode == "zeros" else part.padding_mode)
        padding = 0
    patches = functional.unfold(x, part.kernel_size, part.dilation, padding, part.stride)
    t, s, _, m = entry.shape
    columns = patches.reshape(len(x), m, t, s, -1).permute(0, 4, 2, 3, 1)
    return columns.reshape(-1, t * s * m).double().numpy()


def _sides(part):
    if part.padding == "valid":
        return [(0, 0), (0, 0)]
    if part.padding == "same":
        totals = [d * (k - 1) for d, k in zip(part.dilation, part.kernel_size, strict=True)]
        return [(total // 2, total - total // 2) for total in totals]
    return [(side, side) for side in part.padding]
