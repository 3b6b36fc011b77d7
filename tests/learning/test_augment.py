"""Images shifted and turned: against SciPy's interpolation, on any number of threads."""

import numba
import numpy as np
import pytest
from scipy.ndimage import map_coordinates

from dynsim.learning import Augment


def by_scipy(images, shift, rotation, generator):
    n, channels, height, width = images.shape
    angle = np.radians(generator.uniform(-rotation, rotation, n))[:, None, None]
    moved = generator.uniform(-shift, shift, (2, n))[..., None, None]
    y, x = np.meshgrid(np.arange(height) - (height - 1) / 2, np.arange(width) - (width - 1) / 2, indexing="ij")
    rows = np.cos(angle) * y - np.sin(angle) * x + (height - 1) / 2 + moved[0]
    columns = np.sin(angle) * y + np.cos(angle) * x + (width - 1) / 2 + moved[1]
    number = np.broadcast_to(np.arange(n)[:, None, None], rows.shape)
    planes = [map_coordinates(images[:, c], [number, rows, columns], order=1) for c in range(channels)]
    return np.stack(planes, axis=1)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("shift", "rotation"), [(0.0, 0.0), (2.0, 0.0), (0.0, 15.0), (1.5, 90.0)])
def test_as_scipy_interpolates(shift, rotation, dtype):
    images = np.random.default_rng(1).random((5, 2, 9, 7)).astype(dtype)
    found = Augment(shift, rotation)(images, np.random.default_rng(2))
    expected = by_scipy(images, shift, rotation, np.random.default_rng(2))
    # Linear interpolation of numbers below 1 in float64, rounded once at the end; places on the edge may be on either
    # side of it after different roundings, which these are not.
    np.testing.assert_allclose(found, expected, rtol=0, atol=2 * np.finfo(dtype).eps)
    assert found.dtype == dtype


def test_the_same_bits_on_any_number_of_threads():
    images = np.random.default_rng(1).random((64, 1, 28, 28), np.float32)
    before, found = numba.get_num_threads(), []
    try:
        for threads in (1, numba.config.NUMBA_NUM_THREADS):
            numba.set_num_threads(threads)
            found.append(Augment(2.0, 12.0)(images, np.random.default_rng(3)))
    finally:
        numba.set_num_threads(before)
    np.testing.assert_array_equal(*found)
