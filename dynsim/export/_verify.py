"""Whether a model says after saving and reloading what it said before, in every form that it can be written in."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np

from dynsim import models

from ._load import form, load_model
from ._materialized import load_materialized, save_materialized
from ._onnx import onnx_image, read_onnx, reference_onnx, run_onnx, save_onnx
from ._packed import load_packed, packed_bits, save_packed

IMAGES = 256  # where no data set is given: noise of this many images

# Largest allowed difference of scores, relative to the largest score. A model file holds the very numbers, and its
# weights are the very ones. Packing what was packed already repeats the rounding of coordinates to a grid, in float32
# (2^-24 each), through several layers. Another program adds in another order: some hundred float32 terms a sum.
TOLERANCE = {"model.h5": 0.0, "materialized": 1e-6, "packed": 1e-4, "onnx": 1e-5}


def verify(path, images=None, labels=None, seed=0):
    """Save and reload the model in the file `path` and compare its scores, form by form.

    A model file is written as model.h5, as materialised safetensors and as ONNX; a packed one as packed, too. An ONNX
    file, which does not come back as a model, is read again and run by onnxruntime and by ONNX's own reference
    implementation.

    Parameters
    ----------
    path : path
        model.h5, or a file of `dynsim export`.
    images, labels : ndarray (n, channels, height, width) and (n,), optional
        What it is asked; noise in [0, 1] from `seed` by default.

    Returns
    -------
    list of dict
        One entry a form: "form", "same" (whether it may be said to be the same; None if it could not be tried, and
        "reason"), "predictions" and "agreeing" (numbers), "sum_before", "sum_after" (of all scores),
        "largest_difference" and "tolerance", both relative to the largest score, and with labels "accuracy_before" and
        "accuracy_after" in percent.

    Raises
    ------
    FileNotFoundError, DataError, FileError, ImportError
        As `load_model`.

    Examples
    --------
    >>> import tempfile, dynsim
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     dynsim.models.mlp(widths=(4, 2), copies=2, dim=2).save(folder + "/model.h5")
    ...     verify(folder + "/model.h5")[0]["same"]
    True
    """
    kind = form(path)
    if kind == "onnx":
        file = read_onnx(path)
        images = _noise(onnx_image(path), seed) if images is None else images
        return [_compared("onnx", run_onnx(path, images), _again(file, images), labels)]
    model = load_model(path)
    images = _noise(model.image, seed) if images is None else images
    before = model.scores(images)
    forms = ["packed"] if kind == "packed" else []
    found = []
    for name in [*forms, "model.h5", "materialized", "onnx"]:
        try:
            found.append(_compared(name, before, _reloaded(name, model, path, images), labels))
        except ImportError as error:
            found.append({"form": name, "same": None, "reason": str(error)})
    return found


def _reloaded(name, model, path, images):
    """Scores of the model after it was written in a form and read from there."""
    with tempfile.TemporaryDirectory() as folder:
        if name == "onnx":
            save_onnx(model, Path(folder, "model.onnx"))
            return run_onnx(Path(folder, "model.onnx"), images)
        copy = Path(folder, "model.h5" if name == "model.h5" else "model.safetensors")
        if name == "model.h5":
            model.save(copy)
            return models.load_model(copy).scores(images)
        if name == "packed":
            save_packed(model, copy, packed_bits(path))
            return load_packed(copy).scores(images)
        save_materialized(model, copy)
        return load_materialized(copy).scores(images)


def _again(file, images):
    """Scores of an ONNX file, written and read once more, by the reference implementation."""
    import onnx

    return reference_onnx(onnx.load_from_string(file.SerializeToString()), images)


def _compared(name, before, after, labels):
    largest = float(np.abs(before).max()) or 1.0
    difference = float(np.abs(after - before).max()) / largest
    choice, other = before.argmax(axis=1), after.argmax(axis=1)
    found = {
        "form": name,
        "same": bool((choice == other).all() and difference <= TOLERANCE[name]),
        "predictions": len(before),
        "agreeing": int((choice == other).sum()),
        "sum_before": float(before.sum(dtype=np.float64)),
        "sum_after": float(after.sum(dtype=np.float64)),
        "largest_difference": difference,
        "tolerance": TOLERANCE[name],
    }
    if labels is not None:
        for when, chosen in (("before", choice), ("after", other)):
            found[f"accuracy_{when}"] = 100.0 * float(np.mean(chosen == labels))
    return found


def _noise(image, seed):
    return np.random.default_rng(seed).random((IMAGES, *image), dtype=np.float32)
