"""Biases of layers whose weights were replaced, corrected by what the mean of their outputs has changed.

Behind a layer without a norm a shift of the outputs passes on to all that follows (Nagel et al., ICCV 2019).
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from ._layer_list import LayerEntry
from ._watching import Product, watch


def bias_of(entry: LayerEntry) -> nn.Parameter | None:
    """The bias that may be corrected: that of the weight, and of no other module; or None.

    Examples
    --------
    >>> from dynsim.torch import list_layers
    >>> [tuple(bias_of(entry).shape) for entry in list_layers(nn.MultiheadAttention(4, 2))]
    [(12,), (4,)]
    """
    return None if entry.shares_bias else entry.bias


@torch.no_grad()
def shift_bias(entry: LayerEntry, shift: Tensor) -> bool:
    """Add a shift (n,) to the bias of a weight; returns whether there is one."""
    bias = bias_of(entry)
    if bias is not None:
        bias += shift.to(bias)
    return bias is not None


def correct_biases(
    original: nn.Module,
    module: nn.Module,
    entries: Iterable[LayerEntry],
    weights: dict[str, Tensor],
    *,
    batches: list,
    own: bool = True,
) -> list[str]:
    """Correct the biases of converted weights, `entries`, in the order of their calls; returns their names.

    `weights` are the original's, by name; `batches` one batch, of which norms take the averages with `own`. One pass
    is enough, as outputs are shifted with the biases. Layers that are called twice stay as they are, and those whose
    outputs are more than their weight gives, as of recurrent ones.
    """
    means, entries = {}, {entry.name: entry for entry in entries}

    def multiplies(use):  # not so where a table of an embedding is read, which may be the weight of a layer, too
        return isinstance(use, Product) and use.options != ()

    def remember(use):
        if multiplies(use):
            means.setdefault(use.name, []).append(_mean(use.output))

    watch(original, batches, weights={name: weights[name] for name in entries}, seen=remember, own=own)
    corrected = []

    def correct(use):
        entry, before = entries.get(use.name), means.get(use.name, ())
        if multiplies(use) and len(before) == 1 and use.name not in corrected and bias_of(entry) is not None:
            shift = before[0] - _mean(use.output)
            if bool(torch.isfinite(shift).all()) and shift_bias(entry, shift):
                use.output.add_(shift.to(use.output).reshape(-1, *[1] * (use.output.dim() - 2)))
                corrected.append(use.name)

    now = {name: entry.parameter for name, entry in entries.items()}
    watch(module, batches, weights=now, seen=correct, own=own)
    return corrected


def _mean(output):
    """Mean of every output neuron, in float64, of rows (examples, n) or (batch, n, ...)."""
    return output.double().transpose(0, 1).flatten(1).mean(1)
