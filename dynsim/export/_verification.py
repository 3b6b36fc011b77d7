"""Reading models of every form, and whether a model predicts the same after it was saved and reloaded in each form."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt

from dynsim import models
from dynsim._check import as_callable, as_count
from dynsim.errors import DataError

from ._first_packed import FIRST
from ._onnx import onnx_image, read_onnx, reference_onnx, run_onnx, save_onnx
from ._packed_models import PACKED, load_packed, packed_bits, save_packed
from ._safetensors_files import MATERIALIZED, load_materialized, open_safetensors, save_materialized

FORMS = ("model.h5", "packed", "materialized", "onnx")
IMAGES = 256  # where no data set is given: noise of this many images

# Largest allowed difference of scores, relative to the largest score. A model file holds the numbers themselves. To
# pack twice repeats the rounding of coordinates to a grid, in float32 (2^-24 each), through several layers. Another
# program adds in another order: some hundred float32 terms a sum.
TOLERANCE = {"model.h5": 0.0, "materialized": 1e-6, "packed": 1e-4, "onnx": 1e-5}


def model_form(path: str | Path) -> str:
    """Return what a model file is: one of `FORMS`.

    Raises
    ------
    FileNotFoundError, DataError, FileError
        If there is no such file, or it is of another kind, or damaged.
    """
    path = Path(path)
    if path.suffix == ".onnx":
        return "onnx"
    if path.suffix != ".safetensors":
        return "model.h5"
    with open_safetensors(path) as (metadata, _):
        found = {FIRST: "packed", PACKED: "packed", MATERIALIZED: "materialized"}.get(metadata.get("format"))
    if found is None:
        do = "give model.h5, or what `dynsim export` wrote of one (of a converted network give its .h5 file)"
        raise DataError(f"{path} is not a model of dynsim; {do}.")
    return found


def load_model(path: str | Path) -> models.Model:
    """Read a model: model.h5, or what `dynsim export` wrote as packed or materialised safetensors.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ImportError
        If it is safetensors, and that is not installed.
    DataError
        If it is of another kind; ONNX is for other programs and is not read.
    FileError
        If it is damaged.
    """
    form = model_form(path)
    if form == "onnx":
        raise DataError(f"{path} is an ONNX file, which does not hold places; give the model.h5 that it was made from.")
    readers = {"packed": load_packed, "materialized": load_materialized}
    return readers.get(form, models.load_model)(path)


def verify(
    path: str | Path,
    images: npt.NDArray | None = None,
    *,
    labels: npt.NDArray | None = None,
    seed: int = 0,
    progress: Callable | None = None,
) -> list[dict]:
    """Save and reload the model in the file `path` and compare its scores, form by form.

    A model file is written as model.h5, as materialised safetensors and as ONNX; a packed one as packed, too. An ONNX
    file, which holds no model, is read again and run by onnxruntime and by ONNX's own reference
    implementation.

    Parameters
    ----------
    path : path
        model.h5, or a file of `dynsim export`.
    images, labels : ndarray (n, channels, height, width) and (n,), optional
        What it predicts; noise in [0, 1] from `seed` by default.
    progress : callable, optional
        Called as progress(done, total, form=) after each form; when it returns true, no other form is compared.

    Returns
    -------
    list of dict
        One entry a form: "form", "same" (whether predictions agree, and scores within "tolerance"; None if it could not
        be tried, and "reason"), "predictions" and "agreeing" (numbers), "sum_before", "sum_after" (of all scores),
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
    as_callable(progress, "progress")
    seed = as_count(seed, "seed", minimum=0)
    form = model_form(path)
    if form == "onnx":
        file = read_onnx(path)
        images = _noise(onnx_image(path), seed) if images is None else images
        return compare_forms(
            {"onnx": partial(_again, file, images)}, run_onnx(path, images), labels, tolerance=TOLERANCE
        )
    model = load_model(path)
    images = _noise(model.image, seed) if images is None else images
    before = model.scores(images)
    names = [*(["packed"] if form == "packed" else []), "model.h5", "materialized", "onnx"]
    forms = {name: partial(_reloaded, name, model, path, images) for name in names}
    return compare_forms(forms, before, labels, tolerance=TOLERANCE, progress=progress)


def compare_forms(
    forms: dict[str, Callable],
    before: npt.NDArray,
    labels: npt.NDArray | None = None,
    *,
    tolerance: dict[str, float],
    progress: Callable | None = None,
) -> list[dict]:
    """What `verify` returns, of functions that give the scores after a network was written and read in a form.

    Examples
    --------
    >>> compare_forms({"onnx": lambda: 2 * np.eye(3)}, np.eye(3), tolerance={"onnx": 0.1})[0]["same"]
    False
    """
    found = []
    for name, scores in forms.items():
        try:
            found.append(_compared(name, before, scores(), labels, tolerance[name]))
        except ImportError as error:
            found.append({"form": name, "same": None, "reason": str(error)})
        if progress is not None and progress(len(found), len(forms), form=name):
            break
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
            save_packed(model, copy, bits=packed_bits(path))
            return load_packed(copy).scores(images)
        save_materialized(model, copy)
        return load_materialized(copy).scores(images)


def _again(file, images):
    """Scores of an ONNX file, written and read once more, by the reference implementation."""
    import onnx

    return reference_onnx(onnx.load_from_string(file.SerializeToString()), images)


def _compared(form, before, after, labels, tolerance):
    largest = float(np.abs(before).max()) or 1.0
    difference = float(np.abs(after - before).max()) / largest
    choice, other = before.argmax(axis=1), after.argmax(axis=1)
    found = {
        "form": form,
        "same": bool((choice == other).all() and difference <= tolerance),
        "predictions": len(before),
        "agreeing": int((choice == other).sum()),
        "sum_before": float(before.sum(dtype=np.float64)),
        "sum_after": float(after.sum(dtype=np.float64)),
        "largest_difference": difference,
        "tolerance": tolerance,
    }
    if labels is not None:
        for when, chosen in (("before", choice), ("after", other)):
            found[f"accuracy_{when}"] = 100.0 * float(np.mean(chosen == labels))
    return found


def _noise(image, seed):
    return np.random.default_rng(seed).random((IMAGES, *image), dtype=np.float32)
