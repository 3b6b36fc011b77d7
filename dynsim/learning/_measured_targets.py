"""Targets and metrics of a fit, measured on the signals that layers receive for a few images.

A layer with weights V and inputs x' replaces a layer with weights W and inputs x, so |V x' - W x|^2 shall be small,
without the means (a norm or a bias corrects them). With a ridge towards W itself this is a weighted least-squares
problem in V, (V - T) M (V - T)^T, with M = cov(x', x') + ridge and T = (W cov(x, x') + ridge W) M^-1.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

CHUNK = 100  # images whose patches are held at once
RIDGE = 0.3  # of the signals' mean variance: what weights are fitted to stays near the trained ones
DOUBT = 2.0  # times inputs of a neuron / examples, to be added: few examples show few directions, and those badly


def signals_of(model, images):
    """The inputs of every layer when images pass through a model, and the scores at the end."""
    seen = [images if model.preprocess is None else model.preprocess(images)]
    for layer in model.layers:
        seen.append(layer.forward(seen[-1]))
    return seen


def least_sure(model, images, count):
    """Indices of the `count` images whose two highest scores are closest, in the images' order; all if there are fewer.

    For these an error in a weight changes the class; for most other images it would have to be far larger.
    """
    highest = np.sort(model.scores(images), axis=1)[:, -2:]
    margins = highest[:, -1] - highest[:, 0]
    return np.sort(np.argsort(margins, kind="stable")[:count])


def correct_averages(model, reference, images, *, trained):
    """Correct the biases and the norms' averages of a fitted model layer by layer; returns every layer's inputs.

    `trained` is what `signals_of` returned for `reference`, the network that the model was fitted to. Biases make the
    mean of every layer's outputs on the images equal to that of the reference. A norm's averages become those of the
    reference, changed by the difference that the two networks show on these images, since an average over few images
    is not one over all.
    """
    seen = [images if model.preprocess is None else model.preprocess(images)]
    for number, layer in enumerate(model.layers):
        if layer.placed and layer.bias is not None:
            layer.bias.value += _means(trained[number + 1]) - _means(layer.forward(seen[-1]))
        if layer.averaged:
            (there, spread), (mean, variance) = _averages(seen[-1]), _averages(trained[number])
            original = reference.layers[number]
            ratio = np.where(variance > 0, spread / np.where(variance > 0, variance, 1), 1)
            # The difference of these images' mean from that of all scales as the signals do.
            layer.mean[...] = there + (original.mean - mean) * np.sqrt(ratio)
            layer.variance[...] = original.variance * ratio
        seen.append(layer.forward(seen[-1]))
    return seen


def _averages(signals):
    """Mean and variance of every channel, in float64."""
    axes = (0, *range(2, signals.ndim))
    return signals.mean(axis=axes, dtype=np.float64), signals.var(axis=axes, dtype=np.float64)


def importance(model):
    """How much a squared error in each output of each layer does to the squared error of the scores, {layer: (n,)}.

    Errors are followed forward as if they were independent: through weights by their squares, through a norm by
    (scale / deviation)^2, through a ReLU by a half. A convolution's counts for all places of the image where it stands.
    """
    counts, found = None, {}
    for number in range(len(model.layers) - 1, -1, -1):
        layer = model.layers[number]
        if layer.weighted:
            weights = layer.materialize()
            counts = np.ones(len(weights)) if counts is None else counts
            if len(counts) != len(weights):  # flattened images behind a convolution, channel by channel
                counts = counts.reshape(len(weights), -1).sum(axis=1)
            found[number] = counts
            squares = np.square(weights, dtype=np.float64)
            if weights.ndim == 3:  # depthwise: a channel's errors stay in it
                counts = counts * squares.sum(axis=(1, 2))
            else:
                counts = counts @ squares.reshape(*weights.shape[:2], -1).sum(axis=2)
        elif layer.averaged:
            factor = np.square(layer.scale.value, dtype=np.float64) / (layer.variance + layer.epsilon)
            counts = (counts.reshape(len(factor), -1) * factor[:, None]).sum(axis=1)
        if counts is not None and layer.relu:
            counts = counts / 2  # of signals around 0 half are cut, and their errors with them
    return found


def _means(signals):
    return signals.mean(axis=(0, *range(2, signals.ndim)), dtype=np.float64).astype(signals.dtype)


def target(weights, signals, *, trained, margin=0, ridge=None):
    """Return T (n, f) and M (f, f), of a depthwise convolution (n, f, f): one for each channel.

    Parameters
    ----------
    weights : ndarray, (n, m), (n_out, n_in, k, k) or (channels, k, k)
        Of the trained layer.
    signals, trained : ndarray
        Inputs of the fitted layer and of the trained one: (batch, m), or images (batch, n_in, height, width).
    margin : int
        Zeros around the images.
    ridge : float, optional
        In units of the mean variance of `signals`; see `ridge_target`.
    """
    options = {"margin": margin, "ridge": ridge}
    if weights.ndim == 3:
        channels = [
            target(weights[o][None, None], signals[:, o, None], trained=trained[:, o, None], **options)
            for o in range(len(weights))
        ]
        return np.concatenate([wanted for wanted, _ in channels]), np.stack([metric for _, metric in channels])
    flat = weights.reshape(len(weights), -1).astype(np.float64)
    count, sums, products, about = 0, 0.0, 0.0, None
    for start in range(0, len(signals), CHUNK):
        rows = [_rows(x[start : start + CHUNK], weights, margin) for x in (signals, trained)]
        both = np.concatenate(rows, axis=1)
        # From the mean of the first ones, so that nothing of a small variance around a large mean is lost.
        about = both.mean(axis=0, dtype=np.float64).astype(both.dtype) if about is None else about
        both -= about
        count += len(both)
        sums = sums + both.sum(axis=0, dtype=np.float64)
        products = products + (both.T @ both).astype(np.float64)
    mean = sums / count
    covariance = products / count - np.outer(mean, mean)
    size = flat.shape[1]
    parts = covariance[:size, :size], covariance[size:, :size]
    return ridge_target(flat, parts[0], cross=parts[1], count=count, ridge=ridge)


def ridge_target(
    weights: npt.NDArray, covariance: npt.NDArray, *, cross: npt.NDArray, count: int, ridge: float | None = None
) -> tuple[npt.NDArray, npt.NDArray]:
    """T (n, f) and M (f, f) of weights W (n, f), from cov(x', x') and cov(x, x') over `count` examples.

    The first index of cov(x, x') is that of x. Without a `ridge`, in units of the mean variance, it is
    RIDGE + DOUBT f / count.

    Examples
    --------
    >>> wanted, metric = ridge_target(np.ones((1, 2)), np.eye(2), cross=np.eye(2), count=10, ridge=0.5)
    >>> wanted, metric
    (array([[1., 1.]]), array([[1.5, 0. ],
           [0. , 1.5]]))
    """
    size = len(covariance)
    ridge = RIDGE + DOUBT * size / count if ridge is None else ridge
    pull = ridge * (max(0.0, np.trace(covariance)) / size or 1.0)
    metric = covariance + pull * np.eye(size)
    return np.linalg.solve(metric, (weights @ cross + pull * weights).T).T, metric


def _rows(signals, weights, margin):
    """The layer's input vectors as rows: signals, or all patches of images."""
    if weights.ndim == 2:
        return np.ascontiguousarray(signals)
    k = weights.shape[2]
    signals = np.pad(signals, ((0, 0), (0, 0), (margin, margin), (margin, margin)))
    patches = np.lib.stride_tricks.sliding_window_view(signals, (k, k), axis=(2, 3))
    return np.ascontiguousarray(patches.transpose(0, 2, 3, 1, 4, 5)).reshape(-1, signals.shape[1] * k * k)
