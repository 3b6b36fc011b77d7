"""A network that answers again and again: its layers' weights, or the order of their places, are made once."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from dynsim._check import as_array, as_count

IMAGES = 500  # that pass at once


class PreparedModel:
    """A frozen network, as `Model.prepare` returns it: training the model further does not change this one.

    Attributes
    ----------
    layers : list
        What `Layer.prepare` returned; each says by its `inference` how it computes.

    Examples
    --------
    >>> import numpy as np, dynsim
    >>> model = dynsim.models.mlp(widths=(64, 10), copies=2, dim=2)
    >>> prepared = model.prepare("dense")
    >>> bool((prepared(np.zeros((3, 1, 8, 8), np.float32)) == model.forward(np.zeros((3, 1, 8, 8), np.float32))).all())
    True
    """

    def __init__(self, layers: Sequence[Callable], preprocess: Callable | None, dtype: npt.DTypeLike):
        self.layers, self._preprocess, self._dtype = list(layers), preprocess, dtype

    def __repr__(self):
        return f"PreparedModel({', '.join(map(repr, self.layers))})"

    def __call__(self, images: npt.NDArray) -> npt.NDArray:
        """Return scores (batch, classes) of images (batch, channels, height, width)."""
        signals = images if self._preprocess is None else self._preprocess(images)
        bypass = {}  # of this call: several threads may call
        for layer in self.layers:
            signals = layer(signals, bypass)
        return signals

    def scores(self, images: npt.ArrayLike, batch: int = IMAGES) -> npt.NDArray:
        """Return scores (n, classes) of images (n, channels, height, width), computed in batches; of none (0, 0).

        Raises
        ------
        ValueError
            If the images do not fit.
        """
        images = as_array(images, "images", ("n", "channels", "height", "width"), dtype=self._dtype)
        batch = as_count(batch, "batch")
        parts = [self(images[start : start + batch]) for start in range(0, len(images), batch)]
        return np.concatenate(parts) if parts else np.zeros((0, 0), self._dtype)

    def predict(self, images: npt.ArrayLike) -> npt.NDArray:
        """Return the most likely class (n,) of every image."""
        scores = self.scores(images)
        return scores.argmax(axis=1) if len(scores) else np.zeros(0, np.int64)
