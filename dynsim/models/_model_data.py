"""A data set as a model takes it."""

from __future__ import annotations

import os
from collections.abc import Callable

from dynsim import datasets
from dynsim.datasets import Dataset


def load_data_for(
    model, name: str | os.PathLike, data_dir: str | os.PathLike | None = None, *, progress: Callable | None = None
) -> Dataset:
    """Read a data set for a model: one of your own gets the model's size, channels, classes and background.

    `model` has `image`, `class_names` and `background`, as a `Model` has. The sets with a name are taken as they are.
    What was done to the images is in the `notes` of the result. Other arguments and errors are those of
    `dynsim.datasets.load`; DataError, too, for classes that the model does not know.

    >>> import dynsim
    >>> model = dynsim.models.mlp(widths=(64, 16, 10), copies=2, dim=3)
    >>> len(load_data_for(model, "digits").test_images)
    360
    """
    if name in datasets.NAMES:
        return datasets.load(name, data_dir, progress=progress)
    channels, *size = model.image or (None,)
    channels = channels if channels in (1, 3) else None
    data = datasets.load(name, data_dir, size=tuple(size) or None, channels=channels, progress=progress)
    names = model.class_names
    return data.for_model(data.class_names if names is None else names, model.background)
