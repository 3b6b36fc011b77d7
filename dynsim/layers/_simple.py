"""Layers without particles: ReLU, pooling, means of images, flattening, and the loss."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from dynsim._check import as_array, as_number, refusal

from ._aligned import aligned_empty
from ._layer import Layer


class ReLU(Layer):
    """max(x, 0), elementwise; the slope at 0 is taken as 0.

    Examples
    --------
    >>> import numpy as np
    >>> ReLU().forward(np.array([-1.0, 2.0]))
    array([0., 2.])
    """

    relu = True

    def forward(self, x: npt.NDArray, training: bool = False) -> npt.NDArray:
        """Cut negative signals."""
        if training:
            self.memory = x > 0
        return np.maximum(x, 0)

    def backward(self, dy: npt.NDArray) -> npt.NDArray:
        """Return dL/dx."""
        return dy * self.memory

    def to_onnx(self, graph, x: str) -> str:
        """ONNX's ReLU."""
        return graph.add("Relu", x)


class MaxPool(Layer):
    """Largest of every 2 x 2 square; of equal ones the first takes the whole signal back.

    Examples
    --------
    >>> import numpy as np
    >>> MaxPool().forward(np.arange(4.0).reshape(1, 1, 2, 2)).item()
    3.0
    """

    word = "pool"

    def forward(self, x: npt.NDArray, training: bool = False) -> npt.NDArray:
        """Map (batch, channels, 2a, 2b) to (batch, channels, a, b)."""
        if x.ndim != 4 or x.shape[2] % 2 or x.shape[3] % 2:
            raise refusal("x", f"shape {x.shape}", "(batch, channels, even height, even width)")
        signals = np.moveaxis(x, 0, -1)
        corners = [signals[:, r::2, c::2] for r in (0, 1) for c in (0, 1)]
        best = np.maximum(np.maximum(corners[0], corners[1]), np.maximum(corners[2], corners[3]))
        if training:
            taken, masks = np.zeros(best.shape, bool), []
            for corner in corners:
                mask = (corner == best) & ~taken
                taken |= mask
                masks.append(mask)
            self.memory = masks
        return np.moveaxis(best, -1, 0)

    def backward(self, dy: npt.NDArray) -> npt.NDArray:
        """Return dL/dx: all of it to the largest."""
        signal, masks = np.moveaxis(dy, 0, -1), self.memory
        channels, a, b, batch = signal.shape
        dx = aligned_empty((channels, 2 * a, 2 * b, batch), dy.dtype)
        for corner, mask in enumerate(masks):
            dx[:, corner // 2 :: 2, corner % 2 :: 2] = signal * mask
        return np.moveaxis(dx, -1, 0)

    def to_onnx(self, graph, x: str) -> str:
        """Pooling of 2 x 2 squares."""
        return graph.add("MaxPool", x, kernel_shape=[2, 2], strides=[2, 2])


class ChannelMean(Layer):
    """(batch, channels, height, width) to (batch, channels): the mean over the image.

    Raises
    ------
    ValueError
        If the signals are no images.

    Examples
    --------
    >>> import numpy as np
    >>> ChannelMean().forward(np.arange(8.0).reshape(1, 2, 2, 2))
    array([[1.5, 5.5]])
    """

    def forward(self, x: npt.NDArray, training: bool = False) -> npt.NDArray:
        """Average over height and width, in float64."""
        if x.ndim != 4 or min(x.shape[2:]) < 1:
            raise refusal("x", f"shape {x.shape}", "(batch, channels, at least 1, at least 1)")
        if training:
            self.memory = x.shape
        means = np.moveaxis(x, 0, -1).mean(axis=(1, 2), dtype=np.float64)  # (channels, batch), as layers keep signals
        return means.astype(x.dtype).T

    def backward(self, dy: npt.NDArray) -> npt.NDArray:
        """Return dL/dx: the same for every pixel."""
        batch, channels, height, width = self.memory
        dx = aligned_empty((channels, height, width, batch), dy.dtype)
        dx[...] = (dy.T / dy.dtype.type(height * width))[:, None, None]
        return np.moveaxis(dx, -1, 0)

    def to_onnx(self, graph, x: str) -> str:
        """The mean over the image, flattened."""
        return graph.add("Flatten", graph.add("GlobalAveragePool", x), axis=1)


class Flatten(Layer):
    """(batch, channels, height, width) to (batch, channels * height * width).

    Examples
    --------
    >>> import numpy as np
    >>> Flatten().forward(np.zeros((5, 2, 3, 3))).shape
    (5, 18)
    """

    def forward(self, x: npt.NDArray, training: bool = False) -> npt.NDArray:
        """Flatten all axes but the batch's."""
        signals = np.moveaxis(x, 0, -1)
        if training:
            self.memory = signals.shape
        return signals.reshape(-1, len(x)).T

    def backward(self, dy: npt.NDArray) -> npt.NDArray:
        """Return dL/dx in the images' shape."""
        return np.moveaxis(dy.T.reshape(self.memory), -1, 0)

    def to_onnx(self, graph, x: str) -> str:
        """Flatten all axes but the first."""
        return graph.add("Flatten", x, axis=1)


def softmax_cross_entropy(
    scores: npt.ArrayLike, labels: npt.ArrayLike, *, smoothing: float = 0.0
) -> tuple[float, npt.NDArray]:
    """Return the mean cross-entropy of softmax(scores) and dL/dscores.

    Parameters
    ----------
    scores : ndarray (batch, classes)
    labels : ndarray of int (batch,)
    smoothing : float
        Share of each label that is spread evenly over all classes.

    Examples
    --------
    >>> import numpy as np
    >>> loss, gradient = softmax_cross_entropy(np.zeros((1, 2)), np.array([0]))
    >>> round(loss, 4), gradient
    (0.6931, array([[-0.5,  0.5]]))
    """
    scores = as_array(scores, "scores", ("batch", "classes"), finite=False)
    labels = as_labels(labels, scores)
    smoothing = as_number(smoothing, "smoothing", minimum=0)
    rows = np.arange(len(scores))
    shifted = scores - scores.max(axis=1, keepdims=True)
    exponentials, gradient_type = np.exp(shifted), scores.dtype.type
    sums = exponentials.sum(axis=1, keepdims=True)
    logs = shifted - np.log(sums)
    loss = -float(np.mean((1 - smoothing) * logs[rows, labels] + smoothing * logs.mean(axis=1)))
    gradient = exponentials / sums - gradient_type(smoothing / scores.shape[1])
    gradient[rows, labels] -= gradient_type(1 - smoothing)
    gradient /= len(scores)
    return loss, gradient


def as_labels(labels, scores):
    """Return labels as whole numbers, one for each row of the scores, and below their columns."""
    given = as_array(labels, "labels", (len(scores),))
    wrong = (given != np.floor(given)) | (given < 0) | (given >= scores.shape[1])
    if wrong.any():
        raise refusal("labels", f"{given[wrong][0]:g}", f"whole numbers from 0 to {scores.shape[1] - 1}")
    return given.astype(np.int64)
