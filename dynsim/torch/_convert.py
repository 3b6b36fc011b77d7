"""Conversion of a trained module: places are fitted to its weights, layer after layer, under a common budget."""

from __future__ import annotations

import copy
import time

from torch import nn

from dynsim._check import as_count, as_number
from dynsim.kernels import Kernel
from dynsim.learning import fit_weights

from ._checkpoint import Finished
from ._macs import count_macs
from ._matching import Matching
from ._norms import correct, expectations
from ._plan import floats_of, plan_budget, sets_of
from ._replace import particles_of
from ._report import Report, converted, ordinary
from ._walk import replace, split_attention, walk

# A fit begins with places about as large as the length. Both numbers are units, of places and of lambda; with these
# places are of size 2 to 6 and lambdas of 50 or more.
DEFAULT = Kernel("gaussian", scale=0.01, length=6.0)
COPIES = (2, 4)  # that are tried under a budget
TRIAL, LEAST = 0.3, 12  # share of the steps that a trial fit takes, and how many it needs to tell forms apart


def convert(
    module,
    *,
    budget=None,
    copies=None,
    dim=None,
    rank=None,
    kernel=None,
    sets="half",
    include=None,
    exclude=None,
    data=None,
    example=None,
    steps=40,
    restarts=1,
    seed=0,
    norms=True,
    progress=None,
    checkpoint=None,
):
    """Turn the full layers, convolutions, embeddings and attention of a trained module into particles.

    Parameters
    ----------
    module : torch.nn.Module
        Not changed.
    budget : float, optional
        Floats of the layers considered, as a share of their weights; 0.5 if neither it nor `dim` is given. Each layer
        gets its dimension, a low-rank part beside the particles where short fits show that one is better, or keeps its
        weights, such that the sum of the layers' relative errors is least.
    copies : int or list of int, optional
        H. Of several the best is chosen layer by layer, by short fits under a budget; 2 and 4 if none is given. With
        `dim` one number, 2 by default.
    dim : int, optional
        d for every layer instead of a budget; a layer that would not become smaller keeps its weights.
    rank : int, optional
        Rank of the part beside the particles: with `dim` 0 unless given; with a budget, 0 forbids such parts.
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
    example : Tensor, optional
        A batch of inputs with which multiply-accumulates are counted; without it, the first batch of the data.
    steps : int
        Gauss-Newton steps of a fit.
    restarts : int
        Starts of each fit, of which the best is kept.
    seed : int
    norms : bool
        Correct the averages of batch norms behind converted layers: by what the norms before them say of their inputs,
        or by what the averages on the data differ from the original's.
    progress : callable, optional
        Called with (layer name, fits done, fits in all).
    checkpoint : path, optional
        Keep finished fits in this file, and take them from there when called again with the same arguments.

    Returns
    -------
    (torch.nn.Module, Report)

    Raises
    ------
    ValueError, TypeError
        If an argument is out of range, a pattern fits no layer, or the checkpoint is of other weights.

    Examples
    --------
    >>> from torch import nn
    >>> module, report = convert(nn.Sequential(nn.Linear(20, 16), nn.ReLU(), nn.Linear(16, 20)), copies=2, dim=2)
    >>> [layer.floats for layer in report.layers]
    [162, 166]
    """
    if not isinstance(module, nn.Module):
        raise TypeError(f"module: got {type(module).__name__}; expected a torch.nn.Module.")
    if budget is not None and dim is not None:
        raise ValueError("budget: got one and a dim; expected one of the two.")
    began = time.perf_counter()
    copies, steps = _copies(copies, dim), as_count(steps, "steps")
    kernels = list(kernel) if isinstance(kernel, (list, tuple)) else [kernel or DEFAULT]
    original, module = module, copy.deepcopy(module)
    entries = walk(module, include, exclude)
    todo = [entry for entry in entries if not entry.reason]
    fits = _Fits(todo, sets, steps, restarts, seed, progress, Finished(checkpoint))
    if dim is not None:
        dim, rank = as_count(dim, "dim"), as_count(rank or 0, "rank", 0)
        plan = {entry.name: (copies[0], dim, rank, kernels) for entry in todo}
    else:
        budget = as_number(0.5 if budget is None else budget, "budget", above=0)
        plan = plan_budget(todo, budget, copies, rank, kernels, sets, fits)
    modes = {name: part.training for name, part in module.named_modules()}
    matching = None if data is None else _matching(original, module, data, norms)
    if example is None and matching is not None:
        example = matching.batches[0]
    macs = {} if example is None else count_macs(module, example)
    known = expectations(module) if norms and data is None else {}
    layers, corrected = [], 0
    fits.total = fits.done + len(todo)
    for entry in entries:
        form = plan.get(entry.name)
        floats = None if form is None else floats_of(entry, form, sets)
        if floats is not None and floats >= entry.size:
            entry.reason = f"kept: particles would be {floats:,} floats for {entry.size:,} weights"
        if entry.reason:
            layers.append(ordinary(entry, macs.get(entry.name)))
            continue
        goal = None if matching is None else matching.goal(entry)
        fitted, chosen = min((fits(entry, form, some, goal=goal) for some in form[3]), key=lambda pair: pair[0].error)
        new = particles_of(entry.module, fitted, chosen, sets_of(entry, sets))
        if entry.name in known:
            norm, mean, variance = known[entry.name]
            weights = (part.detach().cpu().numpy() for part in (entry.module.weight, new.materialize()))
            correct(norm, *weights, mean, variance)
            corrected += 1
        for name in entry.names:
            replace(module, name, new)
        layers.append(converted(entry, fitted, chosen, new, macs.get(entry.name)))
    if matching is not None:
        corrected = matching.settle()
        for name, mode in modes.items():
            module.get_submodule(name).train(mode)
    copies = copies if dim is None else copies[0]
    options = {"budget": budget, "copies": copies, "dim": dim, "steps": steps, "seed": seed, "norms": corrected}
    return module, Report(layers, time.perf_counter() - began, options)


def _matching(original, module, data, norms):
    """Both in evaluation mode, with attention split into the same layers."""
    original = copy.deepcopy(original).eval()
    split_attention(original)
    module.eval()
    return Matching(original, module, data, norms)


def _copies(copies, dim):
    """The numbers of copies to try, as a list."""
    if copies is None:
        copies = COPIES if dim is None else COPIES[:1]
    several = list(copies) if isinstance(copies, (list, tuple)) else [copies]
    several = sorted({as_count(number, "copies") for number in several})
    if not several or (dim is not None and len(several) > 1):
        raise ValueError(f"copies: got {copies!r}; expected one number{'' if dim is None else ' beside dim'}.")
    return several


class _Fits:
    """Fits of layers, each done once; told to the caller and kept in a file."""

    def __init__(self, todo, sets, steps, restarts, seed, progress, finished):
        self.sets, self.steps, self.restarts, self.seed = sets, steps, restarts, seed
        self.progress, self.finished, self.done, self.total = progress, finished, 0, len(todo)

    def __call__(self, entry, form, kernel, trial=False, goal=None):
        copies, dim, rank, _ = form
        options = {"copies": copies, "dim": dim, "rank": rank, "sets": sets_of(entry, self.sets), "seed": self.seed}
        options["steps"] = min(self.steps, max(LEAST, round(TRIAL * self.steps))) if trial else self.steps
        options["restarts"] = 1 if trial else self.restarts
        weights, moments = (entry.weights, None) if goal is None else goal
        fitted = self.finished.find(entry.name, weights, kernel, options)
        if fitted is None:
            fitted = fit_weights(weights, kernel, moments=moments, **options)
            self.finished.keep(entry.name, weights, kernel, options, fitted)
        self.done += 1
        if self.progress is not None:
            self.progress(entry.name, self.done, self.total)
        return fitted, kernel
