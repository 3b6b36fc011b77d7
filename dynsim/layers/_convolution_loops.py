"""Convolutions and their gradients as compiled loops over rows.

Images are (channels, height, width, batch): a shift by one column is a shift by `batch` numbers in a row, the inner
loops run along rows, and no patches are copied. A row of the kernel at a time, two outputs share what is loaded, and
their sums and weights stand in registers. Each output row, and each slice of a gradient, belongs to one thread. Of a
margin of zeros around the images the columns are copied and the rows are left out. A kernel of 1 x 1 is a product of
matrices.
"""

from __future__ import annotations

from functools import cache

import numpy as np
from numba import njit, prange

from dynsim.kernels import launch, run_text

from ._aligned import aligned_empty

OUTPUTS = 2  # of one task, which share what is loaded
MOST_TAPS = 6  # with which the weights of two outputs stand in registers, once more for what a row has left
PART = 2048  # numbers of a row whose sums stay in the nearest cache


def widened(images, margin):
    """Images (channels, height, width, batch) with so many columns of zeros on either side; themselves where none."""
    if margin == 0:
        return images
    channels, height, width, batch = images.shape
    out = aligned_empty((channels, height, width + 2 * margin, batch), images.dtype)
    launch(_widen, out.size, rows_of(images), margin * batch, rows_of(out))
    return out


def convolve(images, weights, bias, margin=0):
    """y[o, r, c] = bias_o + sum_{i, a, b} W[o, i, a, b] x[i, r + a, c + b], images (n_in, height, width, batch).

    A bias of None is 0. The images have so many rows of zeros above and below, which are not in the array.
    """
    _, height, width, batch = images.shape
    n_out, _, k, _ = weights.shape
    if k == 1:
        out = aligned_empty((n_out, height * width * batch), images.dtype)
        np.matmul(weights[:, :, 0, 0], images.reshape(len(images), -1), out=out)
        if bias is not None:
            out += bias[:, None]
        return out.reshape(n_out, height, width, batch)
    bias = np.zeros(n_out, images.dtype) if bias is None else bias
    out = aligned_empty((n_out, height + 2 * margin - k + 1, width - k + 1, batch), images.dtype)
    _forward(k)(rows_of(images), weights, bias, batch, margin, rows_of(out))
    return out


def convolve_input(signal, weights, margin=0):
    """dL/dx of `convolve` of `widened` images from dL/dy (n_out, rows, columns, batch), without the margin's.

    It is the same with the kernel turned, over a margin of what the kernel has beyond the other.
    """
    turned = np.ascontiguousarray(weights[:, :, ::-1, ::-1].swapaxes(0, 1))
    margin = weights.shape[2] - 1 - margin
    return convolve(widened(signal, margin), turned, None, margin)


def convolve_weights(images, signal, k, margin=0):
    """dL/dW (n_out, n_in, k, k) of `convolve` from its input and dL/dy; the sums of rows are added in float64."""
    out = np.empty((len(signal), len(images), k, k), images.dtype)
    if k == 1:
        rows = np.matmul(rows_of(signal).swapaxes(0, 1), rows_of(images).transpose(1, 2, 0))
        out[:, :, 0, 0] = rows.sum(axis=0, dtype=np.float64)
    else:
        _weights(k)(rows_of(images), rows_of(signal), images.shape[3], margin, out)
    return out


def rows_of(array):
    """Images with each row as one axis of columns times batch."""
    return array.reshape(*array.shape[:2], -1)


def taps_text(k, together):
    """run(out, first, r, start, stop, weights, i, a, row, batch): add row a of the kernel to outputs first... of row r.

    Of the output rows numbers start to stop are meant.
    """
    outputs = range(together)
    lines = ["apart()", "widest_vectors()"]
    lines += [f"w_{o}_{c} = weights[first + {o}, i, a, {c}]" for o in outputs for c in range(k)]
    lines += [f"y_{o} = out[first + {o}, r, start:stop]" for o in outputs]
    lines += [f"x_{c} = row[{c} * batch + start : {c} * batch + stop]" for c in range(k)]
    lines += ["for j in range(y_0.shape[0]):"]
    for o in outputs:
        lines += [f"    y_{o}[j] = y_{o}[j] + {' + '.join(f'w_{o}_{c} * x_{c}[j]' for c in range(k))}"]
    return _text("out, first, r, start, stop, weights, i, a, row, batch", lines)


def slopes_text(k, together):
    """run(total, signal, first, r, row, batch): total[o, c] += sum_j dL/dy[first + o, r, j] x[c batch + j]."""
    outputs, sums = range(together), [(o, c) for o in range(together) for c in range(k)]
    lines = ["apart()", "widest_vectors()", f"length = row.shape[0] - {k - 1} * batch"]
    lines += [f"y_{o} = signal[first + {o}, r]" for o in outputs]
    lines += [f"x_{c} = row[{c} * batch : {c} * batch + length]" for c in range(k)]
    lines += [f"s_{o}_{c} = row.dtype.type(0)" for o, c in sums]
    lines += ["for j in range(y_0.shape[0]):", *(f"    s_{o}_{c} += y_{o}[j] * x_{c}[j]" for o, c in sums)]
    lines += [f"total[{o}, {c}] += s_{o}_{c}" for o, c in sums]
    return _text("total, signal, first, r, row, batch", lines)


def _text(arguments, lines):
    return "\n".join([f"def run({arguments}):", *(f"    {line}" for line in lines)])


@njit(cache=True, parallel=True, nogil=True)
def _widen(images, border, out):
    channels, rows, length = images.shape
    for task in prange(channels * rows):
        row, wide = images[task // rows, task % rows], out[task // rows, task % rows]
        wide[:border], wide[border : border + length], wide[border + length :] = 0, row, 0


@cache
def _forward(k):
    together = OUTPUTS if k <= MOST_TAPS else 1
    some, one = taps_text(k, together), taps_text(k, 1)

    @njit(cache=True, parallel=True, nogil=True)
    def loop(images, weights, bias, batch, margin, out):
        n_out, rows, length = out.shape
        for task in prange((n_out + OUTPUTS - 1) // OUTPUTS * rows):
            begin, r = task // rows * OUTPUTS, task % rows
            end = min(begin + OUTPUTS, n_out)
            for start in range(0, length, PART):
                stop = min(length, start + PART)
                for o in range(begin, end):
                    out[o, r, start:stop] = bias[o]
                for i in range(images.shape[0]):
                    for a in range(max(0, margin - r), min(k, images.shape[1] + margin - r)):
                        row, o = images[i, r + a - margin], begin
                        while o + together <= end:
                            run_text(some, out, o, r, start, stop, weights, i, a, row, batch)
                            o += together
                        if o < end:
                            run_text(one, out, o, r, start, stop, weights, i, a, row, batch)

    return loop


@cache
def _weights(k):
    two, one = slopes_text(k, OUTPUTS), slopes_text(k, 1)

    @njit(cache=True, parallel=True, nogil=True)
    def loop(images, signal, batch, margin, out):
        n_out, rows, _ = signal.shape
        n_in, height, _ = images.shape
        for task in prange((n_out + OUTPUTS - 1) // OUTPUTS * n_in):
            begin, i = task // n_in * OUTPUTS, task % n_in
            end = min(begin + OUTPUTS, n_out)
            total = np.zeros((k, OUTPUTS, k))
            for r in range(rows):
                for a in range(max(0, margin - r), min(k, height + margin - r)):
                    row = images[i, r + a - margin]
                    if begin + OUTPUTS == end:
                        run_text(two, total[a], signal, begin, r, row, batch)
                    else:
                        run_text(one, total[a], signal, begin, r, row, batch)
            for o in range(begin, end):
                out[o, i] = total[:, o - begin]

    return loop
