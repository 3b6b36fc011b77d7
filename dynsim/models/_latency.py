"""How long an answer takes, and how the planner would have it, layer by layer."""

from __future__ import annotations

from functools import partial

import numpy as np

from dynsim._check import as_count, as_like
from dynsim.layers import able, choose, costs, median_seconds

from ._operations import signals

BATCHES = (1, 64)


def ways(model):
    """The kinds of inference that a model knows, by its kernels.

    Examples
    --------
    >>> from dynsim.models import mlp
    >>> ways(mlp((8, 4), copies=1, dim=2))
    ['dense', 'tiled']
    """
    kernels = [layer.kernel for layer in model.layers if hasattr(layer, "kernel")]
    every = all(able(kernel) for kernel in kernels)
    return ["dense", *(["tiled"] if kernels else []), *(["weight-free"] if kernels and every else [])]


def latency(model, batches=BATCHES, repeats=15):
    """Median milliseconds of an answer to a batch, `{way: {batch: ms}}`, measured now on random images.

    Examples
    --------
    >>> from dynsim.models import mlp
    >>> latency(mlp((8, 4), weights=True), batches=(1,), repeats=3)["dense"][1] > 0
    True
    """
    batches, repeats = _batches(model, batches), as_count(repeats, "repeats")
    generator = np.random.default_rng(0)
    found = {}
    for way in ways(model):
        found[way] = {}
        for batch in batches:
            images = generator.random((batch, *model.image)).astype(np.float32)
            answer = partial(model.forward, images, inference=way)
            found[way][batch] = 1e3 * median_seconds(answer, repeats)
    return found


def plan(model, batches=BATCHES):
    """For every layer of particles and batch: what the planner expects (seconds) and chooses.

    Returns a list of dicts with "layer", "batch", "sizes", "seconds" and "choice".

    Examples
    --------
    >>> from dynsim.layers import INFERENCE
    >>> from dynsim.models import mlp
    >>> plan(mlp((8, 4), copies=1, dim=2), batches=(1,))[0]["choice"] in INFERENCE
    True
    """
    rows = []
    for batch in _batches(model, batches):
        for number, layer, shape in signals(model):
            if hasattr(layer, "sizes"):
                sizes = layer.sizes((batch, *shape))
                seconds = costs(layer.kernel, **sizes)
                choice = choose("auto", layer.kernel, **sizes)
                rows.append({"layer": number, "batch": batch, "sizes": sizes, "seconds": seconds, "choice": choice})
    return rows


def _batches(model, batches):
    as_like(model, ("layers", "image"), "Model", "model")
    if not isinstance(batches, list | tuple):
        raise TypeError(f"batches: got {type(batches).__name__}; expected a list of whole numbers.")
    return [as_count(batch, "batches") for batch in batches]
