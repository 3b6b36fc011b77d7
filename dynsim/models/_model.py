"""A network: layers in a row, and what it takes to write it down."""

from __future__ import annotations

import numpy as np

from dynsim._check import as_array, as_callable, as_choice, as_count, as_instance, as_like
from dynsim.layers import INFERENCE

from ._save import save_model


class Model:
    """Layers in a row.

    Parameters
    ----------
    layers : list
        Layers of `dynsim.layers`.
    config : dict
        What built it: `{"model": name, ...}`, plain numbers and strings; `dynsim.models.build` takes it back.
    prepare : callable, optional
        Turns images (batch, channels, height, width) into the first layer's signals.
    image : tuple of int, optional
        (channels, height, width) of the images that it is made for.

    Examples
    --------
    >>> import dynsim
    >>> model = dynsim.models.mlp(widths=(64, 16, 10), copies=2, dim=3, seed=0)
    >>> import numpy as np
    >>> model.predict(np.zeros((5, 1, 8, 8))).shape
    (5,)
    """

    def __init__(self, layers, config, prepare=None, image=None):
        if not isinstance(layers, list | tuple):
            raise TypeError(f"layers: got {type(layers).__name__}; expected a list of layers.")
        for layer in layers:
            as_like(layer, ("forward", "backward"), "layer of dynsim.layers", "layers")
        self.layers, self.config = list(layers), as_instance(config, dict, "config")
        self.prepare = as_callable(prepare, "prepare")
        if image is not None and not (isinstance(image, list | tuple) and len(image) == 3):
            raise TypeError(f"image: got {type(image).__name__}; expected (channels, height, width).")
        self._image = image and tuple(as_count(size, "image") for size in image)
        self.results = {}

    @property
    def image(self):
        """(channels, height, width) of the images that it was trained on, else of those that it is made for."""
        return tuple(self.results.get("image") or self._image)

    @property
    def parameters(self):
        """Every parameter once, `{name: Parameter}`; a shared one under the name it has first."""
        named, seen = {}, set()
        for number, layer in enumerate(self.layers):
            for name, parameter in layer.parameters.items():
                if id(parameter) not in seen:
                    seen.add(id(parameter))
                    named[f"{number}.{name}"] = parameter
        return named

    @property
    def arrays(self):
        """Every stored array: the parameters' values and the running averages of norms."""
        stored = {name: parameter.value for name, parameter in self.parameters.items()}
        for number, layer in enumerate(self.layers):
            for name, value in getattr(layer, "buffers", {}).items():
                stored[f"{number}.{name}"] = value
        return stored

    def forward(self, images, training=False, inference="dense"):
        """Return scores (batch, classes) of images (batch, channels, height, width).

        `inference` is how layers of particles answer without training: dense, tiled, weight-free or auto. Ordinary
        layers have weights and use them.
        """
        as_choice(inference, INFERENCE, "inference")
        signals = images if self.prepare is None else self.prepare(images)
        for layer in self.layers:
            if hasattr(layer, "materialize"):
                signals = layer.forward(signals, training, inference)
            else:
                signals = layer.forward(signals, training)
        return signals

    def backward(self, gradient):
        """Send dL/dscores back through the layers; the parameters' gradients are added up."""
        first = self.layers[0]
        for layer in reversed(self.layers):
            if layer is first and hasattr(layer, "materialize") and gradient.ndim == 4:
                layer.backward(gradient, need_input=False)
            else:
                gradient = layer.backward(gradient)

    def scores(self, images, batch=500, inference="dense"):
        """Return scores in batches, without keeping what training needs.

        Raises
        ------
        ValueError
            If the images do not fit.
        """
        dtype = next(iter(self.parameters.values())).value.dtype
        images = as_array(images, "images", ("n", "channels", "height", "width"), dtype=dtype)
        parts = [
            self.forward(images[start : start + batch], inference=inference) for start in range(0, len(images), batch)
        ]
        return np.concatenate(parts) if parts else np.zeros((0, 0), dtype)

    def predict(self, images, inference="dense"):
        """Return the most likely class of every image."""
        return self.scores(images, inference=inference).argmax(axis=1)

    def plot(self, kind="weights", output=None, **options):
        """Draw the weights, the layers or the forces, as `dynsim.plots.plot`; returns the matplotlib Figure."""
        import dynsim  # the top of the house knows where figures are drawn

        return dynsim.plots.plot(self, kind, output, **options)

    def save(self, path):
        """Write the model to one HDF5 file, replacing it in one step."""
        save_model(self, path)
