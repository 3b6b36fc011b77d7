"""Signals that convolutions and norms leave begin on a line of the cache; where they begin changes no result."""

import numpy as np
import pytest

from dynsim.layers import BatchNorm, ChannelMean, MaxPool, PlainConv, PlainDepthwise
from dynsim.layers._aligned import LINE, aligned_empty, contiguous

GENERATOR = np.random.default_rng(0)


def drawn(*shape, dtype):
    return GENERATOR.normal(size=shape).astype(dtype)


LAYERS = {
    "convolution": lambda dtype: PlainConv(drawn(3, 2, 3, 3, dtype=dtype)),
    "margin": lambda dtype: PlainConv(drawn(3, 2, 3, 3, dtype=dtype), margin=1),
    "product": lambda dtype: PlainConv(drawn(3, 2, 1, 1, dtype=dtype)),
    "depthwise": lambda dtype: PlainDepthwise(drawn(2, 3, 3, dtype=dtype), margin=1),
    "norm": lambda dtype: BatchNorm(2, dtype=dtype),
    "norm, pool": lambda dtype: BatchNorm(2, dtype=dtype, relu=True, pool=True),
}


def begins(array):
    return np.moveaxis(array, 0, -1).ctypes.data % LINE


def shifted(array, by):
    """A contiguous copy with the batch last in memory that begins `by` bytes behind a line."""
    turned = np.moveaxis(array, 0, -1)
    held = aligned_empty((array.nbytes + LINE,), np.uint8)
    copy = held[by : by + array.nbytes].view(array.dtype).reshape(turned.shape)
    copy[...] = turned
    return np.moveaxis(copy, -1, 0)


@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_results_begin_on_a_line_and_are_the_same_wherever_signals_begin(name, dtype):
    layer = LAYERS[name](dtype)
    images = GENERATOR.normal(size=(20, 2, 6, 6)).astype(dtype)
    results = []
    for by in (0, 8, 16, 48):
        y = layer.forward(shifted(images, by), training=True)
        signal = np.ones(y.shape, dtype) * np.arange(20, dtype=dtype)[:, None, None, None]
        dx = layer.backward(shifted(signal, by))
        assert begins(y) == begins(dx) == 0 and y.dtype == dx.dtype == dtype
        results.append((y, dx))
    for found in results[1:]:
        for array, expected in zip(found, results[0], strict=True):
            if name == "product":  # of matrices, whose sums may have another order: 3 products in working precision
                np.testing.assert_allclose(array, expected, rtol=0, atol=32 * np.finfo(dtype).eps)
            else:
                assert np.array_equal(array, expected)


@pytest.mark.parametrize("layer", [MaxPool(), ChannelMean()])
def test_signals_that_go_back_begin_on_a_line(layer):
    y = layer.forward(GENERATOR.normal(size=(5, 2, 4, 4)).astype(np.float32), training=True)
    assert begins(layer.backward(np.ones_like(y))) == 0


def test_arrays_without_numbers_and_copies():
    assert aligned_empty((0, 3), np.float32).shape == (0, 3)
    array = np.arange(6, dtype=np.float32).reshape(2, 3)
    assert contiguous(array) is array
    assert contiguous(array, np.float64).dtype == np.float64 and contiguous(array.T).flags.c_contiguous
    assert np.array_equal(contiguous(array.T), array.T)
    with pytest.raises((MemoryError, ValueError)):
        aligned_empty((2**40, 2**20), np.float64)
