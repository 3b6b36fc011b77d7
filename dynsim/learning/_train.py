"""Training by forces: the loss's signal travels back and becomes a force on every neuron."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

import numpy as np

from dynsim.kernels import as_count, as_number
from dynsim.layers import softmax_cross_entropy

from ._blas import blas_threads
from ._evaluate import accuracy
from ._motion import MOTIONS, one_cycle
from ._record import TrainingRecord


@dataclass
class TrainingResult:
    """What a training came to: accuracies in percent, seconds, one entry of `metrics` per epoch.

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


def train(
    model,
    data,
    method="forces",
    *,
    epochs=3,
    batch=128,
    rate=0.02,
    motion="adam",
    rates=None,
    seed=0,
    trajectory=None,
    progress=None,
):
    """Train a model on a data set; the test set is read once, at the end.

    Ten percent of the training images are held out; the state of the epoch that is best on them is kept.

    Parameters
    ----------
    model : Model
        Changed in place.
    data : Dataset
        As `dynsim.datasets.load` returns it.
    method : str
        "forces": f = -dL/dq on every neuron, exact.
    epochs, batch : int
    rate : float
        Peak of the one-cycle schedule for the places; lambda and ordinary numbers move at a tenth of it.
    motion : {"adam", "inertial", "overdamped"}
        Equation of motion.
    rates : dict, optional
        Factors per kind of parameter ("places", "strengths", "weights", "bias", "norm").
    seed : int
        Of the held-out part and the order of images.
    trajectory : path, optional
        Write the places after every epoch there.
    progress : callable, optional
        Called after every batch with (epoch, step, steps, loss).

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
    if method != "forces":
        raise ValueError(f"method: got {method!r}; expected forces.")
    if motion not in MOTIONS:
        raise ValueError(f"motion: got {motion!r}; expected one of {', '.join(MOTIONS)}.")
    epochs, batch = as_count(epochs, "epochs"), as_count(batch, "batch", minimum=2)
    rate = as_number(rate, "rate", above=0)
    with blas_threads(model, batch):
        return _train(model, data, method, epochs, batch, rate, motion, rates, seed, trajectory, progress)


def _train(model, data, method, epochs, batch, rate, motion, rates, seed, trajectory, progress):
    generator = np.random.default_rng(seed)
    order = generator.permutation(len(data.train_images))
    held = max(1, len(order) // 10)
    held_out, order = order[:held], order[held:]
    if len(order) < batch:
        raise ValueError(f"batch: got {batch}; expected at most the {len(order)} images to train on.")
    parameters = list(model.parameters.values())
    equation = MOTIONS[motion](parameters, rates)
    record = TrainingRecord(trajectory, model, seed) if trajectory is not None else None
    steps = len(order) // batch
    best, kept, metrics, spent = -1.0, None, [], 0.0
    try:
        if record is not None:
            record.write(0, float("nan"), accuracy(model, data.train_images[held_out], data.train_labels[held_out]))
        for epoch in range(epochs):
            began, losses = time.perf_counter(), []
            order = generator.permutation(order)
            for step in range(steps):
                chosen = order[step * batch : (step + 1) * batch]
                loss = _step(model, parameters, data.train_images[chosen], data.train_labels[chosen])
                if not np.isfinite(loss):
                    raise ValueError(
                        f"training: loss is {loss} in epoch {epoch + 1}, batch {step + 1}; lower the rate ({rate})."
                    )
                equation.step(one_cycle(epoch * steps + step, epochs * steps, rate))
                losses.append(loss)
                if progress is not None:
                    progress(epoch, step, steps, loss)
            seconds = time.perf_counter() - began
            spent += seconds
            validation = accuracy(model, data.train_images[held_out], data.train_labels[held_out])
            metrics.append(
                {
                    "epoch": epoch + 1,
                    "train_loss": float(np.mean(losses)),
                    "validation_accuracy": validation,
                    "seconds": seconds,
                }
            )
            if record is not None:
                record.write(epoch + 1, metrics[-1]["train_loss"], validation)
            if validation >= best:
                best, kept = validation, {name: array.copy() for name, array in model.arrays.items()}
    finally:
        if record is not None:
            record.close()
    for name, array in model.arrays.items():
        array[...] = kept[name]
    test = accuracy(model, data.test_images, data.test_labels)
    result = TrainingResult(test, best, epochs, spent / epochs, metrics)
    model.results = {"data": data.name, "method": method, "test_accuracy": test, "validation_accuracy": best}
    model.results |= {"epochs": epochs, "batch": batch, "rate": rate, "motion": motion, "seed": seed}
    return result


def _step(model, parameters, images, labels):
    """One forward and backward pass; leaves the gradients in the parameters."""
    for parameter in parameters:
        parameter.reset()
    loss, gradient = softmax_cross_entropy(model.forward(images, training=True), labels)
    model.backward(gradient)
    return loss
