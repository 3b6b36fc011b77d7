"""A network: layers in a row, and the configuration that builds it again."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Sequence
from copy import deepcopy

import numpy as np
import numpy.typing as npt

from dynsim._check import as_callable, as_choice, as_count, as_instance, describe, refusal
from dynsim._plotted import Plotted
from dynsim.layers import INFERENCE, Layer, Parameter

from ._prepared_model import IMAGES, PreparedModel


class Model(Plotted):
    """Layers in a row.

    Parameters
    ----------
    layers : list
        Layers of `dynsim.layers`.
    config : dict
        What built it: `{"model": name, ...}`, plain numbers and strings; `dynsim.models.build` takes it back.
    preprocess : callable, optional
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

    figure_kind = "weights"

    def __init__(
        self,
        layers: Sequence[Layer],
        config: dict,
        *,
        preprocess: Callable | None = None,
        image: tuple[int, int, int] | None = None,
    ):
        self.layers = [as_instance(layer, Layer, "layers") for layer in as_instance(layers, list | tuple, "layers")]
        self.config = as_instance(config, dict, "config")
        self.preprocess = as_callable(preprocess, "preprocess")
        if image is not None and not (isinstance(image, list | tuple) and len(image) == 3):
            raise refusal("image", describe(image), "(channels, height, width)", error=TypeError)
        self._image = image and tuple(as_count(size, "image") for size in image)
        self.results = {}

    def facts(self) -> dict:
        """What it is shown by."""
        stored = sum(parameter.stored for parameter in self.parameters.values())
        found = {"model": self.config.get("model"), "layers": len(self.layers), "stored numbers": f"{stored:,}"}
        found["images"] = " x ".join(map(str, self.image)) if self._image else "any"
        for name in ("data", "method", "epochs"):
            if name in self.results:
                found[name] = self.results[name]
        if "test_accuracy" in self.results:
            found["test accuracy"] = f"{self.results['test_accuracy']:.2f} %"
        return found

    @property
    def image(self) -> tuple[int, int, int] | None:
        """(channels, height, width) of the images that it was trained on, or else is made for; None for any."""
        found = self.results.get("image") or self._image
        return None if found is None else tuple(found)

    @property
    def class_names(self) -> tuple[str, ...] | None:
        """Names of the classes that its scores stand for, those of the data it was trained on; None if not known."""
        names = self.results.get("class_names")
        return tuple(names) if names else None

    @property
    def background(self) -> float | None:
        """Brightness of the background of the images that it was trained on; 0, as MNIST's, if that is not known.

        None for images in colour, and for those that were not in [0, 1].
        """
        return self.results.get("background", 0.0) if self.image is None or self.image[0] == 1 else None

    @property
    def layer_names(self) -> tuple[str, ...]:
        """Names of the layers, numbered from 1 among those of a kind, as conv1, norm1, conv2, fc1.

        >>> import dynsim
        >>> dynsim.models.lenet5().layer_names[:5]
        ('conv1', 'norm1', 'conv2', 'norm2', 'flatten1')
        """
        seen, names = Counter(), []
        for layer in self.layers:
            word = layer.word or type(layer).__name__.lower()
            seen[word] += 1
            names.append(f"{word}{seen[word]}")
        return tuple(names)

    @property
    def subsystem_names(self) -> dict[str, str]:
        """{parameter: name} of all sets of places: "fc1 in" and "fc1 out" are the neurons at both ends of fc1."""
        found = {}
        for name, parameter in self.parameters.items():
            if parameter.kind == "places":
                number, _, what = name.partition(".")
                words = what.replace("places", "").replace("_", " ").split()
                found[name] = " ".join([self.layer_names[int(number)], *words])
        return found

    @property
    def parameters(self) -> dict[str, Parameter]:
        """Every parameter once, `{name: Parameter}`; a shared one under the name it has first."""
        named, seen = {}, set()
        for number, layer in enumerate(self.layers):
            for name, parameter in layer.parameters.items():
                if id(parameter) not in seen:
                    seen.add(id(parameter))
                    named[f"{number}.{name}"] = parameter
        return named

    @property
    def arrays(self) -> dict[str, npt.NDArray]:
        """Every stored array: the parameters' values and the running averages of norms."""
        stored = {name: parameter.value for name, parameter in self.parameters.items()}
        for number, layer in enumerate(self.layers):
            for name, value in layer.buffers.items():
                stored[f"{number}.{name}"] = value
        return stored

    def forward(self, images: npt.NDArray, training: bool = False, *, inference: str = "dense") -> npt.NDArray:
        """Return scores (batch, classes) of images (batch, channels, height, width).

        Without training, `inference` says how layers of particles compute their products: dense, tiled, weight-free or
        auto. Ordinary layers use their weights.
        """
        as_choice(inference, INFERENCE, "inference")
        signals = images if self.preprocess is None else self.preprocess(images)
        for layer in self.layers:
            options = {"inference": inference} if layer.placed else {}
            signals = layer.forward(signals, training, **options)
        return signals

    def backward(self, gradient: npt.NDArray):
        """Send dL/dscores back through the layers; the parameters' gradients are added up."""
        for layer in reversed(self.layers[1:]):
            gradient = layer.backward(gradient)
        self.layers[0].add_gradients(gradient)

    def prepare(self, inference: str = "auto", *, batch: int = 1) -> PreparedModel:
        """Return the network as it is now, for many calls: `prepared(images)` answers as `forward(images)`.

        Weights are made once, or none, as `Layer.prepare`; later changes of the model do not change what is returned.

        Parameters
        ----------
        inference : {"auto", "dense", "tiled", "weight-free"}
            How layers of particles compute their products; auto takes for each what is expected to be the fastest.
        batch : int
            How many images a call will have, for auto.

        Raises
        ------
        ValueError
            If `inference` is unknown, or weight-free is asked of a kernel that cannot.

        Examples
        --------
        >>> import dynsim
        >>> from dynsim.kernels import Kernel
        >>> model = dynsim.models.mlp(widths=(64, 10), copies=2, dim=2, kernel=Kernel("linear", "l1"))
        >>> model.prepare("weight-free")
        PreparedModel(Prepared(Flatten), Prepared(Full, weight-free))
        """
        as_choice(inference, INFERENCE, "inference")
        batch = as_count(batch, "batch")
        signals = np.zeros((1, *self.image), self._dtype) if inference == "auto" and self.image else None
        if signals is not None and self.preprocess is not None:
            signals = self.preprocess(signals)
        layers, bypass = [], {}
        for layer in deepcopy(self.layers):  # together: the end of a bypass knows where it begins
            columns = batch
            if layer.weighted and signals is not None:
                columns = layer.columns((batch, *signals.shape[1:]))
            layers.append(layer.keep(inference, columns))
            signals = None if signals is None else layers[-1](signals, bypass)
        return PreparedModel(layers, deepcopy(self.preprocess), self._dtype)

    def scores(self, images: npt.ArrayLike, batch: int = IMAGES, *, inference: str = "dense") -> npt.NDArray:
        """Return scores (n, classes) of images, computed in batches; the network is prepared once for all of them.

        Raises
        ------
        ValueError
            If the images do not fit.
        """
        batch = as_count(batch, "batch")
        return self.prepare(inference, batch=max(1, min(batch, len(images)))).scores(images, batch)

    def predict(self, images: npt.ArrayLike, inference: str = "dense") -> npt.NDArray:
        """Return the most likely class of every image."""
        return self.prepare(inference, batch=max(1, min(IMAGES, len(images)))).predict(images)

    @property
    def _dtype(self):
        return next(iter(self.parameters.values())).value.dtype

    def save(self, path: str | os.PathLike):
        """Write the model to one HDF5 file, as `save_model`."""
        from ._model_file import save_model

        save_model(self, path)
