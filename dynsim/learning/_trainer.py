"""The training loop: epochs of batches, the best state on held-out images kept, going on where it stopped."""

from __future__ import annotations

import time
from contextlib import nullcontext

import numpy as np

from dynsim._check import refusal
from dynsim.layers import softmax_cross_entropy

from ._accuracy import accuracy
from ._motion import MOTIONS, one_cycle
from ._quantise import Quantiser

SMALL = 2**25  # multiply-accumulates of one product, about a millisecond


def blas_threads(model, batch):
    """A context in which BLAS has one thread if all products of the model are small.

    Its idle threads spin and take processor time from the kernels' loops; a second thread gains less than that on small
    products. With one thread a training also has the same bits on any number of cores.
    """
    largest = max((layer.materialize().size for layer in model.layers if layer.weighted), default=0)
    if largest * batch > SMALL:
        return nullcontext()
    from threadpoolctl import threadpool_limits

    return threadpool_limits(1, "blas")


class Trainer:
    """Train `model` on nine tenths of the training images; the last tenth chooses the best epoch.

    `augment(images, generator)` changes a batch's images. `project(trainer)` is called after every epoch, before the
    accuracy on the held-out images is measured; further models that it changes are listed in `also`.
    """

    def __init__(
        self,
        model,
        data,
        *,
        epochs,
        batch,
        rate,
        motion,
        rates,
        seed,
        smoothing=0.0,
        decay=0.0,
        sphere=False,
        bits=None,
        augment=None,
        project=None,
        also=(),
    ):
        self.model, self.data, self.epochs, self.batch, self.rate = model, data, epochs, batch, rate
        self.smoothing, self.augment, self.project, self.also = smoothing, augment, project, list(also)
        self.decay = decay
        self.generator = np.random.default_rng(seed)
        order = self.generator.permutation(len(data.train_images))
        held = max(1, len(order) // 10)
        self.held_out, self.order = order[:held], order[held:]
        if len(self.order) < batch:
            raise refusal("batch", batch, f"at most the {len(self.order)} images to train on")
        self.steps = len(self.order) // batch
        self.parameters = list(model.parameters.values())
        self.motion = MOTIONS[motion](self.parameters, rates, sphere=sphere)
        self.quantiser = None if bits is None else Quantiser(model, bits)
        if self.quantiser is not None:
            self.quantiser.to_grid()
        self.epoch, self.best, self.spent, self.metrics = 0, -1.0, 0.0, []
        self.stopped = False  # by what `progress` returned
        self.kept = self._arrays()

    def run(self, progress=None, after_epoch=None):
        """Train the epochs that are left, or until `progress` returns true, then set the best state."""
        while self.epoch < self.epochs and not self.stopped:
            began = time.perf_counter()
            loss = self._epoch(progress)
            if self.project is not None:
                self.project(self)
            seconds = time.perf_counter() - began
            self.spent += seconds
            self.epoch += 1
            validation = self.validate()
            self.metrics.append(
                {"epoch": self.epoch, "train_loss": loss, "validation_accuracy": validation, "seconds": seconds}
            )
            if validation >= self.best:
                self.best, self.kept = validation, self._arrays()
            if after_epoch is not None:
                after_epoch(self)
        self._fill(self.kept)

    def validate(self, model=None):
        """Accuracy on the held-out images, in percent."""
        model = self.model if model is None else model
        images, labels = self.data.train_images[self.held_out], self.data.train_labels[self.held_out]
        return accuracy(model, images, labels=labels)

    def trial(self):
        """Do the work of one batch without changing anything, to measure its cost."""
        images, labels = (array[self.order[: self.batch]] for array in (self.data.train_images, self.data.train_labels))
        if self.augment is not None:
            images = self.augment(images, self.generator)
        self._step(images, labels)
        self._move(0.0)

    def state(self):
        """All that the epochs left depend on."""
        return {
            "epochs": self.epochs,
            "epoch": self.epoch,
            "best": self.best,
            "spent": self.spent,
            "metrics": self.metrics,
            "order": self.order,
            "generator": self.generator.bit_generator.state,
            "motion": self.motion.state(),
            "arrays": self._arrays(),
            "kept": self.kept,
            "exact": [] if self.quantiser is None else self.quantiser.exact,
            "grids": [] if self.quantiser is None else [[float(x) for x in grid] for grid in self.quantiser.grids],
        }

    def restore(self, state):
        """Take over what `state` returned; raises ValueError if it is of another training."""
        arrays = self._arrays()
        same = state["epochs"] == self.epochs and len(state["order"]) == len(self.order)
        if not same or [(a.shape, a.dtype) for a in arrays] != [(a.shape, a.dtype) for a in state["arrays"]]:
            raise ValueError("checkpoint: it is of another model, data set or number of epochs; give those it is of.")
        self.epoch, self.best, self.spent = state["epoch"], state["best"], state["spent"]
        self.metrics, self.order, self.kept = list(state["metrics"]), state["order"], list(state["kept"])
        self.generator.bit_generator.state = state["generator"]
        self.motion.restore(state["motion"])
        self._fill(state["arrays"])
        if self.quantiser is not None:
            if len(state["exact"]) != len(self.quantiser.exact):
                raise ValueError("checkpoint: it is of a training without bits; give those it is of.")
            for exact, stored in zip(self.quantiser.exact, state["exact"], strict=True):
                exact[...] = stored
            self.quantiser.grids = [tuple(np.float32(x) for x in grid) for grid in state["grids"]]

    def _epoch(self, progress):
        losses = []
        self.order = self.generator.permutation(self.order)
        for step in range(self.steps):
            chosen = self.order[step * self.batch : (step + 1) * self.batch]
            images, labels = self.data.train_images[chosen], self.data.train_labels[chosen]
            if self.augment is not None:
                images = self.augment(images, self.generator)
            loss = self._step(images, labels)
            if not np.isfinite(loss):
                where = f"epoch {self.epoch + 1}, batch {step + 1}"
                raise ValueError(f"training: loss is {loss} in {where}; lower the rate ({self.rate}).")
            done, total = self.epoch * self.steps + step, self.epochs * self.steps
            self._move(one_cycle(done, total, peak=self.rate))
            losses.append(loss)
            facts = {"epoch": self.epoch + 1, "epochs": self.epochs, "loss": loss}
            if progress is not None and progress(done + 1, total, **facts):
                self.stopped = True
        return float(np.mean(losses))

    def _move(self, rate):
        if self.decay:
            for parameter, factor in zip(self.parameters, self.motion.rates, strict=True):
                if parameter.kind == "weights":  # a friction of its own, not part of the force
                    parameter.value *= 1 - rate * factor * self.decay
        if self.quantiser is None:
            self.motion.step(rate)
            return
        self.quantiser.to_exact()
        self.motion.step(rate)
        self.quantiser.moved()
        self.quantiser.to_grid()

    def _step(self, images, labels):
        """One forward and backward pass; leaves the gradients in the parameters."""
        for parameter in self.parameters:
            parameter.reset()
        loss, gradient = softmax_cross_entropy(
            self.model.forward(images, training=True), labels, smoothing=self.smoothing
        )
        self.model.backward(gradient)
        return loss

    def _models(self):
        return [self.model, *self.also]

    def _arrays(self):
        return [array.copy() for model in self._models() for array in model.arrays.values()]

    def _fill(self, arrays):
        targets = [array for model in self._models() for array in model.arrays.values()]
        for array, value in zip(targets, arrays, strict=True):
            array[...] = value
