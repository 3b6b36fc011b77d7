"""The relation of two subsystems as a function of torch tensors, with forces as its gradient.

On the processor, in float32 and float64, it is `dynsim.kernels` on the tensors' own memory. Numba does not go
elsewhere: on a graphics card and in half precision the same formulas run as torch operations (`_portable`).
"""

from __future__ import annotations

import torch
from torch.autograd.function import once_differentiable

from dynsim import kernels

from . import _portable


def relation(kernel, sources, targets, strengths):
    """Weights between sets: W[t, s, o, i] = sum_h strengths[t, s, h] phi(sources[s, h, i], targets[t, h, o]).

    Parameters
    ----------
    kernel : dynsim.Kernel
    sources, targets, strengths : Tensor (S, H, m, d), (T, H, n, d), (T, S, H)
        Of one dtype and device.

    Returns
    -------
    Tensor (T, S, n, m)
        Differentiable once in all three.

    Raises
    ------
    ValueError, TypeError
        If shapes do not fit.

    Examples
    --------
    >>> import torch
    >>> from dynsim import Kernel
    >>> places = torch.tensor([[[[0.0], [3.0]]]])
    >>> relation(Kernel("linear"), places, places, torch.ones(1, 1, 1))
    tensor([[[[0., 3.],
              [3., 0.]]]])
    """
    return _Relation.apply(kernel, sources, targets, strengths)


class _Relation(torch.autograd.Function):
    @staticmethod
    def forward(context, kernel, sources, targets, strengths):
        context.kernel = kernel
        context.save_for_backward(sources, targets, strengths)
        if not _in_numba(sources):
            return _portable.relation(kernel, sources, targets, strengths)
        return torch.from_numpy(kernels.relation(kernel, *_arrays(sources, targets, strengths)))

    @staticmethod
    @once_differentiable
    def backward(context, gradient):
        tensors = context.saved_tensors
        if not _in_numba(tensors[0]):
            return None, *_portable.relation_forces(context.kernel, *tensors, gradient)
        forces = kernels.relation_forces(context.kernel, *_arrays(*tensors, gradient))
        return None, *(torch.from_numpy(force) for force in forces)


def _in_numba(tensor):
    return tensor.device.type == "cpu" and tensor.dtype in (torch.float32, torch.float64)


def _arrays(*tensors):
    """The tensors' memory as NumPy arrays; nothing is copied where they are contiguous."""
    return [tensor.detach().numpy() for tensor in tensors]
