"""Arrays that begin on a line of the cache.

NumPy's begin on any 16 bytes. With vectors of 64 bytes (AVX-512) the loops of convolutions are slower where every
vector lies across two lines. None does where the array begins on a line and a batch takes whole lines, as
that of 128 images does. The sums of these loops have the same order wherever an array begins.
"""

from __future__ import annotations

from math import prod

import numpy as np
import numpy.typing as npt

LINE = 64  # bytes


def aligned_empty(shape: tuple[int, ...], dtype: npt.DTypeLike) -> npt.NDArray:
    """Return `numpy.empty(shape, dtype)` that begins on a line of the cache.

    >>> array = aligned_empty((3, 5), np.float32)
    >>> array.shape, array.ctypes.data % LINE
    ((3, 5), 0)
    """
    dtype = np.dtype(dtype)
    size = dtype.itemsize * prod(shape)
    held = np.empty(size + LINE, np.uint8)
    first = -held.ctypes.data % LINE
    return held[first : first + size].view(dtype).reshape(shape)


def contiguous(array: npt.NDArray, dtype: npt.DTypeLike | None = None) -> npt.NDArray:
    """Return the array itself if it is contiguous and has the dtype, or else a copy that begins on a line of the cache.

    >>> turned = np.arange(6.0).reshape(2, 3).T
    >>> contiguous(turned).ctypes.data % LINE, contiguous(turned).tolist() == turned.tolist()
    (0, True)
    """
    dtype = array.dtype if dtype is None else np.dtype(dtype)
    if array.flags.c_contiguous and array.dtype == dtype:
        return array
    copy = aligned_empty(array.shape, dtype)
    copy[...] = array
    return copy
