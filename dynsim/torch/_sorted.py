"""Answers of a full layer without its weights: sorted sums of the linear kernel of l1 distances, or tiles."""

from __future__ import annotations

import numpy as np
import torch
from torch.autograd.function import once_differentiable
from torch.nn import functional

from dynsim.kernels import SortedProduct
from dynsim.layers import Full


def sorted_linear(layer, x):
    """y = W x + bias in the way that `layer.inference` says.

    Raises
    ------
    ValueError
        If weight-free is asked of a kernel that cannot, or anything but dense off the processor.
    """
    if x.device.type != "cpu" or layer.strengths.dtype not in (torch.float32, torch.float64):
        raise ValueError(
            f"inference: got {layer.inference!r} on {x.device} in {layer.strengths.dtype}; expected the processor and "
            "float32 or float64. Use inference='dense'."
        )
    rows = x.reshape(-1, x.shape[-1])
    trained = torch.is_grad_enabled() and (x.requires_grad or any(p.requires_grad for p in layer.particles().values()))
    if layer.inference == "weight-free" and trained:
        if (layer.kernel.profile, layer.kernel.metric, layer.kernel.softening) != ("linear", "l1", 0.0):
            raise ValueError(
                "inference: weight-free needs the linear kernel of l1 distances without softening; "
                f"got {layer.kernel}. Use inference='dense'."
            )
        y = 0
        for h in range(layer.copies):
            product = _SortedProduct.apply(layer.kernel.scale, layer.places_in[0, h], layer.places_out[0, h], rows)
            y = y + layer.strengths[0, 0, h] * product
    elif trained:
        return functional.linear(x, layer.materialize(), layer.bias)  # a gradient of tiles needs all of them
    else:
        parts = (layer.places_in[0], layer.places_out[0], layer.strengths[0, 0])
        core = Full(*(part.detach().numpy() for part in parts), layer.kernel)
        y = torch.from_numpy(np.ascontiguousarray(core.product(rows.detach().numpy(), layer.inference)))
    if layer.left is not None:
        y = y + (rows @ layer.right[:, 0].T) @ layer.left[0].T
    if layer.bias is not None:
        y = y + layer.bias
    return y.reshape(*x.shape[:-1], layer.out_features)


class _SortedProduct(torch.autograd.Function):
    @staticmethod
    def forward(context, scale, sources, targets, x):
        context.product = SortedProduct(sources.detach().numpy(), targets.detach().numpy(), scale)
        context.save_for_backward(x)
        return torch.from_numpy(np.ascontiguousarray(context.product.forward(_columns(x)).T))

    @staticmethod
    @once_differentiable
    def backward(context, gradient):
        (x,) = context.saved_tensors
        on_x = torch.from_numpy(np.ascontiguousarray(context.product.transposed(_columns(gradient)).T))
        forces = context.product.forces(_columns(x), _columns(gradient))
        return None, *(torch.from_numpy(force) for force in forces), on_x


def _columns(x):
    return np.ascontiguousarray(x.detach().numpy().T)
