"""Places fitted to the weights of a trained network, which stay fixed: the paper's equation 6."""

from __future__ import annotations

import numpy as np

from dynsim.kernels import as_array, as_callable, as_count, as_like, as_number

from ._motion import Adam, one_cycle

PARTICLES = ("places", "strengths")


def fit(model, reference, steps=1500, rate=0.02, images=None, progress=None):
    """Fit a model's places and lambdas to the weights of a trained ordinary network.

    The sum over the layers of |W_places - W|^2 / |W|^2 is made small by Adam; neurons that layers share are fitted
    to all of them at once. Biases, norms and ordinary layers are copied. Without images no data is used; with a few,
    the norms' averages are then measured anew, since weights that are fitted by least squares are a little too small.

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
        A few training images, some hundreds.
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
    targets = copy_ordinary(model, reference)
    moved = [p for p in model.parameters.values() if p.kind in PARTICLES]
    if not moved:
        raise ValueError("model: it has no places; expected a model in DyN form.")
    motion = Adam(moved, {"strengths": 0.1})
    scales = [float(np.sum(np.square(weights, dtype=np.float64))) for _, weights in targets]
    errors = [1.0] * len(targets)
    for step in range(steps):
        for parameter in moved:
            parameter.reset()
        for k, (layer, weights) in enumerate(targets):
            difference = layer.materialize() - weights
            errors[k] = float(np.sum(np.square(difference, dtype=np.float64))) / scales[k]
            layer.add_weight_gradient((difference * (2 / scales[k])).astype(weights.dtype))
        motion.step(one_cycle(step, steps, rate))
        if progress is not None:
            progress(step, steps, sum(errors))
    if images is not None:
        _calibrate(model, images)
    return [_entry(model, layer, weights) for layer, weights in targets]


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


def _calibrate(model, images):
    """Measure the norms' averages on images, layer after layer."""
    signals = images if model.prepare is None else model.prepare(images)
    for layer in model.layers:
        if not hasattr(layer, "momentum"):
            signals = layer.forward(signals)
            continue
        momentum, layer.momentum = layer.momentum, 1.0
        try:
            signals = layer.forward(signals, training=True)
        finally:
            layer.momentum = momentum


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
