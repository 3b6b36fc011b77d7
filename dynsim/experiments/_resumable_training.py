"""Training of a task: options as a recipe names them, begun or gone on with; and pruning to a number of weights."""

from __future__ import annotations

from collections.abc import Callable
from inspect import signature
from pathlib import Path
from typing import Any

import numpy as np

from dynsim import learning
from dynsim.errors import DataError, FileError
from dynsim.models import Model


def training_options(given: dict) -> dict:
    """Return options of `dynsim.train` for those of a recipe, among which are those of `dynsim.learning.Augment`.

    >>> training_options({"epochs": 3, "shift": 0.0})
    {'epochs': 3}
    """
    options = dict(given)
    changes = {name: options.pop(name) for name in signature(learning.Augment).parameters if name in options}
    if any(changes.values()):
        options["augment"] = learning.Augment(**changes)
    return options


def train_on(build: Callable[[], Model], data: Any, *, checkpoint: Path, **options: Any) -> tuple:
    """Train what `build` returns, from the checkpoint if there is one of this training; returns model and result."""
    model = build()
    try:
        return model, learning.train(model, data, checkpoint=checkpoint, resume=checkpoint.exists(), **options)
    except (FileError, DataError, ValueError) as error:
        if not checkpoint.exists() or "checkpoint" not in str(error):
            raise
        checkpoint.unlink()  # of an earlier version of this task: begin anew
        model = build()
        return model, learning.train(model, data, checkpoint=checkpoint, **options)


def prune_largest(model: Model, kept: int) -> Model:
    """Prune the model to so many of its weights, the largest in size over all layers; returns it.

    >>> from dynsim.models import mlp, numbers
    >>> model = mlp((4, 3, 2), weights=True)
    >>> numbers(prune_largest(model, 5)) == numbers(mlp((4, 3, 2), weights=True)) - (12 + 6 - 5)
    True
    """
    weights = [parameter for parameter in model.parameters.values() if parameter.kind == "weights"]
    sizes = np.concatenate([np.abs(parameter.value).ravel() for parameter in weights])
    mask = np.zeros(len(sizes), bool)
    mask[np.argsort(-sizes, kind="stable")[:kept]] = True  # stable: of equal ones the first, so it can be repeated
    ends = np.cumsum([parameter.value.size for parameter in weights])[:-1]
    for parameter, part in zip(weights, np.split(mask, ends), strict=True):
        parameter.prune(part.reshape(parameter.value.shape))
    return model
