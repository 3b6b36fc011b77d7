"""Images shifted and turned at random: more images from the same ones."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from numba import njit, prange

from dynsim._check import as_array, as_number
from dynsim.kernels import launch

OPERATIONS = 12  # of a pixel, about: what is worth several threads


class Augment:
    """Shift images by up to `shift` pixels and turn them by up to `rotation` degrees, each image by its own amount.

    Examples
    --------
    >>> import numpy as np
    >>> images = np.ones((2, 1, 8, 8), np.float32)
    >>> Augment(shift=1.0)(images, np.random.default_rng(0)).shape
    (2, 1, 8, 8)
    """

    def __init__(self, shift: float = 0.0, rotation: float = 0.0):
        self.shift = as_number(shift, "shift", minimum=0)
        self.rotation = as_number(rotation, "rotation", minimum=0)

    def __call__(self, images: npt.NDArray, generator: np.random.Generator) -> npt.NDArray:
        """Return new images; interpolation is linear, and what would come from outside an image is 0."""
        images = as_array(images, "images", ("n", "channels", "height", "width"), finite=False)
        n = len(images)
        angle = np.radians(generator.uniform(-self.rotation, self.rotation, n))
        shift = generator.uniform(-self.shift, self.shift, (2, n))
        out = np.zeros_like(images)
        launch(_turned, OPERATIONS * images.size, images, np.cos(angle), np.sin(angle), shift, out)
        return out


@njit(cache=True, parallel=True)
def _turned(images, cosines, sines, shift, out):
    """out at (y, x) is the image where the rotation about its centre, and the shift, lead from there."""
    n, channels, height, width = images.shape
    middle, centre = (height - 1) / 2, (width - 1) / 2
    for k in prange(n):
        c, s = cosines[k], sines[k]
        for i in range(height):
            for j in range(width):
                row = c * (i - middle) - s * (j - centre) + middle + shift[0, k]
                column = s * (i - middle) + c * (j - centre) + centre + shift[1, k]
                if not (0 <= row <= height - 1 and 0 <= column <= width - 1):
                    continue
                r, q = int(row), int(column)
                down, right = min(r + 1, height - 1), min(q + 1, width - 1)
                u, v = row - r, column - q
                for channel in range(channels):
                    image = images[k, channel]
                    upper = image[r, q] * (1 - v) + image[r, right] * v
                    lower = image[down, q] * (1 - v) + image[down, right] * v
                    out[k, channel, i, j] = upper * (1 - u) + lower * u
