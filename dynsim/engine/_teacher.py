"""The loss on what a group emits, from which error signals set out."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.special import log_softmax, softmax

from dynsim._check import as_array, as_choice, as_count, as_number, refusal
from dynsim._described import Described

LOSSES = ("squared error", "cross-entropy")


class Teacher(Described):
    """A loss L on the signals that a group emits; neurons are pushed along f = -rate dL/dq.

    The signals of a system with a teacher are samples: the s columns of R and E. With E (n, s) of the group::

        squared error     L = 1 / (2 s) sum_ik (E_ik - Y_ik)^2
        cross-entropy     L = -1 / s sum_ik Y_ik log softmax(E)_ik,    over the neurons i of the group

    Error signals travel back through the relations by which signals came: with Phi of (1') and slopes act' at A R,

        S_i = A^T (act'(A R_i) D_i),      D_j = dL/dE_j + sum_h sum_i lambda_h[g(j), g(i)] phi(q_j^h, q_i^h) S_i

    and what goes and what comes make a force between two neurons and, by B, one on each:

        dL/dq_i^h = B^T D_i + sum_j (lambda_ij E_i . S_j + lambda_ji E_j . S_i) d phi / d q_i^h.

    At delay 0 this is the exact gradient. With a delay the error travels back with the same delay, and acts on neurons
    that have moved and receive other signals meanwhile: another system, whose force is the gradient only where motion
    is slow.

    Parameters
    ----------
    group : int
        The group whose signals are judged.
    targets : array_like
        Y (n, s); for cross-entropy also the labels (s,), whole numbers from 0 to n - 1.
    loss : {"squared error", "cross-entropy"}
    rate : float
        mu > 0.

    Raises
    ------
    ValueError, TypeError
        If a value is not what it should be; what does not fit a system is refused by `System`.

    References
    ----------
    Rumelhart, Hinton & Williams, Nature 323 (1986) 533; Almeida 1987 for recurrent systems.

    Examples
    --------
    >>> teacher = Teacher(1, [0, 1], loss="cross-entropy")
    >>> teacher.value([[2.0, 0.0], [0.0, 2.0]]).round(6).item()
    0.126928
    """

    def __init__(self, group: int, targets: npt.ArrayLike, *, loss: str = "squared error", rate: float = 1.0) -> None:
        self.group = as_count(group, "teacher group", minimum=0)
        self.loss = as_choice(loss, LOSSES, "teacher loss")
        self.rate = as_number(rate, "teacher rate", above=0)
        targets = as_array(targets, "teacher targets")
        labels = self.loss == "cross-entropy" and targets.ndim == 1
        if targets.ndim != 2 and not labels:
            expected = "(n, s)" + (" or labels (s,)" if self.loss == "cross-entropy" else "")
            raise refusal("teacher targets", f"shape {targets.shape}", expected)
        numbers = targets.astype(np.int64 if labels else np.float64)
        if labels and (np.any(numbers != targets) or numbers.min(initial=0) < 0):
            wrong = targets[(numbers != targets) | (numbers < 0)][0]
            raise refusal("teacher targets", f"the label {wrong:g}", "whole numbers from 0")
        if self.loss == "cross-entropy" and not labels:
            sums = numbers.sum(axis=0)
            if numbers.min(initial=0.0) < 0 or np.abs(sums - 1).max(initial=0.0) > 1e-6:
                raise refusal("teacher targets", "columns that are no probabilities", "numbers of at least 0, sum 1")
        numbers.setflags(write=False)
        self.targets = numbers

    def __repr__(self):
        return f"Teacher({self.loss} of group {self.group}, {self.targets.shape[-1]} samples, rate={self.rate:g})"

    def __reduce__(self):
        return _again, (self.group, self.targets, self.loss, self.rate)

    def facts(self) -> dict:
        """What a notebook shows it by."""
        samples = self.targets.shape[-1]
        return {"loss": self.loss, "group": self.group, "samples": samples, "rate": f"{self.rate:g}"}

    def expect(self, system) -> None:
        """Refuse a system that it cannot teach; raises ValueError."""
        groups = system.strengths.shape[-1]
        neurons, signals = int(np.sum(system._members == self.group)), system.signals
        if self.group >= groups or not neurons:
            raise refusal("teacher group", self.group, f"one of the groups 0 to {groups - 1} that has neurons")
        if self.group in system.clamped:
            do = "judge another group, or clamp this one no more"
            raise refusal("teacher group", f"{self.group}, whose signals are given", "one that emits its own", do)
        if system._delays.several or system.speed is not None:
            what = "several delays" if system.speed is None else "a finite speed of signals"
            raise refusal("teacher", what, "one delay for all pairs, or none, as errors travel back with it")
        if np.any(system.operators.C):
            expected = "C = 0, as the error of what velocities emit would act on accelerations"
            raise refusal("teacher", "an operator C", expected, "take A and B only")
        wanted = (neurons, signals) if self.targets.ndim == 2 else (signals,)
        if self.targets.shape != wanted:
            raise refusal("teacher targets", f"shape {self.targets.shape}", f"{wanted}, of the group's signals")
        if self.targets.ndim == 1 and self.targets.max() >= neurons:
            expected = f"labels below {neurons}, the number of neurons in the group"
            raise refusal("teacher targets", f"the label {self.targets.max()}", expected)

    def value(self, E: npt.ArrayLike) -> float:
        """L of the group's emitted signals (n, s), or of several such, (..., n, s)."""
        E = as_array(E, "E", dtype=np.float64, finite=False)
        if self.loss == "squared error":
            return 0.5 * np.square(E - self.targets).sum(axis=-2).mean(axis=-1)
        logs = log_softmax(E, axis=-2)
        if self.targets.ndim == 1:
            chosen = np.take_along_axis(logs, np.broadcast_to(self.targets, (*E.shape[:-2], 1, E.shape[-1])), axis=-2)
            return -chosen[..., 0, :].mean(axis=-1)
        return -(self.targets * logs).sum(axis=-2).mean(axis=-1)

    def slope(self, E: npt.NDArray) -> npt.NDArray:
        """dL/dE (n, s)."""
        if self.loss == "squared error":
            return (E - self.targets) / E.shape[1]
        share = softmax(E, axis=0)
        if self.targets.ndim == 1:
            share[self.targets, np.arange(len(self.targets))] -= 1.0
            return share / E.shape[1]
        return (share - self.targets) / E.shape[1]

    def correct(self, E: npt.ArrayLike) -> float:
        """Share of the samples whose largest signal is that of the wanted neuron, of E (n, s) or (..., n, s).

        Of one neuron: whose signal is on the wanted side of the mean target.
        """
        E = as_array(E, "E", dtype=np.float64, finite=False)
        if self.targets.ndim == 2 and len(self.targets) == 1:
            middle = self.targets.mean()
            return ((E[..., 0, :] > middle) == (self.targets[0] > middle)).mean(axis=-1)
        wanted = self.targets if self.targets.ndim == 1 else self.targets.argmax(axis=0)
        return (np.argmax(E, axis=-2) == wanted).mean(axis=-1)


def _again(group, targets, loss, rate):
    return Teacher(group, targets, loss=loss, rate=rate)
