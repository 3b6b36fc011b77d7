"""Learning from the scores of a trained network besides the labels."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from dynsim._check import as_like, as_number, refusal
from dynsim._files import digest
from dynsim.layers import softmax_cross_entropy

COLDEST = 0.01  # temperature: below, quotients of usual scores leave the range in which they can be told apart


class Distillation:
    """A trained network whose softened answers a smaller one learns, besides the labels.

    With scores z of the network that is trained and t of the trained one, and softmax_T(z) = softmax(z / T), the loss
    of an image of label y is (Hinton, Vinyals and Dean, arXiv:1503.02531, section 2)::

        (1 - share) H(y, softmax(z)) + share T^2 D(softmax_T(t) || softmax_T(z))

    where H is the cross-entropy and D the divergence of Kullback and Leibler, which differs from the cross-entropy by
    what does not depend on z. T^2 keeps the size of the forces as the temperature changes.

    Parameters
    ----------
    model : Model
        The trained network, as it is now: later changes do not matter.
    share : float
        Of the loss, from 0 to 1.
    temperature : float
        T, at least 0.01: at 1 the answers as they are; the higher, the more they say of classes that are not the most
        likely one.

    Raises
    ------
    ValueError, TypeError
        If the model is none, or a number is out of range.

    Examples
    --------
    >>> import dynsim
    >>> large = dynsim.models.mlp(widths=(64, 64, 10), weights=True)
    >>> digits = dynsim.datasets.load("digits")
    >>> result = dynsim.train(large, digits, epochs=3, batch=64, rate=0.2)
    >>> small = dynsim.models.mlp(widths=(64, 8, 10), copies=2, dim=3)
    >>> dynsim.train(small, digits, epochs=3, batch=64, rate=0.1, distillation=Distillation(large)).epochs
    3
    """

    def __init__(self, model, share: float = 0.9, temperature: float = 4.0):
        as_like(model, ("prepare", "arrays", "scores"), "Model", "model")
        self.share, self.temperature = self.check(share, temperature)
        self.arrays = digest("", list(model.arrays.values()))
        self._scores = model.prepare("dense")

    @staticmethod
    def check(share: float = 0.9, temperature: float = 4.0) -> tuple[float, float]:
        """Return both numbers; raises ValueError or TypeError where `Distillation` does."""
        if as_number(share, "share", minimum=0) > 1:
            raise refusal("share", share, "a share from 0 to 1")
        return float(share), as_number(temperature, "temperature", minimum=COLDEST)

    def expect(self, data) -> None:
        """Refuse (ValueError) a `Dataset` of other images or classes than the trained network knows."""
        try:
            scores = self.scores(data.train_images[:1])
        except ValueError as error:
            wanted = f"one that takes images of shape {data.train_images.shape[1:]} ({str(error).rstrip('.')})"
            raise refusal("distillation", "a network that does not", wanted) from error
        if scores.shape[1] != data.classes:
            raise refusal("distillation", f"a network of {scores.shape[1]} classes", f"one of {data.classes}")

    def scores(self, images: npt.NDArray) -> npt.NDArray:
        """Return what the trained network answers: scores (batch, classes)."""
        return self._scores(images)

    def loss(
        self, images: npt.NDArray, scores: npt.NDArray, labels: npt.NDArray, *, smoothing: float = 0.0
    ) -> tuple[float, npt.NDArray]:
        """Return the mean loss of a batch and dL/dscores; `smoothing` is that of the labels.

        Images are (batch, channels, height, width), scores (batch, classes) those of the network that is trained.
        """
        loss, gradient = softmax_cross_entropy(scores, labels, smoothing=smoothing)
        logs, taught = (_log_softmax(z / self.temperature) for z in (scores, self.scores(images)))
        answers = np.exp(taught)
        divergence = float(np.mean(np.sum(answers * (taught - logs), axis=1)))
        # The derivative of D in z is (softmax_T(z) - softmax_T(t)) / T.
        pull = (self.share * self.temperature / len(scores)) * (np.exp(logs) - answers)
        loss = (1 - self.share) * loss + self.share * self.temperature**2 * divergence
        return loss, ((1 - self.share) * gradient + pull).astype(gradient.dtype, copy=False)

    def described(self) -> dict:
        """What a training depends on, for its checkpoint."""
        return {"share": self.share, "temperature": self.temperature, "model": self.arrays}


def _log_softmax(scores):
    shifted = scores - scores.max(axis=1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
