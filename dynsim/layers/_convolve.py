"""Convolutions of a batch that lies last, (channels, height, width * batch): rows are long and contiguous.

A kernel's shift by one column is a shift by `batch` numbers in a row, so the inner loops are plain vector sums; no
patches are copied. Each output row, and each slice of a gradient, belongs to one thread and is added in a fixed order.
"""

from __future__ import annotations

from functools import cache

import numpy as np
from numba import njit, prange

MATH = {"reassoc", "contract", "nsz"}


def convolve(images, weights, bias):
    """y[o, r, c] = bias_o + sum_{i, a, b} W[o, i, a, b] x[i, r + a, c + b], images (n_in, height, width, batch)."""
    _, height, width, batch = images.shape
    n_out, _, k, _ = weights.shape
    out = np.empty((n_out, height - k + 1, width - k + 1, batch), images.dtype)
    _forward(k)(_rows(images), weights.reshape(n_out, -1), bias, batch, _rows(out))
    return out


def convolve_input(signal, weights, width):
    """dL/dx of `convolve` from dL/dy (n_out, rows, columns, batch), for inputs of this width."""
    _, rows, _, batch = signal.shape
    _, n_in, k, _ = weights.shape
    out = np.zeros((n_in, rows + k - 1, width, batch), signal.dtype)
    _input(k)(_rows(signal), weights, batch, _rows(out))
    return out


def convolve_weights(images, signal, k):
    """dL/dW (n_out, n_in, k, k) of `convolve` from its input and dL/dy."""
    out = np.empty((len(signal), len(images), k, k), images.dtype)
    _weights(k)(_rows(images), _rows(signal), images.shape[3], out)
    return out


def _rows(array):
    return array.reshape(*array.shape[:2], -1)


@cache
def _forward(k):
    @njit(cache=True, inline="always")
    def tap(images, number, r, batch, length):
        """The input row that tap `number` of the kernel sees, shifted by its column."""
        start = number % k * batch
        return images[number // (k * k), r + number // k % k][start : start + length]

    @njit(cache=True, parallel=True, fastmath=MATH, nogil=True)
    def loop(images, weights, bias, batch, out):
        n_out, rows, length = out.shape
        taps = weights.shape[1]
        for task in prange((n_out + 1) // 2 * rows):
            o, r = task // rows * 2, task % rows
            p = min(o + 1, n_out - 1)
            one, two = out[o, r], out[p, r]
            one[:] = bias[o]
            two[:] = bias[p]
            w, v = weights[o], weights[p]
            for t in range(0, taps - 3, 4):
                a, b = tap(images, t, r, batch, length), tap(images, t + 1, r, batch, length)
                c, d = tap(images, t + 2, r, batch, length), tap(images, t + 3, r, batch, length)
                wa, wb, wc, wd = w[t], w[t + 1], w[t + 2], w[t + 3]
                for j in range(length):
                    one[j] += wa * a[j] + wb * b[j] + wc * c[j] + wd * d[j]
                if p > o:
                    va, vb, vc, vd = v[t], v[t + 1], v[t + 2], v[t + 3]
                    for j in range(length):
                        two[j] += va * a[j] + vb * b[j] + vc * c[j] + vd * d[j]
            for t in range(taps - taps % 4, taps):
                a = tap(images, t, r, batch, length)
                for j in range(length):
                    one[j] += w[t] * a[j]
                if p > o:
                    for j in range(length):
                        two[j] += v[t] * a[j]

    return loop


@cache
def _input(k):
    @njit(cache=True, parallel=True, fastmath=MATH, nogil=True)
    def loop(signal, weights, batch, out):
        n_out, rows, length = signal.shape
        height = out.shape[1]
        for task in prange(out.shape[0] * height):
            i, y = task // height, task % height
            dx = out[i, y]
            for kr in range(max(0, y - rows + 1), min(k, y + 1)):
                r = y - kr
                for o in range(0, n_out - 3, 4):
                    a, b, c, d = signal[o, r], signal[o + 1, r], signal[o + 2, r], signal[o + 3, r]
                    for kc in range(k):
                        wa, wb = weights[o, i, kr, kc], weights[o + 1, i, kr, kc]
                        wc, wd = weights[o + 2, i, kr, kc], weights[o + 3, i, kr, kc]
                        part = dx[kc * batch : kc * batch + length]
                        for j in range(length):
                            part[j] += wa * a[j] + wb * b[j] + wc * c[j] + wd * d[j]
                for o in range(n_out - n_out % 4, n_out):
                    a = signal[o, r]
                    for kc in range(k):
                        wa = weights[o, i, kr, kc]
                        part = dx[kc * batch : kc * batch + length]
                        for j in range(length):
                            part[j] += wa * a[j]

    return loop


@cache
def _weights(k):
    @njit(cache=True, parallel=True, fastmath=MATH, nogil=True)
    def loop(images, signal, batch, out):
        n_out, rows, length = signal.shape
        n_in = images.shape[0]
        for task in prange(n_out * n_in):
            o, i = task // n_in, task % n_in
            total = np.zeros((k, k))
            for r in range(rows):
                dy = signal[o, r]
                for kr in range(k):
                    for kc in range(k):
                        x = images[i, r + kr][kc * batch : kc * batch + length]
                        product = dy[0] * x[0]
                        for j in range(1, length):
                            product += dy[j] * x[j]
                        total[kr, kc] += product
            out[o, i] = total

    return loop
