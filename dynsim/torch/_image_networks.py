"""Networks of PyTorch that take images, as the functions that measure dynsim's own models take them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from dynsim._check import as_choice, refusal
from dynsim._files import replacing
from dynsim.errors import DataError

from ._batches import scores_of
from ._converted_files import load_converted
from ._input_shapes import batch_of, input_shape
from ._modules import INFERENCE, choose_inference
from ._parametrisation import derived_weights, materialize
from ._particles import Particles

PART = 100  # images that pass at once
HALF = (torch.float16, torch.bfloat16)


class StoredNumbers(NamedTuple):
    """The memory of a parameter, and what it is: "places", "strengths", "weights" or "other"."""

    value: npt.NDArray
    kind: str
    mask: None = None  # what is pruned is not known

    @property
    def stored(self) -> int:
        """How many numbers there are."""
        return self.value.size


class PreparedNetwork(NamedTuple):
    """A network and the inference by which it answers."""

    network: ImageNetwork
    inference: str

    def scores(self, images: npt.ArrayLike) -> npt.NDArray:
        """Scores (n, classes) of images (n, channels, height, width)."""
        return self.network.scores(images, self.inference)

    def predict(self, images: npt.ArrayLike) -> npt.NDArray:
        """Classes (n,) of images."""
        return self.network.predict(images, self.inference)


@dataclass
class ImageNetwork:
    """A network that evaluates, with `predict`, `scores` and `parameters` as those of `dynsim.Model`.

    Parameters are places, lambdas, factors and steps in place of weights, and ordinary weights of two axes or more,
    `parameter.value` being their memory. Numbers of 16 bits are widened to 32.

    Parameters
    ----------
    module : torch.nn.Module
        Changed: it evaluates from now on.
    path : path
        Named in messages.

    Raises
    ------
    DataError
        If the shape of its inputs is not known, or it takes several.
    """

    module: nn.Module
    path: str | Path = "the network"

    def __post_init__(self):
        self.shape = input_shape(self.module)
        if self.shape is None:
            raise refusal(self.path, "inputs of unknown shape", "one tensor of images", error=DataError)
        self.batch = batch_of(self.module)
        if any(p.dtype in HALF for p in self.module.parameters()):
            self.module.float()
        self.module.eval()
        self.parameters, self.results, self.inference = self._parameters(), {}, "dense"

    @property
    def image(self) -> tuple[int, ...]:
        """Shape of an image that it takes, for noise: axes of any length have 32."""
        return tuple(32 if size is None else size for size in self.shape)

    @property
    def class_names(self) -> None:
        """Names of its classes, which the file does not hold."""
        return None

    @property
    def background(self) -> float | None:
        """Brightness of the background of grey images, taken as 0, as MNIST's; None for images in colour."""
        return 0.0 if len(self.shape) == 3 and self.shape[0] == 1 else None

    def ordinary(self) -> ImageNetwork:
        """The same network with ordinary weights."""
        return ImageNetwork(materialize(self.module), self.path)

    def count(self) -> dict[str, int]:
        """How many numbers there are of each kind, and in all; of integers in 8 bits none."""
        found = {}
        for number in self.parameters.values():
            found[number.kind] = found.get(number.kind, 0) + number.value.size
        return {**found, "total": sum(found.values())}

    def scores(self, images: npt.ArrayLike, inference: str = "dense") -> npt.NDArray:
        """Scores (n, classes) of images (n, channels, height, width).

        Raises
        ------
        DataError
            If the images do not fit the network.
        """
        if inference != self.inference:
            self._choose(inference)
        with torch.no_grad():
            return self.in_parts(images, lambda part: scores_of(self.module(torch.from_numpy(part))).double().numpy())

    def prepare(self, inference: str = "dense", batch: int = PART) -> PreparedNetwork:
        """What answers by that inference, as `Model.prepare`; layers keep what they made until their parts change.

        Raises
        ------
        DataError
            If there is nothing that could compute so.
        """
        if inference != self.inference:
            self._choose(inference)
        return PreparedNetwork(self, inference)

    def in_parts(self, images: npt.ArrayLike, answer: Callable) -> npt.NDArray:
        """Scores (n, classes) that `answer` gives for parts of images, each as many as a program takes at once."""
        images = self.fitting(np.asarray(images))
        size, found = self.batch or PART, []
        for start in range(0, len(images), size):
            part = images[start : start + size]
            count = len(part)
            if self.batch is not None and count < self.batch:
                part = np.concatenate([part, np.repeat(part[:1], self.batch - count, axis=0)])
            scores = answer(part)
            scores = scores.reshape(len(part), -1, scores.shape[-1] if scores.ndim > 1 else 1)
            found.append(scores[:count, -1])
        return np.concatenate(found)

    def predict(self, images: npt.ArrayLike, inference: str = "dense") -> npt.NDArray:
        """Classes (n,) of images."""
        return self.scores(images, inference).argmax(axis=1)

    def fitting(self, images: npt.NDArray) -> npt.NDArray:
        """Images in the shape and type that the network takes."""
        same = len(images.shape) - 1 == len(self.shape) and all(
            wanted in (None, got) for wanted, got in zip(self.shape, images.shape[1:], strict=True)
        )
        if not same and None not in self.shape and prod(self.shape) == prod(images.shape[1:]):
            images, same = images.reshape(len(images), *self.shape), True  # as rows of pixels
        if not same:
            wanted = f"the network's {tuple('any' if size is None else size for size in self.shape)}"
            raise refusal("images", f"shape {images.shape[1:]}", wanted, error=DataError)
        return np.ascontiguousarray(images, self.dtype)

    @property
    def dtype(self) -> type:
        """Type of its inputs: numpy.float64 or numpy.float32."""
        width = next((p.dtype for p in self.module.parameters() if p.is_floating_point()), torch.float32)
        return np.float64 if width == torch.float64 else np.float32

    @property
    def example(self) -> torch.Tensor:
        """Inputs of zeros."""
        return torch.from_numpy(np.zeros((self.batch or 2, *self.image), self.dtype))

    def _choose(self, inference):
        as_choice(inference, INFERENCE, "inference")
        if not choose_inference(self.module, inference):
            wanted = "a network with Linear layers of particles, which a program has not"
            raise refusal("inference", repr(inference), wanted, "use dense", error=DataError)
        self.inference = inference

    def _parameters(self):
        found, kinds = {}, {}
        for _, _, _, derived in derived_weights(self.module):
            for name, part in derived.named_parameters():
                kinds[id(part)] = "strengths" if name == "strengths" else "places"
                if not isinstance(derived, Particles):
                    kinds[id(part)] = "weights"
        for name, part in self.module.named_parameters():
            kind = kinds.get(id(part), "weights" if part.dim() > 1 else "other")
            found[name] = StoredNumbers(part.detach().numpy(), kind)
        return found


def load_image_network(path: str | Path) -> ImageNetwork:
    """A file of `dynsim convert` for images; raises as `load_converted` and `ImageNetwork`."""
    return ImageNetwork(load_converted(path), path)


def save_materialized(module: nn.Module, path: str | Path) -> int:
    """Write the state of the network with ordinary weights as safetensors; returns the bytes of the file.

    `load_state_dict` of the original class takes it. Raises ImportError if safetensors is not installed.
    """
    try:
        from safetensors.torch import save_file
    except ImportError:
        raise ImportError("Safetensors files need safetensors: pip install 'dynsim[export]'.") from None
    # Tensors that are one are written under every name that they have, as a state_dict has them.
    state = {name: value.clone().contiguous() for name, value in materialize(module).state_dict().items()}
    with replacing(path) as temporary:
        mode = temporary.stat().st_mode
        save_file(state, str(temporary))
        if temporary.stat().st_mode != mode:  # the package puts a file of its own there, which only its owner may read
            temporary.chmod(mode)
    return Path(path).stat().st_size
