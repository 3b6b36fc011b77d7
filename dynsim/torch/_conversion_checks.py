"""Whether a converted network answers the same after it was saved and reloaded in every form."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt

from dynsim._check import as_callable, as_count
from dynsim.export import compare_forms, run_onnx

from ._converted_files import load_converted, save_onnx
from ._image_networks import ImageNetwork, save_materialized
from ._parametrisation import materialize

IMAGES = 32  # of noise, where none are given
# Largest differences of scores, relative to the largest: the file holds the numbers themselves; ordinary weights are
# the same numbers, which other kernels of PyTorch may add in another order; so does ONNX, in sums of hundreds.
TOLERANCE = {"converted": 0.0, "materialized": 1e-5, "onnx": 1e-4}


def verify_converted(
    path: str | Path,
    images: npt.NDArray | None = None,
    *,
    labels: npt.NDArray | None = None,
    seed: int = 0,
    progress: Callable | None = None,
) -> list[dict]:
    """As `dynsim.export.verify`, of a file of `dynsim convert`: read twice, as safetensors, and as ONNX.

    Raises
    ------
    FileNotFoundError, DataError, FileError
        As `load_converted`, or if the network does not take one tensor of images.
    """
    as_callable(progress, "progress")
    network = ImageNetwork(load_converted(path), path)
    if images is None:
        generator = np.random.default_rng(as_count(seed, "seed", minimum=0))
        images = generator.random((network.batch or IMAGES, *network.image), dtype=np.float32)
    forms = {name: partial(form, network, path, images) for name, form in FORMS.items()}
    return compare_forms(forms, network.scores(images), labels, tolerance=TOLERANCE, progress=progress)


def _read_again(network, path, images):
    return ImageNetwork(load_converted(path), path).scores(images)


def _as_safetensors(network, path, images):
    from safetensors.torch import load_file

    ordinary = materialize(network.module)
    with tempfile.TemporaryDirectory() as folder:
        save_materialized(network.module, Path(folder, "model.safetensors"))
        ordinary.load_state_dict(load_file(Path(folder, "model.safetensors")))
    return ImageNetwork(ordinary, path).scores(images)


def _as_onnx(network, path, images):
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "model.onnx")
        save_onnx(network.module, file, example=network.example)
        return network.in_parts(images, lambda part: run_onnx(file, part))


FORMS = {"converted": _read_again, "materialized": _as_safetensors, "onnx": _as_onnx}
