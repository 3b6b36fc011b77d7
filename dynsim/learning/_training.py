"""Training by forces, by a fit, and by both in alternation."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass, field

from dynsim._check import as_callable, as_choice, as_count, as_flag, as_instance, as_like, as_number, refusal
from dynsim._plotted import Plotted
from dynsim.models import Model, build
from dynsim.trajectory import load_checkpoint, remove_checkpoint, save_checkpoint

from ._accuracy import accuracy
from ._fit import copy_ordinary, fit
from ._measured_targets import least_sure
from ._motion import MOTIONS
from ._trainer import Trainer, blas_threads
from ._training_record import TrainingRecord

METHODS = ("forces", "fit", "alternating")
FIT_STEPS = {"fit": 1500, "alternating": 300}
STORAGE = "float16"  # precision to which the alternating method rounds places


@dataclass
class TrainingResult(Plotted):
    """Result of a training: accuracies in percent, seconds, one entry of `metrics` per epoch, `layers` of a fit.

    Examples
    --------
    >>> TrainingResult(97.5, 97.0, 3, 0.5).test_accuracy
    97.5
    """

    test_accuracy: float
    validation_accuracy: float
    epochs: int
    seconds_per_epoch: float
    metrics: list = field(default_factory=list)
    layers: list = field(default_factory=list)

    figure_kind = "learning"


def train(
    model: Model,
    data,
    *,
    method: str = "forces",
    epochs: int = 3,
    batch: int = 128,
    rate: float = 0.02,
    motion: str = "adam",
    rates: dict | None = None,
    smoothing: float = 0.0,
    decay: float = 0.0,
    sphere: bool = False,
    bits: int | None = None,
    augment: Callable | None = None,
    seed: int = 0,
    reference: Model | None = None,
    fit_steps: int | None = None,
    fit_images: int = 0,
    fit_rate: float = 0.02,
    trajectory: str | os.PathLike | None = None,
    checkpoint: str | os.PathLike | None = None,
    resume: bool = False,
    progress: Callable | None = None,
) -> TrainingResult:
    """Train a model on a data set; the test set is read once, at the end.

    Ten percent of the training images are held out; the state of the epoch that is best on them is kept.

    Parameters
    ----------
    model : Model
        Changed in place.
    data : Dataset
        As `dynsim.datasets.load` returns it.
    method : str
        "forces": f = -dL/dq on every neuron, exact. "fit": the places are fitted to the weights of a trained
        `reference` (the paper's equation 6); without one an ordinary network is trained first. "alternating": an epoch
        of ordinary training, a fit of the places, the fit written back (algorithm 1).
    epochs, batch : int
    rate : float
        Peak of the one-cycle schedule for the places; lambda and ordinary numbers move at a tenth of it.
    motion : {"adam", "inertial", "overdamped"}
        Equation of motion.
    rates : dict, optional
        Factors per kind of parameter ("places", "strengths", "weights", "bias", "norm").
    smoothing : float
        Share of the label spread evenly over all classes (Szegedy et al., CVPR 2016).
    decay : float
        Ordinary weights shrink by this share of the rate in every step (Loshchilov & Hutter, ICLR 2019).
    sphere : bool
        Every place keeps its distance from the origin: for wide layers with many copies.
    bits : int, optional
        Compute with places on a grid of 2^bits values an axis, for packed files; forces move the exact ones.
    augment : callable, optional
        (images, generator) -> images, for every batch; see `Augment`.
    seed : int
        Of the held-out part and the order of images.
    reference : Model, optional
        The ordinary network of "fit" and "alternating"; the latter goes on training it.
    fit_steps : int, optional
        Steps of a fit; 1500 for "fit", 300 after every epoch of "alternating".
    fit_images : int
        Training images, without their labels, on which "fit" measures the effect of errors: those of which the trained
        network is least sure. 0 uses no data.
    fit_rate : float
        Peak of the one-cycle schedule of "fit".
    trajectory : path, optional
        Write the places after every epoch there.
    checkpoint : path, optional
        Write everything that the rest depends on there after every epoch.
    resume : bool
        Go on from the checkpoint; the result has the same bits as without the interruption.
    progress : callable, optional
        Called after every batch as `progress(done, total, epoch=k, epochs=n, loss=l)`, epochs counted from 1, and after
        every step of "fit" as `progress(done, total, error=e)`; done and total count batches and these steps over the
        whole training. If it returns true, the training ends with this epoch, and a fit with this step.

    Returns
    -------
    TrainingResult

    Raises
    ------
    ValueError, TypeError
        If an argument does not fit, or the loss is no longer finite.

    Examples
    --------
    >>> import dynsim
    >>> model = dynsim.models.mlp(widths=(64, 16, 10), copies=2, dim=3)
    >>> dynsim.train(model, dynsim.datasets.load("digits"), epochs=1, batch=64).epochs
    1
    """
    as_choice(method, METHODS, "method")
    as_choice(motion, MOTIONS, "motion")
    as_like(model, ("layers", "parameters", "predict"), "Model", "model")
    as_like(data, ("train_images", "train_labels", "test_images", "test_labels"), "Dataset", "data")
    as_flag(resume, "resume")
    as_callable(augment, "augment")
    as_callable(progress, "progress")
    fit_images = as_count(fit_images, "fit_images", minimum=0)
    fit_rate = as_number(fit_rate, "fit_rate", above=0)
    if fit_steps is not None:
        as_count(fit_steps, "fit_steps")
    if reference is not None:
        as_like(reference, ("layers", "parameters"), "Model", "reference")
    for path, name in ((trajectory, "trajectory"), (checkpoint, "checkpoint")):
        if path is not None:
            as_instance(path, str | os.PathLike, name)
    if resume and checkpoint is None:
        raise refusal("resume", "True without a checkpoint", "the path that it was written to as well")
    options = {
        "epochs": as_count(epochs, "epochs"),
        "batch": as_count(batch, "batch", minimum=2),
        "rate": as_number(rate, "rate", above=0),
        "motion": motion,
        "rates": rates,
        "smoothing": as_number(smoothing, "smoothing", minimum=0),
        "decay": as_number(decay, "decay", minimum=0),
        "sphere": as_flag(sphere, "sphere"),
        "bits": bits,
        "seed": as_count(seed, "seed", minimum=0),
        "augment": augment,
    }
    given = reference is not None
    if method != "forces" and not given:
        reference = build({**model.config, "weights": True, "rank": None})
    if method == "alternating":
        trainer = _alternating(model, reference, data, fit_steps or FIT_STEPS[method], **options)
    else:
        trainer = Trainer(model if method == "forces" else reference, data, **options)
    if resume:
        trainer.restore(load_checkpoint(checkpoint))
    batches = 0 if method == "fit" and given else trainer.epochs * trainer.steps
    steps = (fit_steps or FIT_STEPS[method]) if method == "fit" else 0

    def told(before):
        """`progress` with the batches and steps of the whole training, of which so many were done before."""
        return progress and (lambda done, _, **facts: progress(before + done, batches + steps, **facts))

    with blas_threads(model, batch), _recorded(trajectory, model, seed, trainer) as write:
        if checkpoint is not None and not resume:
            remove_checkpoint(checkpoint)  # an earlier training's, which must not be continued from here

        def after_epoch(trainer):
            write(trainer)
            if checkpoint is not None:
                save_checkpoint(checkpoint, trainer.state())

        if batches:
            trainer.run(told(0), after_epoch)
        layers = []
        if method == "fit":
            some = None
            if fit_images:
                images = data.train_images[trainer.order]
                some = images[least_sure(reference, images, fit_images)]
            layers = fit(model, reference, steps=steps, rate=fit_rate, images=some, progress=told(batches))
        if method == "alternating":
            copy_ordinary(model, reference)
        validation = trainer.validate(model) if method == "fit" else trainer.best
        test = accuracy(model, data.test_images, labels=data.test_labels)
    done = trainer.epoch if trainer.stopped else epochs
    result = TrainingResult(test, validation, done, trainer.spent / done, trainer.metrics, layers)
    model.results = {"data": data.name, "method": method, "test_accuracy": test, "validation_accuracy": validation}
    model.results |= {"image": list(data.train_images.shape[1:])}
    model.results |= {"epochs": done, "batch": batch, "rate": rate, "motion": motion, "seed": seed}
    return result


def _alternating(model, reference, data, fit_steps, **options):
    """Return a Trainer of the weights in `reference` whose epochs end with a fit of the places of `model`.

    After every epoch the places are fitted to the weights and rounded to the storage precision, and the weights become
    those that follow from the places; so the held-out accuracy is that of the places.
    """

    def project(trainer):
        # The first fit comes from far away; later ones follow the weights.
        fit(model, reference, steps=fit_steps, rate=0.02 if trainer.epoch == 0 else 0.01)
        for parameter in model.parameters.values():
            if parameter.kind == "places":
                parameter.value[...] = parameter.value.astype(STORAGE)
        for layer, trained in zip(model.layers, reference.layers, strict=True):
            if layer.placed:
                trained.weights.value[...] = layer.materialize()

    return Trainer(reference, data, project=project, also=[model], **options)


@contextmanager
def _recorded(path, model, seed, trainer):
    """A function that writes a frame of the places after every epoch, from the start or after a checkpoint."""
    if path is None:
        yield lambda trainer: None
        return
    record = TrainingRecord(path, model, seed, after=trainer.epoch or None)
    try:
        if not trainer.epoch:
            record.write(0, float("nan"), trainer.validate())
        yield lambda trainer: record.write(
            trainer.epoch, trainer.metrics[-1]["train_loss"], trainer.metrics[-1]["validation_accuracy"]
        )
    finally:
        record.close()
