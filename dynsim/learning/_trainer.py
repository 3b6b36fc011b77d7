"""The training loop: epochs of batches, the best state on held-out images kept, going on where it stopped."""

from __future__ import annotations

import time
from contextlib import nullcontext

import numpy as np

from dynsim._check import refusal
from dynsim.errors import DivergedError
from dynsim.layers import softmax_cross_entropy

from ._accuracy import accuracy
from ._motion import MOTIONS, one_cycle
from ._perturbation import perturbed
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
    accuracy on the held-out images is measured; further models that it changes are listed in `also`. A `Distillation`
    gives the loss, where there is one; otherwise it is the cross-entropy of the labels. `held_seed` says
    which images are held out, where it is not `seed`.
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
        held_seed=None,
        smoothing=0.0,
        decay=0.0,
        noise=0.0,
        sphere=False,
        bits=None,
        augment=None,
        distillation=None,
        project=None,
        also=(),
    ):
        self.model, self.data, self.epochs, self.batch, self.rate = model, data, epochs, batch, rate
        self.smoothing, self.augment, self.project, self.also = smoothing, augment, project, list(also)
        self.decay, self.noise, self.distillation = decay, noise, distillation
        self.generator = np.random.default_rng(seed)
        order = self.generator.permutation(len(data.train_images))
        held = max(1, len(order) // 10)
        self.held_seed = seed if held_seed is None else held_seed
        if self.held_seed == seed:
            self.held_out, self.order = order[:held], order[held:]
        else:  # the images that an earlier training held out
            self.held_out = np.random.default_rng(self.held_seed).permutation(len(order))[:held]
            self.order = order[~np.isin(order, self.held_out)]
        if len(self.order) < batch:
            raise refusal("batch", batch, f"at most the {len(self.order)} images to train on")
        self.steps = len(self.order) // batch
        self.parameters = list(model.parameters.values())
        self.dtype = self.parameters[0].value.dtype
        self.motion = MOTIONS[motion](self.parameters, rates, sphere=sphere)
        self.quantiser = None if bits is None else Quantiser(model, bits)
        if self.quantiser is not None:
            self.quantiser.to_grid()
        self.epoch, self.best, self.spent, self.metrics = 0, -1.0, 0.0, []
        self.improved = False  # in the last epoch
        self.earlier = []  # epochs that were planned before there were to be more
        self.stopped = False  # by what `progress` or `after_epoch` returned
        self.kept = self._arrays()

    def run(self, progress=None, after_epoch=None):
        """Train the epochs that are left, or until a function returns true; however it ends, the best state is set."""
        try:
            while self.epoch < self.epochs and not self.stopped:
                self._one_epoch(progress)
                if after_epoch is not None and after_epoch(self):
                    self.stopped = True
        finally:
            self._fill(self.kept)

    def _one_epoch(self, progress):
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
        self.improved = validation >= self.best
        if self.improved:
            self.best, self.kept = validation, self._arrays()

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
        self._step(images.astype(self.dtype, copy=False), labels)
        self._move(0.0)

    def state(self):
        """All that the epochs left depend on."""
        return {
            "epochs": self.epochs,
            "epoch": self.epoch,
            "best": self.best,
            "spent": self.spent,
            "metrics": self.metrics,
            "earlier": self.earlier,
            "held_seed": self.held_seed,
            "order": self.order,
            "generator": self.generator.bit_generator.state,
            "motion": self.motion.state(),
            "arrays": self._arrays(),
            "kept": self.kept,
            **({"exact": [], "grids": []} if self.quantiser is None else self.quantiser.state()),
        }

    def restore(self, state, *, extend=False):
        """Take over what `state` returned; raises ValueError if it is of another training.

        With `extend` there may be more epochs than it was begun with.
        """
        arrays = self._arrays()
        same = len(state["order"]) == len(self.order) and state["held_seed"] == self.held_seed
        if not same or [(a.shape, a.dtype) for a in arrays] != [(a.shape, a.dtype) for a in state["arrays"]]:
            do = "give those that it was begun with, or begin anew"
            raise refusal("checkpoint", "one of another model or data set", "that of this training", do)
        more = self.epochs > state["epochs"] and extend
        if self.epochs != state["epochs"] and not more:
            do = "give as many; the model of the best epoch so far can be used as it is"
            if self.epochs > state["epochs"]:
                do = "give as many, or extend=True to go on to more"
            expected = f"{state['epochs']}, the number of epochs that the training was begun with"
            raise refusal("checkpoint", f"epochs {self.epochs}", expected, do)
        self.earlier = [*state["earlier"], state["epochs"]] if more else list(state["earlier"])
        self.epoch, self.best, self.spent = state["epoch"], state["best"], state["spent"]
        self.metrics, self.order, self.kept = list(state["metrics"]), state["order"], list(state["kept"])
        self.generator.bit_generator.state = state["generator"]
        self.motion.restore(state["motion"])
        self._fill(state["arrays"])
        if self.quantiser is not None:
            self.quantiser.restore(state)

    def rate_at(self, step):
        """The rate of a step, counted over all epochs."""
        return one_cycle(step, self.epochs * self.steps, peak=self.rate)

    def _epoch(self, progress):
        losses = []
        if self.quantiser is not None and self.epoch:
            self.quantiser.renew()
            self.quantiser.to_grid()
        self.order = self.generator.permutation(self.order)
        for step in range(self.steps):
            chosen = self.order[step * self.batch : (step + 1) * self.batch]
            images, labels = self.data.train_images[chosen], self.data.train_labels[chosen]
            if self.augment is not None:
                images = self.augment(images, self.generator)
            loss = self._step(images.astype(self.dtype, copy=False), labels)
            done, total = self.epoch * self.steps + step, self.epochs * self.steps
            if not np.isfinite(loss):
                raise self._diverged(f"the loss is {loss} in batch {step + 1}")
            self._move(self.rate_at(done))
            losses.append(loss)
            facts = {"epoch": self.epoch + 1, "epochs": self.epochs, "loss": loss}
            if progress is not None and progress(done + 1, total, **facts):
                self.stopped = True
        if not all(np.isfinite(array).all() for array in self._arrays()):
            raise self._diverged("the model has numbers that are not finite at the end")
        return float(np.mean(losses))

    def _diverged(self, said):
        kept = f"; the state of the best epoch so far ({self.best:.2f} %) is kept" if self.metrics else ""
        return DivergedError(f"training: {said} of epoch {self.epoch + 1}{kept}; lower the rate ({self.rate:g}).")

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
        noisy = perturbed(self.parameters, self.noise, self.generator, relative=True)
        with noisy if self.noise else nullcontext():
            scores = self.model.forward(images, training=True)
            if self.distillation is None:
                loss, gradient = softmax_cross_entropy(scores, labels, smoothing=self.smoothing)
            else:
                loss, gradient = self.distillation.loss(images, scores, labels, smoothing=self.smoothing)
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
