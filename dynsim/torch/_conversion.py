"""Conversion of a trained module: places are fitted to its weights, layer after layer, under a common budget."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path

from torch import nn

from dynsim._check import as_callable, as_choice, as_count, as_flag, as_instance, as_number, refusal
from dynsim._files import expect_output
from dynsim.kernels import Kernel

from ._allocation import CURRENCIES, KEPT, floats_of, plan_budget, sets_of
from ._batches import inputs_of, length_of
from ._bias_corrections import bias_of, correct_biases
from ._conversion_report import Report, converted_layer, ordinary_layer
from ._eight_bits import EIGHT_BITS
from ._gauge import UNITS, as_units, in_units
from ._layer_fits import LayerFits
from ._layer_list import list_layers, named_weights
from ._made_weights import copied, fold_made_weights
from ._module_measures import count_macs
from ._norm_averages import correct_norms, norms_of
from ._output_effects import output_effects
from ._output_matching import Matching
from ._random_inputs import FEWEST, are_images, bounded, random_inputs

# A fit begins with places about as large as the length. Both numbers are units, of places and of lambda; with these
# places are of size 2 to 6 and lambdas of 50 or more.
DEFAULT = Kernel("gaussian", scale=0.01, length=6.0)
COPIES = 2  # without a budget
STOPPED = "kept: the conversion was stopped before this layer"


def convert(
    module: nn.Module,
    *,
    budget: float | None = None,
    currency: str = "floats",
    copies: int | Sequence[int] | None = None,
    dim: int | None = None,
    rank: int | None = None,
    kernel: Kernel | Sequence[Kernel] | None = None,
    sets: str = "half",
    include: Sequence[str] | None = None,
    exclude: Sequence[str] | None = None,
    data: Iterable | None = None,
    synthetic: bool = True,
    example: object = None,
    steps: int = 60,
    restarts: int = 1,
    seed: int = 0,
    correct: bool = True,
    units: str | float = UNITS,
    progress: Callable | None = None,
    checkpoint: str | Path | None = None,
) -> tuple[nn.Module, Report]:
    """Turn the full layers, convolutions, embeddings and attention of a trained module into particles.

    Parameters
    ----------
    module : torch.nn.Module
        Not changed.
    budget : float, optional
        Floats of the layers considered, as a share of their weights; 0.5 if neither it nor `dim` is given. Each layer
        gets its dimension, a low-rank part beside the particles where short fits show that one is better, or keeps its
        weights, such that the network's answers change least: layers count by what an inexact weight of theirs changes
        in the answers to the data, else to random inputs.
    currency : {"floats", "bytes"}
        Of the budget. In bytes a layer may also keep its weights in 8 bits, with a step for each output neuron.
    copies : int or list of int, optional
        H. Of several the best is chosen layer by layer, by short fits under a budget; without any there are about four
        times as many as dimensions under a budget. With `dim` one number, 2 by default.
    dim : int, optional
        d for every layer instead of a budget; a layer that would not become smaller keeps its weights.
    rank : int, optional
        Rank of the part beside the particles: with `dim` 0 unless given; with a budget, 0 forbids such parts, which are
        tried with given copies only.
    kernel : Kernel or list of Kernel, optional
        Of several the best is chosen layer by layer, by short fits.
    sets : {"half", "full"}
        Of convolutions.
    include, exclude : list of str, optional
        Patterns of layer names, as `layer1.*`; all others keep their weights.
    data : iterable, optional
        A few batches of inputs (or of tuples that begin with them), without their labels. Then each layer is fitted to
        what the original makes of its inputs, given those that the layers converted before it produce, and batch norms
        on the way are corrected. Layers count in the order of the module.
    synthetic : bool
        Without data, do the same for a network of images on images made at random (`dead_leaves`), in which batch norms
        take the averages of the batch. If false, layers are fitted to their weights alone.
    example : Tensor, optional
        A batch of inputs with which multiply-accumulates are counted; without it, the first batch of the data. Images
        made at random are as large as those of the example.
    steps : int
        Gauss-Newton steps of a fit.
    restarts : int
        Starts of each fit, of which the best is kept.
    seed : int
    correct : bool
        Correct batch norms and biases by what the averages of the signals have changed: on the data, else on random
        inputs.
    units : float or "fitted"
        Of places and lambdas, which change nothing but what noise of a given absolute size does: the root mean square
        of both, or as the fit leaves them.
    progress : callable, optional
        Called as progress(done, total, name=) after every fit, with numbers of fits and the layer's name. Once it
        returns true no further layer is converted; the report says so.
    checkpoint : path, optional
        Keep finished fits in this file, and take them from there when called again with the same arguments.

    Returns
    -------
    (torch.nn.Module, Report)

    Raises
    ------
    ValueError, TypeError
        If an argument is out of range, or a pattern matches no layer.
    FileError, DataError
        If the checkpoint is damaged or another file.

    Examples
    --------
    >>> from torch import nn
    >>> module, report = convert(nn.Sequential(nn.Linear(20, 16), nn.ReLU(), nn.Linear(16, 20)), copies=2, dim=2)
    >>> [layer.floats for layer in report.layers]
    [162, 166]
    """
    as_instance(module, nn.Module, "module")
    if budget is not None and dim is not None:
        raise refusal("budget", f"{budget} and dim {dim}", "one of the two")
    as_callable(progress, "progress")
    if example is not None:
        length_of(example, "example")
    began = time.perf_counter()
    copies, steps = _copies(copies, dim), as_count(steps, "steps")
    as_choice(currency, CURRENCIES, "currency")
    units, synthetic = as_units(units), as_flag(synthetic, "synthetic")
    if dim is None:
        budget = as_number(0.5 if budget is None else budget, "budget", above=0)
    else:
        dim, rank = as_count(dim, "dim"), as_count(rank or 0, "rank", 0)
    kernels = list(kernel) if isinstance(kernel, (list, tuple)) else [kernel or DEFAULT]
    original, module = copied(module), copied(module)  # modes of the one that was given do not change
    folded = fold_made_weights(module, include=include, exclude=exclude)
    fold_made_weights(original, include=include, exclude=exclude)
    entries = list_layers(module, include=include, exclude=exclude)
    todo = [entry for entry in entries if not entry.reason]
    if checkpoint is not None:
        expect_output(checkpoint)
    matching = None if data is None else Matching(original, module, batches=data, norms=correct)
    inputs, random = _inputs(original, matching, example, synthetic) if todo else ([], False)
    if example is None and matching is not None:
        example = matching.batches[0]
    options = {"steps": steps, "restarts": restarts, "seed": seed, "progress": progress, "path": checkpoint}
    fits = LayerFits(total=len(todo), sets=sets, **options)
    if dim is not None:
        plan = {entry.name: (copies[0], dim, rank, kernels) for entry in todo}
    else:
        effects = None if not inputs else partial(output_effects, original, batch=inputs[0])
        plan = plan_budget(todo, budget, copies, rank, kernels, sets, fits, currency=currency, effects=effects)
    if random and any(form not in (EIGHT_BITS, KEPT) for form in plan.values()):
        some = bounded(original, inputs, len(todo))
        own = len(some[0]) >= FEWEST  # averages of fewer say little
        matching = Matching(original, module, batches=some, norms=correct, own=own)
    macs = {} if example is None else count_macs(module, example)
    layers, done = [], []
    fits.total = fits.done + sum(len(form[3]) for form in plan.values() if form not in (EIGHT_BITS, KEPT))
    for entry in entries:
        if fits.stopped and not entry.reason:
            entry.reason = STOPPED
        form = plan.get(entry.name)
        if not entry.reason and form == KEPT:
            entry.reason = f"kept: the budget has room for its {entry.size:,} weights"
        elif not entry.reason and form != EIGHT_BITS and floats_of(entry, form, sets) >= entry.size:
            floats = floats_of(entry, form, sets)
            entry.reason = f"kept: particles would be {floats:,} floats for {entry.size:,} weights"
        if entry.reason:
            layers.append(ordinary_layer(entry, macs.get(entry.name)))
            continue
        before = entry.weights
        if form == EIGHT_BITS:
            made = entry.round_to_eight_bits()
        else:
            target = None if matching is None else matching.target(entry)
            tried = [fits(entry, form, one, target=target) for one in form[3]]
            fitted, chosen = min(tried, key=lambda pair: pair[0].error)
            made = entry.convert(*in_units(fitted, chosen, units), sets_of(entry, sets))
            if matching is not None and correct:
                matching.correct_bias(entry, before)
        done.append(entry)
        layers.append(converted_layer(entry, before, made, macs.get(entry.name)))
    corrected, biases = _corrected(original, module, done, matching, inputs) if correct else ([], [])
    copies = copies if dim is None else copies[0]
    options = {"budget": budget, "currency": currency, "copies": copies, "dim": dim, "steps": steps, "seed": seed}
    matched = "" if matching is None else "random images" if data is None else "data"
    options |= {"units": units, "matched": matched}
    options |= {"folded": folded, "biases": len(biases), "norms": len(corrected)}
    options["norms_left"] = [name for name in norms_of(module) if name not in corrected] if correct and done else []
    options["stopped"] = any(layer.reason == STOPPED for layer in layers)
    return module, Report(layers, time.perf_counter() - began, options)


def _inputs(original, matching, example, synthetic):
    """Batches of the data, else random ones, else of the example; and whether they are images to match layers on."""
    if matching is not None:
        return matching.batches, False
    given = None if example is None else inputs_of(example)
    if given is not None and not synthetic:
        return [given], False
    found = random_inputs(original, example) or []
    return found, synthetic and bool(found) and found[0] is not given and are_images(found[0])


def _corrected(original, module, done, matching, inputs):
    """Names of the batch norms and of the weights whose biases were corrected."""
    own, known = matching is None or matching.own, set() if matching is None else set(matching.biases)
    left = [entry for entry in done if entry.name not in known and bias_of(entry) is not None]
    if not inputs or not (norms_of(module) or left or known):
        return [], []
    batches = [inputs_of(inputs[0])] if matching is None else matching.batches[:1]
    biases = correct_biases(original, module, left, named_weights(original), batches=batches, own=own) if left else []
    if matching is not None:
        return matching.correct_averages(), [*known, *biases]
    norms_left = correct_norms(original, module, batches=batches)
    return [name for name in norms_of(module) if name not in norms_left], biases


def _copies(copies, dim):
    """The numbers of copies to try, as a list; None where they follow from the budget."""
    if copies is None:
        return None if dim is None else [COPIES]
    several = list(copies) if isinstance(copies, (list, tuple)) else [copies]
    several = sorted({as_count(number, "copies") for number in several})
    if not several or (dim is not None and len(several) > 1):
        raise refusal("copies", repr(copies), "at least one number" if dim is None else "one number beside dim")
    return several
