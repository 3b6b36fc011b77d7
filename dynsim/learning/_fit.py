"""Places fitted to the weights of a trained network, which stay fixed: the paper's equation 6."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from dynsim._check import as_array, as_callable, as_count, as_like, as_number

from ._moments import importance, settle, signals_of, target
from ._motion import Adam, one_cycle

PARTICLES = ("places", "strengths")
LOOKS = (0, 0.4, 0.6, 0.8)  # at these shares of the steps the signals are measured, on images if there are some


def fit(model, reference, steps=1500, rate=0.02, images=None, progress=None):
    """Fit a model's places and lambdas to the weights of a trained ordinary network.

    The sum over the layers of |W_places - W|^2 / |W|^2 is made small by Adam; neurons that layers share are fitted
    to all of them at once. Biases, norms and ordinary layers are copied. Without images no data is used. With a few,
    without their labels, errors count by what they do to a layer's outputs: at first on the signals that the trained
    layer sees, later on those that the layers fitted so far make of the images. At the end biases and the norms'
    averages are corrected by what the images show.

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
        Called after every step with (step, steps, error).

    Returns
    -------
    list of dict
        One entry a layer: its number, shape, relative squared error, and that of a truncated SVD with as many floats.

    Raises
    ------
    ValueError, TypeError
        If the networks differ in shape.

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
    pairs = copy_ordinary(model, reference)
    moved = [p for p in model.parameters.values() if p.kind in PARTICLES]
    if not moved:
        raise ValueError("model: it has no places; expected a model in DyN form.")
    for layer, weights in pairs:
        _rescale(layer, weights)
    motion = Adam(moved, {"strengths": 0.1})
    goals, errors = [_plain_goal(*pair) for pair in pairs], [1.0] * len(pairs)
    trained = None if images is None else signals_of(reference, images)
    counts = None if images is None else importance(reference)
    looks = set() if images is None else {int(share * steps) for share in LOOKS}
    for step in range(steps):
        if step in looks:
            # At first what the trained network sees; later what the layers fitted so far make of it.
            seen = trained if step == 0 else settle(model, reference, images, trained)
            goals = _goals(model, pairs, seen, trained, counts)
        for parameter in moved:
            parameter.reset()
        for k, goal in enumerate(goals):
            errors[k] = goal.pull()
        motion.step(one_cycle(step, steps, rate))
        if progress is not None:
            progress(step, steps, sum(errors))
    if images is not None:
        settle(model, reference, images, trained)
    return [_entry(model, layer, weights) for layer, weights in pairs]


def _rescale(layer, weights):
    """Give places that know nothing of the weights yet the weights' size, by lambda."""
    value = layer.materialize()
    if np.sum(np.square(value - weights)) >= np.sum(np.square(weights)) > 0:
        layer.strengths.value *= np.sqrt(np.sum(np.square(weights)) / np.sum(np.square(value)))


@dataclass
class _Goal:
    """The squared error of one layer: rows_o (W' - T)_o M (W' - T)_o^T summed over its outputs, M = 1 if None."""

    layer: object
    weights: np.ndarray
    metric: np.ndarray | None
    rows: np.ndarray

    def pull(self):
        """Add the gradient to the layer's parameters; returns the error."""
        value = self.layer.materialize()
        difference = value.reshape(self.weights.shape) - self.weights
        signal = difference if self.metric is None else difference @ self.metric
        signal = signal * self.rows
        self.layer.add_weight_gradient((2 * signal).reshape(value.shape))
        return float(np.sum(signal * difference, dtype=np.float64))


def _plain_goal(layer, weights):
    flat = weights.reshape(len(weights), -1)
    return _Goal(layer, flat, None, np.full((len(flat), 1), 1 / np.sum(np.square(flat)), flat.dtype))


def _goals(model, pairs, seen, trained, counts):
    """Every layer's outputs on the images as its goal, from what it sees and what the trained layer saw."""
    goals = []
    for layer, weights in pairs:
        number = model.layers.index(layer)
        flat, metric = target(weights, seen[number], trained[number])
        goals.append(_Goal(layer, *(array.astype(weights.dtype) for array in (flat, metric, counts[number][:, None]))))
    return goals


def copy_ordinary(model, reference):
    """Copy biases, norms and ordinary layers; return the layers in DyN form, each with its target weights."""
    targets = []
    if len(model.layers) != len(reference.layers):
        raise ValueError(f"reference: got {len(reference.layers)} layers; expected {len(model.layers)}, the model's.")
    for layer, trained in zip(model.layers, reference.layers, strict=True):
        if hasattr(layer, "places_in"):
            weights = trained.materialize() if hasattr(trained, "materialize") else np.empty(0)
            if weights.shape != layer.materialize().shape:
                raise ValueError(f"reference: got weights {weights.shape}; expected {layer.materialize().shape}.")
            targets.append((layer, weights.copy()))
            if layer.bias is not None and trained.bias is not None:
                layer.bias.value[...] = trained.bias.value
            continue
        stored = {**trained.parameters}
        for name, parameter in layer.parameters.items():
            parameter.value[...] = stored[name].value
        for name, buffer in getattr(layer, "buffers", {}).items():
            buffer[...] = trained.buffers[name]
    return targets


def _entry(model, layer, weights):
    """How well a layer was fitted, and what a truncated SVD makes of as many floats."""
    scale = float(np.sum(np.square(weights, dtype=np.float64)))
    error = float(np.sum(np.square(layer.materialize() - weights, dtype=np.float64))) / scale
    floats = sum(p.value.size for p in layer.parameters.values() if p.kind in PARTICLES)
    flat = weights if weights.ndim == 2 else weights.transpose(0, 2, 1, 3).reshape(len(weights) * weights.shape[2], -1)
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
