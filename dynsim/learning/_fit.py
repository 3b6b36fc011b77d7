"""Places fitted to the weights of a trained network, which stay fixed: the paper's equation 6."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from dynsim._check import as_array, as_callable, as_count, as_like, as_number, refusal
from dynsim.layers import Layer, Skip
from dynsim.models import Model

from ._measured_targets import correct_averages, importance, signals_of, target
from ._motion import Adam, one_cycle

PARTICLES = ("places", "strengths")
MEASURED_AT = (0, 0.4, 0.6, 0.8)  # shares of the steps at which signals are measured, if there are images


def fit(
    model: Model,
    reference: Model,
    *,
    steps: int = 1500,
    rate: float = 0.02,
    images: npt.ArrayLike | None = None,
    progress: Callable | None = None,
) -> list[dict]:
    """Fit a model's places and lambdas to the weights of a trained ordinary network.

    Adam minimises the sum over the layers of |W_places - W|^2 / |W|^2; neurons that layers share are fitted to all of
    them at once. Biases, norms and ordinary layers are copied. Without images no data are used. With a few, without
    their labels, errors count by their effect on a layer's outputs: at first for the inputs of the trained layer, later
    for those that the layers fitted so far give it. At the end biases and the norms' averages are corrected on the
    images.

    Parameters
    ----------
    model : Model
        In DyN form; changed in place.
    reference : Model
        The same network with weights.
    steps : int
    rate : float
        Peak of the one-cycle schedule.
    images : ndarray (n, channels, height, width), optional
        A few training images, some hundreds; `train` takes those of which the reference is least sure.
    progress : callable, optional
        Called after every step as `progress(done, total, error=e)`; the fit ends if it returns true.

    Returns
    -------
    list of dict
        One entry a layer: its number, shape, relative squared error, and that of a truncated SVD with as many floats.
        Places that layers share are counted to each of them.

    Raises
    ------
    ValueError, TypeError
        If the networks differ in shape, or there are images for one with bypasses, as `vit`.

    Examples
    --------
    >>> from dynsim.models import mlp
    >>> report = fit(mlp((6, 4, 3), copies=3, dim=3), mlp((6, 4, 3), weights=True), steps=20)
    >>> [entry["shape"] for entry in report]
    [(4, 6), (3, 4)]
    """
    steps, rate = as_count(steps, "steps"), as_number(rate, "rate", above=0)
    as_callable(progress, "progress")
    if images is not None:
        images = as_array(images, "images", ("n", "channels", "height", "width"))
    for network, name in ((model, "model"), (reference, "reference")):
        as_like(network, ("layers", "parameters"), "Model", name)
    if images is not None:
        expect_chain(model, "images")
    pairs = copy_ordinary(model, reference)
    moved = [p for p in model.parameters.values() if p.kind in PARTICLES]
    if not moved:
        raise refusal("model", "a model without places", "a model in DyN form")
    for layer, weights in pairs:
        _rescale(layer, weights)
    motion = Adam(moved, {"strengths": 0.1})
    errors = [_plain_error(*pair) for pair in pairs]
    trained = None if images is None else signals_of(reference, images)
    counts = None if images is None else importance(reference)
    measured_at = set() if images is None else {int(share * steps) for share in MEASURED_AT}
    for step in range(steps):
        if step in measured_at:
            # At first the inputs in the trained network, later those that the layers fitted so far give.
            inputs = trained if step == 0 else correct_averages(model, reference, images, trained=trained)
            errors = _measured_errors(model, pairs, inputs, trained, counts)
        for parameter in moved:
            parameter.reset()
        total = sum([error.add_gradient() for error in errors])
        if not np.isfinite(total):
            raise ValueError(f"fit: the error is {total} in step {step + 1}; lower the rate ({rate:g}).")
        motion.step(one_cycle(step, steps, peak=rate))
        if progress is not None and progress(step + 1, steps, error=total):
            break
    if images is not None:
        correct_averages(model, reference, images, trained=trained)
    return [_entry(model, layer, weights) for layer, weights in pairs]


def expect_chain(model, name):
    """Refuse a fit on images of a network whose signals pass layers by: its errors are not followed through it."""
    if any(isinstance(layer, Skip) for layer in model.layers):
        raise refusal(name, "some for a network with bypasses", "none", "fit it without images")


def _rescale(layer, weights):
    """Scale lambda to the weights' size where the places are not fitted to them yet."""
    value = layer.materialize()
    if np.sum(np.square(value - weights)) >= np.sum(np.square(weights)) > 0:
        layer.strengths.value *= np.sqrt(np.sum(np.square(weights)) / np.sum(np.square(value)))


@dataclass
class _Error:
    """The squared error of one layer: rows_o (W' - T)_o M (W' - T)_o^T summed over its outputs o, M = 1 if None.

    The metric M is (f, f), or (n, f, f): another one for every output.
    """

    layer: Layer
    weights: np.ndarray
    metric: np.ndarray | None
    rows: np.ndarray

    def add_gradient(self):
        """Add the gradient to the layer's parameters; returns the error."""
        value = self.layer.materialize()
        difference = value.reshape(self.weights.shape) - self.weights
        signal = difference
        if self.metric is not None:
            each = self.metric.ndim == 3
            signal = (difference[:, None] @ self.metric)[:, 0] if each else difference @ self.metric
        signal = signal * self.rows
        self.layer.add_weight_gradient((2 * signal).reshape(value.shape))
        return float(np.sum(signal * difference, dtype=np.float64))


def _plain_error(layer, weights):
    flat = weights.reshape(len(weights), -1)
    return _Error(layer, flat, None, np.full((len(flat), 1), 1 / np.sum(np.square(flat)), flat.dtype))


def _measured_errors(model, pairs, inputs, trained, counts):
    """Errors of every layer's outputs on the images, from its inputs and those of the trained layer."""
    errors = []
    for layer, weights in pairs:
        number = model.layers.index(layer)
        margin = getattr(layer, "margin", 0)
        flat, metric = target(weights, inputs[number], trained=trained[number], margin=margin)
        arrays = (array.astype(weights.dtype) for array in (flat, metric, counts[number][:, None]))
        errors.append(_Error(layer, *arrays))
    return errors


def pair_layers(model, reference):
    """Return all layers of both networks side by side; raises ValueError where one cannot be fitted to the other."""
    if len(model.layers) != len(reference.layers):
        raise refusal("reference", f"{len(reference.layers)} layers", f"{len(model.layers)}, the model's")
    for layer, trained in zip(model.layers, reference.layers, strict=True):
        if layer.placed:
            shape = trained.materialize().shape if trained.weighted else (0,)
            if shape != layer.materialize().shape:
                raise refusal("reference", f"weights {shape}", layer.materialize().shape)
        elif {n: p.value.shape for n, p in layer.parameters.items()} != {
            n: p.value.shape for n, p in trained.parameters.items()
        }:
            names = [type(one).__name__ for one in (trained, layer)]
            raise refusal("reference", f"a {names[0]} of other sizes", f"the model's {names[1]}")
    return list(zip(model.layers, reference.layers, strict=True))


def copy_ordinary(model, reference):
    """Copy biases, norms and ordinary layers; return the layers in DyN form, each with its target weights."""
    targets = []
    for layer, trained in pair_layers(model, reference):
        if layer.placed:
            targets.append((layer, trained.materialize().copy()))
            if layer.bias is not None and trained.bias is not None:
                layer.bias.value[...] = trained.bias.value
            continue
        stored = {**trained.parameters}
        for name, parameter in layer.parameters.items():
            parameter.value[...] = stored[name].value
        for name, buffer in layer.buffers.items():
            buffer[...] = trained.buffers[name]
    return targets


def _entry(model, layer, weights):
    """Error of a layer's fit, and that of a truncated SVD with as many floats."""
    scale = float(np.sum(np.square(weights, dtype=np.float64)))
    error = float(np.sum(np.square(layer.materialize() - weights, dtype=np.float64))) / scale
    floats = sum(p.value.size for p in layer.parameters.values() if p.kind in PARTICLES)
    flat = weights.reshape(len(weights), -1)
    if weights.ndim == 4:
        flat = weights.transpose(0, 2, 1, 3).reshape(len(weights) * weights.shape[2], -1)
    rank = min(floats // sum(flat.shape), min(flat.shape))
    values = np.linalg.svd(flat.astype(np.float64), compute_uv=False)
    return {
        "layer": model.layers.index(layer),
        "shape": weights.shape,
        "floats": floats,
        "error": error,
        "svd_rank": rank,
        "svd_error": float(np.sum(values[rank:] ** 2)) / scale,
    }
