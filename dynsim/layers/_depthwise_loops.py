"""Depthwise convolutions and their gradients as compiled loops over rows, as `_convolution_loops` for one channel.

The functions have the names and the arguments of those for all channels; weights are (channels, k, k). Each output row,
and each channel of a gradient, belongs to one thread.
"""

from __future__ import annotations

from functools import cache

import numpy as np
from numba import njit, prange

from dynsim.kernels import launch, run_text

from ._aligned import aligned_empty
from ._convolution_loops import PART, rows_of, slopes_text, taps_text, widened


def convolve(images, weights, bias, margin=0):
    """y[o, r, c] = bias_o + sum_{a, b} W[o, a, b] x[o, r + a, c + b], images (channels, height, width, batch).

    A bias of None is 0. The images have so many rows of zeros above and below, which are not in the array.
    """
    channels, height, width, batch = images.shape
    k = weights.shape[2]
    bias = np.zeros(channels, images.dtype) if bias is None else bias
    out = aligned_empty((channels, height + 2 * margin - k + 1, width - k + 1, batch), images.dtype)
    launch(_forward(k), out.size * k * k, rows_of(images), weights[:, None], bias, batch, margin, rows_of(out))
    return out


def convolve_input(signal, weights, margin=0):
    """dL/dx of `convolve` of `widened` images from dL/dy (channels, rows, columns, batch), without the margin's."""
    margin = weights.shape[2] - 1 - margin
    turned = np.ascontiguousarray(weights[:, ::-1, ::-1])
    return convolve(widened(signal, margin), turned, None, margin)


def convolve_weights(images, signal, k, margin=0):
    """dL/dW (channels, k, k) of `convolve` from its input and dL/dy; the sums of rows are added in float64."""
    out = np.empty((len(images), k, k), images.dtype)
    launch(_weights(k), signal.size * k * k, rows_of(images), rows_of(signal), images.shape[3], margin, out)
    return out


@cache
def _forward(k):
    taps = taps_text(k, 1)

    @njit(cache=True, parallel=True, nogil=True)
    def loop(images, weights, bias, batch, margin, out):
        channels, rows, length = out.shape
        for task in prange(channels * rows):
            o, r = task // rows, task % rows
            for start in range(0, length, PART):
                stop = min(length, start + PART)
                out[o, r, start:stop] = bias[o]
                for a in range(max(0, margin - r), min(k, images.shape[1] + margin - r)):
                    run_text(taps, out, o, r, start, stop, weights, 0, a, images[o, r + a - margin], batch)

    return loop


@cache
def _weights(k):
    slopes = slopes_text(k, 1)

    @njit(cache=True, parallel=True, nogil=True)
    def loop(images, signal, batch, margin, out):
        channels, rows, _ = signal.shape
        for o in prange(channels):
            total = np.zeros((k, 1, k))
            for r in range(rows):
                for a in range(max(0, margin - r), min(k, images.shape[1] + margin - r)):
                    run_text(slopes, total[a], signal, o, r, images[o, r + a - margin], batch)
            out[o] = total[:, 0]

    return loop
