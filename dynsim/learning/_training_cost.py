"""Time and memory that a training will take, estimated from a few batches."""

from __future__ import annotations

import time
import tracemalloc
from copy import deepcopy
from inspect import signature

from dynsim._check import as_choice, as_count, as_like, as_number, expect_keys
from dynsim.models import Model, build

from ._expectations import as_trained, expect_data, expect_distillation, expect_method
from ._fit import fit
from ._trainer import Trainer, blas_threads
from ._training import FIT_STEPS, METHODS, train

TRIAL_BATCHES = 3
TRIAL_FITS = 3


def estimate(
    model: Model,
    data,
    *,
    method: str = "forces",
    reference: Model | None = None,
    fit_steps: int | None = None,
    fit_images: int = 0,
    fit_rate: float = 0.02,
    **options,
) -> dict:
    """Return steps, seconds and memory of a training that has not begun, as a dict; nothing is changed.

    A few batches (and steps of a fit) are computed on copies, timed after a first one that may compile, and scaled to
    the whole.

    Parameters
    ----------
    model, data, method, reference, fit_steps
        As for `train`.
    fit_images, fit_rate
        As for `train`; the four passes of a fit over its images are not counted.
    **options
        epochs, batch, rate and the others of `train` that change the cost of a batch.

    Returns
    -------
    dict
        `epochs`, `steps` (batches in all), `seconds`, `memory_bytes` (data, everything that is stored and moved, and
        the most that a batch takes).

    Examples
    --------
    >>> import dynsim
    >>> model = dynsim.models.mlp(widths=(64, 16, 10), copies=2, dim=3)
    >>> estimate(model, dynsim.datasets.load("digits"), epochs=2, batch=64)["steps"]
    40
    """
    as_choice(method, METHODS, "method")
    for value, attributes, kind, name in (
        (model, ("layers", "parameters", "config"), "Model", "model"),
        (data, ("train_images", "train_labels", "test_images", "test_labels"), "Dataset", "data"),
    ):
        as_like(value, attributes, kind, name)
    if reference is not None:
        as_like(reference, ("layers", "parameters", "config"), "Model", "reference")
    fit_steps = None if fit_steps is None else as_count(fit_steps, "fit_steps")
    fit_images = as_count(fit_images, "fit_images", minimum=0)
    as_number(fit_rate, "fit_rate", above=0)
    usual = {name: signature(train).parameters[name].default for name in signature(as_trained).parameters}
    expect_keys(options, usual, "options")
    options = as_trained(**{**usual, **options})
    epochs, given = options["epochs"], reference is not None
    trial = deepcopy(model)
    if method != "forces":
        reference = deepcopy(reference) if given else build({**model.config, "weights": True, "rank": None})
    expect_data(model, data)
    expect_distillation(options["distillation"], data, method)
    expect_method(trial, method, reference, options.get("bits"), fit_images)
    trainer = Trainer(trial if method == "forces" else reference, data, **options)
    with blas_threads(model, options["batch"]):
        seconds, steps, peak = _trial(trial, trainer, reference, method, given, fit_steps)
    images = sum(a.nbytes for a in (data.train_images, data.train_labels, data.test_images, data.test_labels))
    # Value, gradient, the best epoch's copy, and two moments of Adam.
    kept = 5 * sum(array.nbytes for array in {**trial.arrays, **trainer.model.arrays}.values())
    return {"epochs": epochs, "steps": steps, "seconds": seconds, "memory_bytes": images + kept + peak}


def _trial(model, trainer, reference, method, given, fit_steps):
    """Seconds and steps of the whole, and the bytes that a batch takes at most."""
    seconds, steps, epochs = 0.0, 0, trainer.epochs
    tracemalloc.start()
    try:
        trainer.trial()
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    if not (method == "fit" and given):
        steps = epochs * trainer.steps
        seconds += steps * _mean_seconds(trainer.trial, TRIAL_BATCHES) + epochs * _mean_seconds(trainer.validate, 1)
    if method != "forces":
        fits = (fit_steps or FIT_STEPS[method]) * (1 if method == "fit" else epochs)
        fit(model, reference, steps=1)
        seconds += fits * _mean_seconds(lambda: fit(model, reference, steps=TRIAL_FITS), 1) / TRIAL_FITS
    return seconds, steps, peak


def _mean_seconds(call, repeats):
    began = time.perf_counter()
    for _ in range(repeats):
        call()
    return (time.perf_counter() - began) / repeats
