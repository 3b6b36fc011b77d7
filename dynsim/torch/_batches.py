"""Batches of inputs as people have them, and the answers of networks: tensors, tuples, tables, dataclasses."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from itertools import chain

import torch
from torch import Tensor, nn

from dynsim._check import refusal

SCORES = ("logits", "last_hidden_state")  # of tables, as HuggingFace's networks answer


def inputs_of(batch, name="data"):
    """What a network is called with: a table's entries by name, the first of a tuple, or the tensor itself."""
    if isinstance(batch, (tuple, list)):
        if not batch:
            raise refusal(name, "an empty tuple as a batch", "inputs, alone or as the first of a tuple")
        batch = batch[0]
    if not isinstance(batch, (Tensor, Mapping)):
        raise refusal(name, f"a batch that is a {type(batch).__name__}", "a tensor, a tuple or a table of tensors")
    return batch


def send(net: nn.Module, batch):
    """The answer of a network to a batch; tensors that are on none of the network's devices are moved to its first.

    Examples
    --------
    >>> import torch
    >>> send(nn.Linear(3, 2), {"input": torch.zeros(4, 3)}).shape
    torch.Size([4, 2])
    """
    inputs = inputs_of(batch)
    devices = [tensor.device for tensor in chain(net.parameters(), net.buffers()) if not tensor.is_meta]
    inputs = mapped(
        inputs, lambda tensor: tensor if tensor.device in (devices or [tensor.device]) else moved(tensor, devices[0])
    )
    return net(**inputs) if isinstance(inputs, Mapping) else net(inputs)


def scores_of(answer) -> Tensor:
    """The scores in what a network answers: it, the first tensor of a tuple, or the logits of a table or dataclass."""
    if isinstance(answer, Tensor):
        return answer
    for name in SCORES:
        found = answer.get(name) if isinstance(answer, Mapping) else getattr(answer, name, None)
        if isinstance(found, Tensor):
            return found
    for found in tensors_in(answer):
        if found.is_floating_point():
            return found
    raise refusal("module", f"an answer that is a {type(answer).__name__}", "a tensor, or tensors in a tuple or table")


def tensors_in(value) -> Iterator[Tensor]:
    """All tensors of a nested batch or answer, in order."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, Mapping):
        for part in value.values():
            yield from tensors_in(part)
    elif isinstance(value, (tuple, list)):
        for part in value:
            yield from tensors_in(part)
    elif hasattr(value, "__dataclass_fields__"):
        for name in value.__dataclass_fields__:
            yield from tensors_in(getattr(value, name))


def length_of(batch, name: str = "data") -> int:
    """How many inputs a batch holds.

    Examples
    --------
    >>> import torch
    >>> length_of((torch.zeros(5, 3), torch.zeros(5)))
    5
    """
    first = next((tensor for tensor in tensors_in(inputs_of(batch, name)) if tensor.dim()), None)
    if first is None or not len(first):
        raise refusal(name, "a batch without inputs", "tensors whose first axis counts the inputs, at least one")
    return len(first)


def first_of(value, count: int):
    """The first inputs of a batch, `count` of them or all.

    Examples
    --------
    >>> import torch
    >>> first_of({"input": torch.zeros(5, 3)}, 2)["input"].shape
    torch.Size([2, 3])
    """
    return mapped(inputs_of(value), lambda tensor: tensor[:count] if tensor.dim() else tensor)


def moved(value, device):
    """The same batch on another device."""
    later = torch.device(device).type != "cpu"  # what is still on its way to memory could be read too early
    return mapped(value, lambda tensor: tensor.to(device, non_blocking=later))


def mapped(value, change: Callable):
    """A nested batch with `change` applied to every tensor."""
    if isinstance(value, Tensor):
        return change(value)
    if isinstance(value, Mapping):
        return {name: mapped(part, change) for name, part in value.items()}
    if isinstance(value, (tuple, list)):
        make = getattr(type(value), "_make", type(value))  # of named tuples
        return make(mapped(part, change) for part in value)
    return value


def parts_of(batch):
    """(inputs, labels or None, scores or None) of a batch of training: a tensor, a tuple of up to three, or a table."""
    if isinstance(batch, Mapping):
        inputs = {name: value for name, value in batch.items() if name not in ("labels", "scores")}
        return inputs, batch.get("labels"), batch.get("scores")
    if isinstance(batch, Tensor):
        return batch, None, None
    if not isinstance(batch, (tuple, list)) or not 1 <= len(batch) <= 3:
        raise refusal("loader", f"a batch that is a {type(batch).__name__}", "(inputs, labels), with scores or without")
    return (inputs_of(batch, "loader"), *[*batch[1:], None, None][:2])
