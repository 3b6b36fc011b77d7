"""What a training needs of model, data and files, asked before its first epoch; and whether anything was learnt."""

from __future__ import annotations

import warnings

import numpy as np

from dynsim._check import as_callable, as_choice, as_count, as_flag, as_instance, as_like, as_number, refusal
from dynsim._files import digest, to_json
from dynsim.datasets import Dataset

from ._augment import Augment
from ._distillation import Distillation
from ._fit import expect_chain, pair_layers
from ._motion import MOTIONS

DATA = ("name", "train_images", "train_labels", "test_images", "test_labels", "classes")
LATER = {"noise": "0.0", "distillation": "null"}  # options that checkpoints of earlier versions lack, as they were then
RUNAWAY = 2.0  # an average over an epoch may exceed the loss of guessing while it falls; not by this factor
CHANCE = 3.0  # standard deviations of a share that count as chance
FEW = 30  # held-out images from which little can be said without the loss
USUAL_RATE = 0.1  # above it a rate is named as the probable cause


def as_trained(
    *, epochs, batch, rate, motion, rates, smoothing, decay, noise, sphere, bits, augment, distillation, seed
):
    """Return the options of every method, checked; those of parameters (rates, bits) are checked where they are met."""
    as_choice(motion, MOTIONS, "motion")
    as_callable(augment, "augment")
    if as_number(smoothing, "smoothing", minimum=0) > 1:
        raise refusal("smoothing", smoothing, "a share from 0 to 1")
    return {
        "epochs": as_count(epochs, "epochs"),
        "batch": as_count(batch, "batch", minimum=2),
        "rate": as_number(rate, "rate", above=0),
        "motion": motion,
        "rates": rates,
        "smoothing": as_number(smoothing, "smoothing", minimum=0),
        "decay": as_number(decay, "decay", minimum=0),
        "noise": as_number(noise, "noise", minimum=0),
        "sphere": as_flag(sphere, "sphere"),
        "bits": bits,
        "augment": augment,
        "distillation": None if distillation is None else as_instance(distillation, Distillation, "distillation"),
        "seed": as_count(seed, "seed", minimum=0),
    }


def expect_data(model, data):
    """Refuse data that cannot be trained on, or tested with at the end; warn of classes that have no images."""
    as_like(data, DATA, "Dataset", "data")
    Dataset.check(data)
    for name in ("train_images", "test_images"):
        if not len(getattr(data, name)):
            raise refusal(f"data.{name}", "no images", "at least one")
    try:
        scores = model.scores(data.train_images[:1])
    except ValueError as error:
        got = f"images of shape {data.train_images.shape[1:]}"
        raise refusal("data", got, f"those that the model takes ({str(error).rstrip('.')})") from error
    if scores.shape[1] != data.classes:
        raise refusal("data", f"{data.classes} classes", f"{scores.shape[1]}, as many as the model has scores")
    present = np.unique(data.train_labels)
    if len(present) == 1 < data.classes:
        raise refusal("data", f"training images of one class only ({present[0]})", "images of two classes or more")
    absent = sorted(set(range(data.classes)) - set(present.tolist()))
    if absent:
        those = ", ".join(map(str, absent))
        warnings.warn(f"data: no training image has the label {those}; such images cannot be recognised.", stacklevel=3)


def expect_distillation(distillation, data, method):
    """Refuse a trained network that knows other images or classes, and a method that does not learn from it."""
    if distillation is None:
        return
    if method != "forces":
        do = "train the network of weights with it before, and give that as reference"
        raise refusal("distillation", f"one for method {method}", "None", do)
    distillation.expect(data)


def expect_method(model, method, reference, bits=None, fit_images=0):
    """Refuse a model or images that a method cannot use, a reference it cannot be fitted to, a grid without use."""
    placed = any(parameter.kind == "places" for parameter in model.parameters.values())
    if bits is not None and method != "forces":
        raise refusal("bits", f"{bits} for method {method}", "None", "only what forces move is kept on a grid")
    if method == "forces":
        return
    if not placed:
        raise refusal("model", "one of ordinary weights", f"one in DyN form for method {method}")
    pair_layers(model, reference)
    if method == "fit" and fit_images:
        expect_chain(model, "fit_images")


def held_out_before(model, data):
    """Return the seed by which a model's earlier training on these data held images out, or None."""
    seed = model.results.get("held_seed", model.results.get("seed"))
    same = model.results.get("data") == data.name
    return seed if same and isinstance(seed, int) and seed >= 0 else None


def expect_held_out(trainer):
    """Warn where so few images are held out that their accuracy says little, by which the best epoch is chosen."""
    count = len(trainer.held_out)
    if count < FEW:
        images = f"{count} image{'s' * (count > 1)}"
        warnings.warn(
            f"training: the held-out part has {images}, of which one is {100 / count:.2g} %: its accuracy says little, "
            f"and the best epoch is chosen by it; give {10 * FEW} training images or more.",
            stacklevel=3,
        )


def as_options(data, model, **options):
    """Return what a training depends on, by name and as texts that a checkpoint can hold."""
    augment = options.pop("augment")
    if isinstance(augment, Augment):
        augment = {"shift": augment.shift, "rotation": augment.rotation}
    elif augment is not None:
        augment = getattr(augment, "__qualname__", type(augment).__qualname__)
    config = {key: value for key, value in model.config.items() if key != "seed"}
    distillation = options.pop("distillation")
    options["distillation"] = None if distillation is None else distillation.described()
    options |= {"model": config, "data": digest("", [data.train_images, data.train_labels]), "augment": augment}
    return {name: to_json(value, sort_keys=True) for name, value in options.items()}


def expect_same_options(given, stored):
    """Refuse to go on with a training under other options than those that it was begun with."""
    do = "begin the training anew"
    if stored is None:
        raise refusal("checkpoint", "one of an earlier version", "one that names the options of its training", do)
    stored = LATER | stored
    for name, value in given.items():
        if stored.get(name) == value:
            continue
        whole = name in ("model", "data")  # too long to be shown
        got, expected = (f"another {name}", "the one") if whole else (f"{name} {value}", stored.get(name))
        expected = f"{expected} of the training that was stopped"
        raise refusal("checkpoint", got, expected, f"give what it was begun with, or {do}")


def find_fault(trainer, accuracy=None):
    """Return a sentence if the training ended no better than an answer that looks at no image, else "".

    The last epoch counts: its loss against that of the classes' frequencies, and its accuracy on the held-out images
    against that of the most frequent class. A loss far above the former says by itself that the training runs away.
    `accuracy` is that of a fit, of which there is no loss, and the loss of a distillation is not compared, as
    it depends on what the trained network answers.
    """
    if trainer.data.classes == 1:
        return ""
    held = trainer.data.train_labels[trainer.held_out]
    shares = np.bincount(trainer.data.train_labels, minlength=trainer.data.classes) / len(trainer.data.train_labels)
    usual = 100 * np.count_nonzero(held == shares.argmax()) / len(held)
    limit = usual + CHANCE * np.sqrt(usual * (100 - usual) / len(held))
    fitted = accuracy is not None
    if not fitted:
        if not trainer.metrics:
            return ""
        loss, accuracy = (trainer.metrics[-1][key] for key in ("train_loss", "validation_accuracy"))
    if fitted or trainer.distillation is not None:
        if accuracy > limit or len(held) < FEW:
            return ""
    else:
        target = (1 - trainer.smoothing) * shares + trainer.smoothing / trainer.data.classes
        present = target > 0
        guessing = -np.sum(target[present] * np.log(target[present]))
        if loss < 0.99 * guessing or (accuracy > limit and loss < RUNAWAY * guessing):
            return ""
    when = "the fit" if fitted else f"{trainer.epoch} epoch{'s' * (trainer.epoch > 1)}"
    if accuracy > limit:
        said = (
            f"training: after {when} the loss is {loss:.4g}, above the {guessing:.4g} of answers that look at no image "
        )
        said += f"(but {accuracy:.2f} % of the held-out images are right)"
    else:
        said = (
            f"training: after {when} {accuracy:.2f} % of the held-out images are right, no more than chance explains "
        )
        said += f"({usual:.2f} % by always giving class {shares.argmax()}, up to {min(limit, 100.0):.2f} % by luck)"
    if fitted:
        return f"{said}; give it more steps, more copies or another rate (fit_steps, copies, fit_rate)."
    if trainer.best > max(limit, accuracy):
        said += f"; the best state, {trainer.best:.2f} %, is kept"
    do = "lower the rate" if trainer.rate > USUAL_RATE else "train for more epochs or at another rate"
    return f"{said}; {do} ({trainer.rate:g})."
