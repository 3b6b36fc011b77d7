"""Targets of layers, measured on the signals of a few batches (see `dynsim.learning.ridge_target`)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

import numpy as np
import numpy.typing as npt
import torch
from torch import fx, nn
from torch.nn import functional

from dynsim._check import refusal
from dynsim.learning import ridge_target

from ._batches import inputs_of, length_of
from ._bias_corrections import bias_of, shift_bias
from ._layer_list import LayerEntry, named_weights
from ._norm_averages import averages, correct_norm, norms_of
from ._watching import watch

LARGEST = 8192  # inputs of a layer, patches counted, whose moments are held
ROWS, NUMBERS = 2**16, 2**27  # patches of all images on which they are measured, and numbers in these (a GiB), about


class Matching:
    """The original and the module as far as it is converted, and batches of inputs to send through both.

    Batch norms of the module (all, or none with `norms=False`) are corrected in the order in which they are called,
    each before the first layer behind it is matched. With `own`, for inputs of another kind than the networks were
    trained on, norms of both take the averages of the batch, and are corrected at the end.
    """

    def __init__(
        self, original: nn.Module, module: nn.Module, *, batches: Iterable, norms: bool = True, own: bool = False
    ):
        self.original, self.module, self.own = original, module, own
        self.batches = [inputs_of(batch) for batch in batches]
        for batch in self.batches:
            length_of(batch)  # refuses what has no inputs
        if not self.batches:
            raise refusal("data", "no batches", "an iterable of batches of inputs")
        self.weights, self.means, self.biases = named_weights(original), {}, []
        self.uses = [self._uses(batch) for batch in self.batches]
        self.calls = list(sum(self.uses, Counter()))  # in the order of the first
        self.stops = not any(isinstance(part, fx.GraphModule) for part in original.modules())  # they print exceptions
        self.averages = averages(original, self.batches, own=own) if norms else {}
        self.waiting, self.corrected = list(self.averages), []

    def target(self, entry: LayerEntry) -> tuple[npt.NDArray, npt.NDArray] | None:
        """Target (T, S, n, m) and moments (T S m, T S m) of a weight, or None where they cannot be measured."""
        if not self.own:
            self.correct_averages(entry.name)
        t, s, n, m = entry.shape
        size = t * s * m
        if size > LARGEST:
            return None
        total, sums, count = np.zeros((2, size, size)), np.zeros((2, size)), 0
        for number in range(len(self.batches)):
            pair = [self._rows(net, entry, number) for net in (self.original, self.module)]
            if any(rows is None for rows in pair) or len(pair[0]) != len(pair[1]):
                return None
            before, now = pair
            total += np.stack([now.T @ now, before.T @ now])
            sums += np.stack([now.sum(0), before.sum(0)])
            count += len(now)
        means = self.means[entry.name] = sums / count
        moments = total / count - np.einsum("ka,b->kab", means, means[0])
        weights = entry.weights.transpose(2, 0, 1, 3).reshape(n, size).astype(np.float64)
        target, metric = ridge_target(weights, moments[0], cross=moments[1], count=count)
        target = target.reshape(n, t, s, m).transpose(1, 2, 0, 3)
        return np.ascontiguousarray(target, entry.weights.dtype), metric.astype(entry.weights.dtype)

    def correct_bias(self, entry: LayerEntry, before: npt.NDArray) -> None:
        """Correct a bias by what the mean output has changed, `before` being the weight (T, S, n, m) that was given."""
        if entry.name in self.means and bias_of(entry) is not None:
            flat = (w.transpose(2, 0, 1, 3).reshape(entry.shape[2], -1) for w in (entry.weights, before))
            now, then = (w.astype(np.float64) @ mean for w, mean in zip(flat, self.means[entry.name], strict=True))
            shift_bias(entry, torch.from_numpy(then - now))
            self.biases.append(entry.name)

    def correct_averages(self, until: str | None = None) -> list[str]:
        """Correct the norms called before the weight `until` (all, by default); returns those corrected so far."""
        end = self.calls.index(until) if until in self.calls else (len(self.calls) if until is None else 0)
        norms, found = norms_of(self.module), {}
        while self.waiting and self.calls.index(self.waiting[0]) < end:
            name = self.waiting.pop(0)
            if not self.own:  # what reaches a norm depends on the norms before it
                found = averages(self.module, self.batches, names=[name], expected=self._expected(name))
            elif not found:
                found = averages(self.module, self.batches, own=True)
            if name in found:
                correct_norm(norms[name], self.averages[name], found[name])
                self.corrected.append(name)
        return self.corrected

    def _uses(self, batch):
        """{name: how often} the original uses weights and norms for a batch, in the order of the first use."""
        found, norms = Counter(), {name: mean for name, (mean, _) in norms_of(self.original).items()}

        def count(use):
            found[use.name] += 1

        watch(self.original, [batch], weights=self.weights, norms=norms, seen=count, own=self.own)
        return found

    def _expected(self, name):
        """How often every batch uses a weight or norm, or None where a pass cannot be ended."""
        return [found[name] for found in self.uses] if self.stops else None

    def _rows(self, net, entry, number):
        """Inputs of a weight as rows (examples, T S m) in float64; None if it has none, or none that are rows.

        The original's weight is its parameter, the module's what it has come to. The same patches of both are taken.
        """
        weight, found = self.weights[entry.name] if net is self.original else entry.parameter, []
        most = min(ROWS, NUMBERS * entry.shape[2] // entry.size) // len(self.batches)
        generator, expected = torch.Generator().manual_seed(number), self._expected(entry.name)

        def add(use):
            found.append(_rows_of(use, entry, most, generator))

        watch(
            net, [self.batches[number]], weights={entry.name: weight}, seen=add, own=self.own,
            expected=expected and expected[number : number + 1],
        )  # fmt: skip
        return None if not found or any(rows is None for rows in found) else np.concatenate(found)


def _rows_of(use, entry, most, generator):
    """Of one use of a weight, rows of inputs; of a convolution some patches of every image, (row, column, channel)."""
    t, s, _, m = entry.shape
    if use.options is None:
        fits = use.across == (entry.layout.outputs == 1) and use.macs == len(use.signal) * entry.size
        return use.signal.double().cpu().numpy() if fits else None
    if not use.options or use.options[3] or use.options[5] != 1 or use.signal.dim() not in (3, 4):
        return None
    x, window = use.signal, tuple(entry.layout.shape[2:])
    stride, padding, dilation = (
        given * (len(window) // len(given)) for given in use.options[:3]
    )  # one, or one an axis
    if x.dim() == 3:  # a row of pixels
        x, window = x[:, :, None], (1, *window)
        stride, padding, dilation = ([neutral, *given] for neutral, given in ((1, stride), (0, padding), (1, dilation)))
    columns, places = [], use.output[0, 0].numel()
    each = max(1, -(-most // len(x)))
    for image in x:  # one after the other, as patches take t s times the memory of the images
        patches = functional.unfold(image[None], window, tuple(dilation), tuple(padding), tuple(stride))[0]
        if each < places:
            patches = patches[:, torch.randperm(places, generator=generator)[:each].to(patches.device)]
        columns.append(patches)
    patches = torch.cat(columns, 1).T.reshape(-1, m, t, s).permute(0, 2, 3, 1)
    return patches.reshape(-1, t * s * m).double().cpu().numpy()
