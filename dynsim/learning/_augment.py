"""Images shifted and turned at random: more images from the same ones."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.ndimage import map_coordinates

from dynsim._check import as_number


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
        """Return new images; interpolation is linear, and outside is 0."""
        n, channels, height, width = images.shape
        angle = np.radians(generator.uniform(-self.rotation, self.rotation, n))[:, None, None]
        shift = generator.uniform(-self.shift, self.shift, (2, n, 1, 1))
        y, x = np.meshgrid(np.arange(height), np.arange(width), indexing="ij")
        y, x = y - (height - 1) / 2, x - (width - 1) / 2
        rows = np.cos(angle) * y - np.sin(angle) * x + (height - 1) / 2 + shift[0]
        columns = np.sin(angle) * y + np.cos(angle) * x + (width - 1) / 2 + shift[1]
        number = np.broadcast_to(np.arange(n)[:, None, None], rows.shape)
        out = np.empty_like(images)
        for channel in range(channels):
            # The images' own axis is at whole numbers, so linear interpolation does not mix images.
            out[:, channel] = map_coordinates(images[:, channel], [number, rows, columns], order=1)
        return out
