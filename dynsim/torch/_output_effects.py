"""How much the answers of a network change when one of its weights is not quite what it was."""

from __future__ import annotations

import copy
from collections.abc import Mapping

import numpy.typing as npt
import torch
from torch import Tensor, fx, nn

from ._batches import first_of, inputs_of, length_of, mapped, scores_of, send
from ._input_shapes import batch_of
from ._layer_list import LayerEntry, named_weights
from ._watching import Watcher, evaluating, watch

WORK = 4e12  # multiply-accumulates of all passes together, at most, and inputs of a pass
FEWEST, MOST = 4, 256


@torch.no_grad()
def output_effects(
    original: nn.Module, changed: Mapping[str, tuple[LayerEntry, npt.NDArray]], batch
) -> dict[str, float]:
    """{name: |y' - y|^2 / |y - mean y|^2}, y the answers to a batch and y' those with one weight replaced.

    `changed` has for each weight its entry and what replaces it, as (T, S, n, m). Norms take the averages of the batch
    in both, as they are corrected later. Of the batch so many inputs are taken as a bounded amount of work allows.

    Examples
    --------
    >>> from dynsim.torch import list_layers
    >>> net = nn.Sequential(nn.Linear(4, 4, bias=False), nn.Linear(4, 2, bias=False))
    >>> changed = {entry.name: (entry, 2 * entry.weights) for entry in list_layers(net)}
    >>> effects = output_effects(net, changed, torch.tensor([[1.0, 2.0, 3.0, 4.0], [-1.0, -2.0, -3.0, -4.0]]))
    >>> {name: round(effect, 5) for name, effect in effects.items()}
    {'0': 1.0, '1': 1.0}
    """
    net = copy.deepcopy(original)
    weights, macs = named_weights(net), []
    whole = isinstance(net, fx.GraphModule) and batch_of(net) is not None  # a program of one number of inputs only
    batch = inputs_of(batch) if whole else first_of(batch, MOST)
    watch(net, [batch], weights=weights, seen=lambda use: macs.append(use.macs))
    each = sum(macs) / length_of(batch)
    if not whole:
        batch = first_of(batch, max(FEWEST, int(WORK / max(1.0, each * len(changed)))))
    before = _answers(net, batch)
    size = float((before - before.mean(0)).square().sum()) or 1.0
    found = {}
    for name, (entry, replacement) in changed.items():
        weight = weights[name]
        kept = weight.clone()
        weight.copy_(entry.layout.from_sets(torch.from_numpy(replacement)))
        found[name] = float((_answers(net, batch) - before).square().sum()) / size
        weight.copy_(kept)
    return found


def _answers(net, batch) -> Tensor:
    with evaluating(net), Watcher({}, {}, lambda use: None, own=True):
        answers = scores_of(send(net, mapped(batch, Tensor.clone))).double()  # a network may change its input
    return answers.reshape(-1, answers.shape[-1] if answers.dim() > 1 else 1)
