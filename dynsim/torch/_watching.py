"""What a network does with its weights, seen at PyTorch's operations while batches pass.

Nothing is concluded from classes, names or graphs: a weight is known by its memory, in whatever view an operation gets
it, and so are the averages of a batch norm.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from ._batches import mapped, send

aten = torch.ops.aten
# Which one PyTorch takes depends on the device; the first arguments of all are (input, weight, bias, running mean,
# running variance, training).
NORMS = (aten.native_batch_norm.default, aten.cudnn_batch_norm.default, aten.miopen_batch_norm.default)


class Product(NamedTuple):
    """A weight in use: `signal` are rows (examples, inputs) of a full layer, or what a convolution is given.

    `options` are (stride, padding, dilation, transposed, output padding, groups) of a convolution, empty of what is
    neither, and None of a full layer, whose weight was given as (inputs, outputs) where `across` is true. `macs` counts
    its multiply-accumulates.
    """

    name: str
    signal: Tensor
    output: Tensor
    across: bool
    options: tuple | None
    macs: int


@dataclass
class Norm:
    """A batch norm in use: its averages, and what is normalised (batch, channels, ...)."""

    name: str
    signal: Tensor


class Watcher(TorchDispatchMode):
    """Calls `seen` with every `Product` and `Norm`; with `own`, norms take the averages of the batch instead of theirs.

    Parameters
    ----------
    weights, norms : dict of str to Tensor
        Weights, and the averages (running_mean) of norms.
    seen : callable
    own : bool
    """

    def __init__(self, weights: Mapping[str, Tensor], norms: Mapping[str, Tensor], seen: Callable, own: bool = False):
        super().__init__()
        self.weights = {_memory(tensor): (name, tensor) for name, tensor in weights.items()}
        self.norms = {_memory(tensor): name for name, tensor in norms.items()}
        self.seen, self.own = seen, own

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        if func in NORMS and args[3] is not None:
            return self._norm(func, args, kwargs or {})
        output = func(*args, **(kwargs or {}))
        for place, argument in enumerate(args):
            if self._is_weight(argument):
                product = self._product(func, place, args, output)
                if product is not None:
                    self.seen(product)
                break
        return output

    def _is_weight(self, argument):
        if not self.weights or not isinstance(argument, Tensor) or argument.layout != torch.strided:
            return False
        return argument.dim() > 1 and _memory(argument) in self.weights

    def _norm(self, func, args, kwargs):
        name = self.norms.get(_memory(args[3]))
        if name is not None:
            self.seen(Norm(name, args[0].detach()))
        if self.own:
            args = (*args[:3], None, None, True, *args[6:])
        return func(*args, **kwargs)

    def _product(self, func, place, args, output):
        name, weight = self.weights[_memory(args[place])]
        if func in (aten.mm.default, aten.addmm.default) and place == len(args) - 1:
            rows, columns = args[place - 1], args[place]
            across = columns.stride() == weight.stride() and columns.shape == weight.shape
            return Product(name, rows.detach(), output, across, None, len(rows) * columns.numel())
        if func is aten.convolution.default and place == 1:
            each = args[0] if args[6] else output  # transposed ones spread every number of their input
            return Product(name, args[0].detach(), output, False, tuple(args[3:9]), each.numel() * weight[0].numel())
        if func is aten.embedding.default:
            return Product(name, args[1], output, False, (), 0)
        if func is aten.mkldnn_rnn_layer.default:
            steps = args[0].numel() // args[0].shape[-1]
            for argument in args[1:3]:
                found = self.weights.get(_memory(argument))
                if found is not None:
                    self.seen(Product(found[0], args[0].detach(), output[0], False, (), steps * argument.numel()))
        return None


def _memory(tensor):
    return tensor.untyped_storage().data_ptr(), tensor.device


@contextmanager
def evaluating(*nets: nn.Module):
    """A context in which networks evaluate, by operations that can be watched; afterwards their modes are as before."""
    modes = [(part, part.training) for net in nets for part in net.modules()]
    fast = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        for part, _ in modes:
            part.training = False
        with torch.no_grad():
            yield
    finally:
        torch.backends.mha.set_fastpath_enabled(fast)
        for part, mode in modes:
            part.training = mode


class _Reached(Exception):
    """All that was to be seen in a pass is seen."""


def watch(net: nn.Module, batches, *, weights=(), norms=(), seen: Callable, own: bool = False, expected=None) -> None:
    """Send batches through a network that evaluates, and call `seen` with what the named weights and norms do.

    `expected` are the numbers of uses, one for every batch, after which its pass may end; without it all end as usual.

    Examples
    --------
    >>> net, found = nn.Sequential(nn.Linear(3, 2)), []
    >>> watch(net, [torch.zeros(5, 3)], weights={"0": net[0].weight}, seen=found.append)
    >>> [(product.name, product.macs) for product in found]
    [('0', 30)]
    """
    left = None

    def told(use):
        nonlocal left
        seen(use)
        left = None if left is None else left - 1
        if left == 0:
            raise _Reached

    with evaluating(net), Watcher(dict(weights), dict(norms), told, own):
        for number, batch in enumerate(batches):
            left = expected[number] or None if expected else None
            try:
                send(net, mapped(batch, Tensor.clone))  # a network may change its input
            except Exception:  # as TorchScript says it, too
                if left != 0:
                    raise
