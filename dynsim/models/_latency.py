"""Latency of a model, and what the planner chooses for it, layer by layer."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np

from dynsim._check import as_count, as_instance, as_like
from dynsim.layers import choose, costs, is_sortable, median_seconds

from ._count import signals
from ._model import Model

BATCHES = (1, 64)


def ways(model: Model) -> list[str]:
    """The kinds of inference that a model allows, by its kernels.

    Examples
    --------
    >>> from dynsim.models import mlp
    >>> ways(mlp((8, 4), copies=1, dim=2))
    ['dense', 'tiled']
    """
    kernels = [layer.kernel for layer in model.layers if layer.placed]
    every = all(is_sortable(kernel) for kernel in kernels)
    return ["dense", *(["tiled"] if kernels else []), *(["weight-free"] if kernels and every else [])]


def latency(model: Model, batches: Sequence[int] = BATCHES, *, repeats: int = 15) -> dict[str, dict[int, float]]:
    """Median milliseconds of a prepared model's answer, `{inference: {batch: ms}}`, measured now on random images.

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
        found[way], prepared = {}, model.prepare(way)
        for batch in batches:
            images = generator.random((batch, *model.image)).astype(np.float32)
            found[way][batch] = 1e3 * median_seconds(partial(prepared, images), repeats)
    return found


def plan(model: Model, batches: Sequence[int] = BATCHES) -> list[dict]:
    """For every layer of particles and batch: what the planner expects (seconds) and chooses for a prepared model.

    Layers whose weights are always made, `by_weights`, leave nothing to choose and are not in it.

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
            if layer.placed and not layer.by_weights:
                sizes = layer.sizes(layer.columns((batch, *shape)))
                seconds = costs(layer.kernel, **sizes, kept=True)
                choice = choose("auto", layer.kernel, **sizes, kept=True)
                rows.append({"layer": number, "batch": batch, "sizes": sizes, "seconds": seconds, "choice": choice})
    return rows


def _batches(model, batches):
    as_like(model, ("layers", "image"), "Model", "model")
    return [as_count(batch, "batches") for batch in as_instance(batches, list | tuple, "batches")]
