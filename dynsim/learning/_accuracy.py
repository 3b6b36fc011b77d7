"""Accuracy of a model, as it is and with perturbed numbers."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from dynsim._check import as_array, as_callable, as_choice, as_count, as_flag, as_like, as_number, refusal
from dynsim.models import Model

from ._perturbation import NOISES, perturbed

PART = 500  # images between two calls of `progress`, as many as a model takes at once


def accuracy(
    model: Model,
    images: npt.ArrayLike,
    *,
    labels: npt.ArrayLike,
    inference: str = "dense",
    progress: Callable | None = None,
) -> float:
    """Return the share of images that are classified correctly, in percent.

    `progress(done, total)` is called after every part with numbers of images; if it returns true, the share of the
    images so far is returned.

    Raises
    ------
    ValueError
        If there are no images, or images and labels differ in number.
    """
    as_like(model, ("prepare", "parameters"), "Model", "model")
    images = as_array(images, "images", ("n", "channels", "height", "width"))
    labels = as_array(labels, "labels", ("n",))
    as_callable(progress, "progress")
    if not len(images) or len(images) != len(labels):
        raise refusal("images", f"{len(images)} with {len(labels)} labels", "as many, at least one")
    right = done = 0
    prepared = model.prepare(inference, batch=PART)
    for start in range(0, len(images), PART):
        some = slice(start, start + PART)
        right += int(np.count_nonzero(prepared.predict(images[some]) == labels[some]))
        done += len(labels[some])
        if progress is not None and progress(done, len(images)):
            break
    return 100.0 * right / done


def evaluate(
    model: Model,
    images: npt.ArrayLike,
    *,
    labels: npt.ArrayLike,
    delta: float = 0.0,
    noise: str = "uniform",
    draws: int = 1,
    relative: bool = False,
    seed: int = 0,
    inference: str = "dense",
    progress: Callable | None = None,
) -> dict:
    """Accuracy in percent of a model whose places, lambdas and weights are perturbed by delta.

    Parameters
    ----------
    model : Model
        Unchanged afterwards.
    images, labels : ndarray (n, channels, height, width) and (n,)
    delta : float
        Size of the perturbation; 0 is "ideal".
    noise : {"uniform", "gaussian", "round", "floor"}
        Uniform in [-delta, delta], normal with deviation delta, or to multiples of delta.
    draws : int
        Repetitions of the random kinds.
    relative : bool
        delta in units of each array's root mean square, of what is not pruned.
    seed : int
    inference : {"dense", "tiled", "weight-free", "auto"}
        How layers of particles compute their products.
    progress : callable, optional
        Called as `progress(done, total, draw=k)` with numbers of images over all draws; if it returns true, the
        evaluation ends with the images of this draw so far.

    Returns
    -------
    dict
        "mean", "deviation" (of one draw, 0 for a single one), "accuracies", and "interval" with its "coverage": see
        `prediction_interval`.

    Raises
    ------
    ValueError, TypeError
        If an argument is out of range.

    Examples
    --------
    >>> import dynsim
    >>> data = dynsim.datasets.load("digits")
    >>> model = dynsim.models.mlp(widths=(64, 10), copies=2, dim=2)
    >>> sorted(dynsim.evaluate(model, data.test_images[:9], labels=data.test_labels[:9], delta=0.1, draws=2))
    ['accuracies', 'coverage', 'deviation', 'interval', 'mean']
    """
    delta, draws = as_number(delta, "delta", minimum=0), as_count(draws, "draws")
    as_choice(noise, NOISES, "noise")
    as_flag(relative, "relative")
    as_callable(progress, "progress")
    as_count(seed, "seed", minimum=0)
    as_like(model, ("prepare", "parameters"), "Model", "model")
    generator = np.random.default_rng(seed)
    repeats = draws if delta > 0 and noise in ("uniform", "gaussian") else 1
    results, stopped = [], False

    def tell(done, total):
        nonlocal stopped
        draw = len(results)
        stopped = progress is not None and bool(progress(draw * total + done, repeats * total, draw=draw + 1))
        return stopped

    while len(results) < repeats and not stopped:
        with perturbed(model.parameters.values(), delta, generator, noise=noise, relative=relative):
            results.append(accuracy(model, images, labels=labels, inference=inference, progress=tell))
    deviation = float(np.std(results, ddof=1)) if len(results) > 1 else 0.0
    interval, coverage = prediction_interval(results)
    found = {"mean": float(np.mean(results)), "deviation": deviation, "accuracies": results}
    return found | {"interval": interval, "coverage": coverage}


def prediction_interval(values, wanted=0.9):
    """Return two of n values, and the probability with which a further draw falls between them (or on one of them).

    It is 1 - 2 r / (n + 1) between the r-th lowest and the r-th highest, whatever the distribution, since a further
    draw is as likely to take any of the n + 1 ranks. r is the largest with the wanted probability, or 1: with fewer
    than 19 values even the lowest and the highest do not reach 90 %.

    Examples
    --------
    >>> interval, coverage = prediction_interval(range(10))
    >>> interval, round(coverage, 2)
    ([0.0, 9.0], 0.82)
    >>> prediction_interval(range(39))
    ([1.0, 37.0], 0.9)
    """
    ordered = sorted(map(float, values))
    n = len(ordered)
    r = max(1, int(round((1 - wanted) / 2 * (n + 1), 9)))
    return [ordered[r - 1], ordered[n - r]], max(0.0, 1 - 2 * r / (n + 1))
