"""What every linear layer does with its weights, wherever they come from.

Signals are (batch, ...) arrays to the outside; in memory the batch lies last, so that a convolution copies long
contiguous rows and one BLAS product does a whole batch.
"""

from __future__ import annotations

import numpy as np


class Linear:
    """y = W x + bias with W (n, m) from `materialize()`; a subclass says where a gradient in W goes."""

    bias = None

    def forward(self, x, training=False):
        """Map signals (batch, m) to (batch, n)."""
        weights = self.materialize()
        if x.ndim != 2 or x.shape[1] != weights.shape[1]:
            raise ValueError(f"x: got shape {x.shape}; expected (batch, {weights.shape[1]}).")
        y = weights @ x.T
        if self.bias is not None:
            y += self.bias.value[:, None]
        if training:
            self.memory = weights, x
        return y.T

    def backward(self, dy):
        """Take dL/dy (batch, n), add the parameters' gradients and return dL/dx (batch, m)."""
        weights, x = self.memory
        self.add_weight_gradient(dy.T @ x)
        if self.bias is not None:
            self.bias.add(dy.sum(axis=0))
        return (weights.T @ dy.T).T


class Convolution:
    """y = W * x + bias (valid, stride 1), W (n_out, n_in, k, k) from `materialize()`."""

    bias = None

    def forward(self, x, training=False):
        """Map images (batch, n_in, height, width) to (batch, n_out, height - k + 1, width - k + 1)."""
        weights = self.materialize()
        n_out, n_in, k, _ = weights.shape
        if x.ndim != 4 or x.shape[1] != n_in or min(x.shape[2:]) < k:
            raise ValueError(f"x: got shape {x.shape}; expected (batch, {n_in}, at least {k}, at least {k}).")
        images = np.ascontiguousarray(np.moveaxis(x, 0, -1))
        height, width, batch = images.shape[1] - k + 1, images.shape[2] - k + 1, images.shape[3]
        patches = np.empty((n_in, k, k, height, width, batch), images.dtype)
        for r in range(k):
            for c in range(k):
                patches[:, r, c] = images[:, r : r + height, c : c + width]
        patches = patches.reshape(n_in * k * k, -1)
        y = weights.reshape(n_out, -1) @ patches
        if self.bias is not None:
            y += self.bias.value[:, None]
        if training:
            self.memory = weights, patches, images.shape
        return np.moveaxis(y.reshape(n_out, height, width, batch), -1, 0)

    def backward(self, dy, need_input=True):
        """Take dL/dy, add the parameters' gradients and return dL/dx (None if the input needs none)."""
        weights, patches, shape = self.memory
        n_out, n_in, k, _ = weights.shape
        signal = np.ascontiguousarray(np.moveaxis(dy, 0, -1))
        height, width = signal.shape[1:3]
        flat = signal.reshape(n_out, -1)
        self.add_weight_gradient((flat @ patches.T).reshape(weights.shape))
        if self.bias is not None:
            self.bias.add(flat.sum(axis=1))
        if not need_input:
            return None
        back = (weights.reshape(n_out, -1).T @ flat).reshape(n_in, k, k, height, width, -1)
        dx = np.zeros(shape, dy.dtype)
        for r in range(k):
            for c in range(k):
                dx[:, r : r + height, c : c + width] += back[:, r, c]
        return np.moveaxis(dx, -1, 0)
