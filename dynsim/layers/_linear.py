"""What every linear layer does with its weights, wherever they come from.

Signals are (batch, ...) arrays to the outside; in memory the batch lies last, so that rows are long and contiguous.
"""

from __future__ import annotations

import numpy as np

from ._convolve import convolve, convolve_input, convolve_weights


class Linear:
    """y = W x + bias with W (n, m) from `materialize()`; a subclass says where a gradient in W goes."""

    bias = None

    def forward(self, x, training=False, inference="dense"):
        """Map signals (..., m), such as (batch, m) or (batch, tokens, m), to (..., n).

        Without training, a layer of particles can answer in other ways than with its weights.
        """
        if x.ndim < 2:
            raise ValueError(f"x: got shape {x.shape}; expected (batch, m) or (batch, tokens, m).")
        rows = x.reshape(-1, x.shape[-1])
        if not training and inference != "dense" and hasattr(self, "product"):
            y = self.product(rows, inference)
            y = y if self.bias is None else y + self.bias.value
            return y.reshape(*x.shape[:-1], y.shape[1])
        weights = self.materialize()
        if rows.shape[1] != weights.shape[1]:
            raise ValueError(f"x: got shape {x.shape}; expected (..., {weights.shape[1]}).")
        y = weights @ rows.T
        if self.bias is not None:
            y += self.bias.value[:, None]
        if training:
            self.memory = weights, rows
        return y.T.reshape(*x.shape[:-1], len(y))

    def backward(self, dy):
        """Take dL/dy (..., n), add the parameters' gradients and return dL/dx (..., m)."""
        weights, rows = self.memory
        signal = dy.reshape(-1, dy.shape[-1])
        self.add_weight_gradient(signal.T @ rows)
        if self.bias is not None:
            self.bias.add(signal.sum(axis=0))
        return (weights.T @ signal.T).T.reshape(*dy.shape[:-1], rows.shape[1])


class Convolution:
    """y = W * x + bias (valid, stride 1), W (n_out, n_in, k, k) from `materialize()`."""

    bias = None

    def forward(self, x, training=False, inference="dense"):
        """Map images (batch, n_in, height, width) to (batch, n_out, height - k + 1, width - k + 1)."""
        if not training and inference != "dense" and hasattr(self, "product"):
            y = self.product(x, inference)
            return y if self.bias is None else y + self.bias.value[:, None, None]
        weights = self.materialize()
        n_out, n_in, k, _ = weights.shape
        if x.ndim != 4 or x.shape[1] != n_in or min(x.shape[2:]) < k:
            raise ValueError(f"x: got shape {x.shape}; expected (batch, {n_in}, at least {k}, at least {k}).")
        images = np.ascontiguousarray(np.moveaxis(x, 0, -1), dtype=np.result_type(x, weights))
        bias = np.zeros(n_out, images.dtype) if self.bias is None else self.bias.value.astype(images.dtype, copy=False)
        y = convolve(images, weights.astype(images.dtype, copy=False), bias)
        if training:
            self.memory = weights, images
        return np.moveaxis(y, -1, 0)

    def backward(self, dy, need_input=True):
        """Take dL/dy, add the parameters' gradients and return dL/dx (None if the input needs none)."""
        weights, images = self.memory
        signal = np.ascontiguousarray(np.moveaxis(dy, 0, -1), dtype=images.dtype)
        self.add_weight_gradient(convolve_weights(images, signal, weights.shape[2]))
        if self.bias is not None:
            self.bias.add(signal.reshape(len(signal), -1).sum(axis=1))
        if not need_input:
            return None
        return np.moveaxis(convolve_input(signal, weights.astype(images.dtype, copy=False), images.shape[2]), -1, 0)
