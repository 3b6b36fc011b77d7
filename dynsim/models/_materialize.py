"""From particles to weights: the ordinary network that says the same."""

from __future__ import annotations

from dynsim._check import as_like

from ._build import build


def materialize(model):
    """Return the ordinary network whose weights are those that the places of `model` stand for.

    A low-rank network becomes one of full weights, too; an ordinary network is copied.

    Examples
    --------
    >>> import numpy as np
    >>> from dynsim.models import mlp
    >>> model = mlp(widths=(4, 3, 2), copies=2, dim=3)
    >>> ordinary = materialize(model)
    >>> sorted(parameter.kind for parameter in ordinary.parameters.values())
    ['bias', 'bias', 'norm', 'norm', 'weights', 'weights']
    >>> images = np.ones((5, 1, 2, 2))
    >>> bool((ordinary.scores(images) == model.scores(images)).all())
    True
    """
    as_like(model, ("config", "layers", "results"), "Model", "model")
    ordinary = build({**model.config, "weights": True, "rank": None})
    ordinary.results = dict(model.results)
    for layer, plain in zip(model.layers, ordinary.layers, strict=True):
        if hasattr(layer, "materialize"):
            plain.weights.value[...] = layer.materialize()
            plain.bias.value[...] = layer.bias.value
            continue
        for name, parameter in layer.parameters.items():
            plain.parameters[name].value[...] = parameter.value
        for name, buffer in getattr(layer, "buffers", {}).items():
            plain.buffers[name][...] = buffer
    return ordinary
