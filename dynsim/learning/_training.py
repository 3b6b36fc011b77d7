"""Training by forces, by a fit, and by both in alternation."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field

from dynsim._check import as_callable, as_choice, as_count, as_flag, as_like, as_number, refusal
from dynsim._plotted import Plotted
from dynsim.datasets import background_of
from dynsim.models import Model, build
from dynsim.trajectory import load_checkpoint

from ._accuracy import accuracy
from ._distillation import Distillation
from ._epoch_files import EpochFiles
from ._expectations import (
    as_options,
    as_trained,
    expect_data,
    expect_distillation,
    expect_held_out,
    expect_method,
    expect_same_options,
    find_fault,
    held_out_before,
)
from ._fit import copy_ordinary, fit
from ._measured_targets import least_sure
from ._motion import one_cycle
from ._trainer import Trainer, blas_threads

METHODS = ("forces", "fit", "alternating")
FIT_STEPS = {"fit": 1500, "alternating": 300}
STORAGE = "float16"  # precision to which the alternating method rounds places


@dataclass(repr=False)
class TrainingResult(Plotted):
    """Result of a training: accuracies in percent, seconds, one entry of `metrics` per epoch, `layers` of a fit.

    `message` says so if nothing was learnt, and what to do; otherwise it is empty.

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
    message: str = ""

    figure_kind = "learning"

    def facts(self) -> dict:
        """What it is shown by."""
        found = {
            "test accuracy": f"{self.test_accuracy:.2f} %",
            "held-out accuracy": f"{self.validation_accuracy:.2f} %",
        }
        found |= {"epochs": self.epochs}
        found["seconds per epoch"] = f"{self.seconds_per_epoch:.3g}"
        return found | ({"message": self.message} if self.message else {})

    def to_pandas(self):
        """Return the metrics as a pandas.DataFrame, a row an epoch; raises ImportError if pandas is not installed."""
        try:
            import pandas
        except ImportError:
            raise ImportError("Tables need pandas: pip install 'dynsim[xarray]'") from None
        return pandas.DataFrame(self.metrics)


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
    noise: float = 0.0,
    sphere: bool = False,
    bits: int | None = None,
    augment: Callable | None = None,
    distillation: Distillation | None = None,
    seed: int = 0,
    reference: Model | None = None,
    fit_steps: int | None = None,
    fit_images: int = 0,
    fit_rate: float = 0.02,
    trajectory: str | os.PathLike | None = None,
    best: str | os.PathLike | None = None,
    metrics: str | os.PathLike | None = None,
    checkpoint: str | os.PathLike | None = None,
    resume: bool = False,
    extend: bool = False,
    progress: Callable | None = None,
    after_epoch: Callable | None = None,
) -> TrainingResult:
    """Train a model on a data set; the test set is read once, at the end.

    Ten percent of the training images are held out; the state of the epoch that is best on them is kept, also if the
    training is interrupted. A model (or reference) that was trained on these data before holds out the same images as
    then, whatever the seed. Everything is checked before the first epoch.

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
    noise : float
        The force of every batch is that where all places, lambdas and weights are off by uniform noise of this size,
        relative to the root mean square of their array: what is learned then stands such noise (see `evaluate`).
    sphere : bool
        Every place keeps its distance from the origin: for wide layers with many copies.
    bits : int, optional
        Compute with places and weights on grids of 2^bits values, for packed files; forces move the exact ones.
    augment : callable, optional
        (images, generator) -> images, for every batch; see `Augment`.
    distillation : Distillation, optional
        A trained network whose answers are learnt besides the labels, by "forces".
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
    best : path, optional
        Write the model there whenever an epoch is the best so far, and as it is at the end ("fit": only then).
    metrics : path, optional
        Write an entry of `metrics` there after every epoch, as a line of JSON.
    checkpoint : path, optional
        Write everything that the rest depends on there after every epoch.
    resume : bool
        Go on from the checkpoint, with the options of its training; the result has the same bits as without the
        interruption.
    extend : bool
        With `resume`: there may be more epochs than the training was begun with. From then on the rate is that which a
        training of so many epochs has at this place, so it jumps up; the result is not that of such a training.
    progress : callable, optional
        Called after every batch as `progress(done, total, epoch=k, epochs=n, loss=l)`, epochs counted from 1, and after
        every step of "fit" as `progress(done, total, error=e)`; done and total count batches and these steps over the
        whole training. If it returns true, the training ends with this epoch, and a fit with this step.
    after_epoch : callable, optional
        Called after every epoch, when its files are written, with its entry of `metrics`. If it returns true, the
        training ends.

    Returns
    -------
    TrainingResult

    Raises
    ------
    ValueError, TypeError
        If an argument does not fit.
    DivergedError
        If the loss, or a number of the model, is no longer finite.

    Warns
    -----
    UserWarning
        If a class has no training images, fewer than 30 are held out, more epochs are added, or nothing was learnt.

    Examples
    --------
    >>> import dynsim
    >>> model = dynsim.models.mlp(widths=(64, 16, 10), copies=2, dim=3)
    >>> dynsim.train(model, dynsim.datasets.load("digits"), epochs=1, batch=64).epochs
    1
    """
    as_choice(method, METHODS, "method")
    as_like(model, ("layers", "parameters", "predict", "scores", "config", "results"), "Model", "model")
    as_flag(resume, "resume")
    as_flag(extend, "extend")
    as_callable(progress, "progress")
    as_callable(after_epoch, "after_epoch")
    fit_images = as_count(fit_images, "fit_images", minimum=0)
    fit_rate = as_number(fit_rate, "fit_rate", above=0)
    if fit_steps is not None:
        as_count(fit_steps, "fit_steps")
    given = reference is not None
    if given:
        as_like(reference, ("layers", "parameters", "results"), "Model", "reference")
    files = EpochFiles(trajectory=trajectory, best=best, metrics=metrics, checkpoint=checkpoint)
    if resume and checkpoint is None:
        raise refusal("resume", "True without a checkpoint", "the path that it was written to as well")
    options = as_trained(
        epochs=epochs, batch=batch, rate=rate, motion=motion, rates=rates, smoothing=smoothing, decay=decay,
        noise=noise, sphere=sphere, bits=bits, augment=augment, distillation=distillation, seed=seed,
    )  # fmt: skip
    expect_data(model, data)
    expect_distillation(distillation, data, method)
    if method != "forces" and not given:
        reference = build({**model.config, "weights": True, "rank": None})
    expect_method(model, method, reference, bits, fit_images)
    options["held_seed"] = held_out_before(reference if given else model, data)
    if method == "alternating":
        trainer = _alternating(model, reference, data, fit_steps or FIT_STEPS[method], **options)
    else:
        trainer = Trainer(model if method == "forces" else reference, data, **options)
    expect_held_out(trainer)
    if checkpoint is not None:
        del options["epochs"], options["held_seed"]
        fitting = {"fit_images": fit_images, "fit_rate": fit_rate} if method == "fit" else {}
        files.options = as_options(data, model, method=method, fit_steps=fit_steps, **fitting, **options)
    if resume:
        state = load_checkpoint(checkpoint)
        expect_same_options(files.options, state.get("options"))
        trainer.restore(state, extend=extend)
        if trainer.epochs > state["epochs"]:
            warnings.warn(_extension(trainer, state), stacklevel=2)
    batches = 0 if method == "fit" and given else trainer.epochs * trainer.steps
    steps = (fit_steps or FIT_STEPS[method]) if method == "fit" else 0

    def told(before):
        """`progress` with the batches and steps of the whole training, of which so many were done before."""
        return progress and (lambda done, _, **facts: progress(before + done, batches + steps, **facts))

    background = background_of(data.train_images)
    background = background if 0 <= background <= 1 else None  # of images that are scaled in another way

    def described(**measured):
        """The model with what is known of its training."""
        model.results = {"data": data.name, "method": method, **measured, "image": list(data.train_images.shape[1:])}
        model.results |= {"epochs": trainer.epoch if batches else epochs, "batch": batch, "rate": rate}
        model.results |= {"motion": motion, "seed": seed, "held_seed": trainer.held_seed}
        if distillation is not None:
            model.results["distillation"] = {"share": distillation.share, "temperature": distillation.temperature}
        model.results |= {"class_names": getattr(data, "class_names", None), "background": background}
        if trainer.earlier:
            model.results["epochs_before"] = trainer.earlier
        return model

    def best_so_far():
        if method == "alternating":
            copy_ordinary(model, reference)
        return described(validation_accuracy=trainer.best)

    def ended(trainer):
        files.write(trainer, best_so_far)
        return after_epoch is not None and after_epoch(dict(trainer.metrics[-1]))

    with blas_threads(model, batch), files.open(model, trainer, seed=seed, again=resume):
        if method == "fit":
            files.best = None  # until the places are fitted
        if batches:
            trainer.run(told(0), ended)
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
    described(test_accuracy=test, validation_accuracy=validation)
    if best is not None:
        model.save(best)
    done = trainer.epoch if trainer.stopped else epochs
    message = find_fault(trainer, validation if method == "fit" else None)
    if message:
        warnings.warn(message, stacklevel=2)
    return TrainingResult(test, validation, done, trainer.spent / done, trainer.metrics, layers, message)


def _extension(trainer, state):
    """The sentence that says what more epochs do to the rates."""
    step = trainer.epoch * trainer.steps
    before = one_cycle(max(step - 1, 0), state["epochs"] * trainer.steps, peak=trainer.rate)
    return (
        f"training: it was begun with {state['epochs']} epochs and goes on to {trainer.epochs} at the rates that a "
        f"training of {trainer.epochs} has from epoch {trainer.epoch + 1} on: {trainer.rate_at(step):.2g} after "
        f"{before:.2g}. A training begun with {trainer.epochs} epochs would not be the same."
    )


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
