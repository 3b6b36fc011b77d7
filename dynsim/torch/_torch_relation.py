"""The relation of two subsystems as a function of torch tensors, with forces as its gradient.

On the processor, in float32 and float64, it is `dynsim.kernels` on the memory of the tensors. On a graphics card and in
half precision, which Numba does not serve, the kernel's expression runs as torch operations. There copies and axes are
summed one after the other, so that no array is larger than the weights, and differences are taken before they are
squared: the product form of a distance loses all digits for neurons that lie close together.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional

from dynsim import kernels
from dynsim._check import refusal
from dynsim.layers import Full


def relation(kernel: kernels.Kernel, sources: Tensor, targets: Tensor, strengths: Tensor) -> Tensor:
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
    if not are_plain([sources, targets, strengths]):
        return torch_relation(kernel, sources, targets, strengths)
    return _Relation.apply(kernel, sources, targets, strengths)


class _Relation(torch.autograd.Function):
    @staticmethod
    def forward(context, kernel, sources, targets, strengths):
        context.kernel = kernel
        context.save_for_backward(sources, targets, strengths)
        if not _in_numba(sources):
            return torch_relation(kernel, sources, targets, strengths)
        return torch.from_numpy(kernels.relation(kernel, *_arrays(sources, targets, strengths)))

    @staticmethod
    @once_differentiable
    def backward(context, gradient):
        return None, *relation_gradients(context.kernel, *context.saved_tensors, gradient)


def relation_gradients(kernel, sources, targets, strengths, gradient):
    """Gradients of sum(gradient * relation) in sources, targets and strengths."""
    if not _in_numba(sources):
        return torch_relation_forces(kernel, sources, targets, strengths, gradient)
    forces = kernels.relation_forces(kernel, *_arrays(sources, targets, strengths, gradient))
    return tuple(torch.from_numpy(force) for force in forces)


def are_plain(tensors):
    """Whether tensors hold numbers: not so while a program is exported, compiled or traced, or under torch.func.

    Then everything is computed by operations of torch, which those record and differentiate.
    """
    if torch.compiler.is_compiling() or torch.jit.is_tracing() or torch._C._are_functorch_transforms_active():
        return False
    return all(type(tensor) in (Tensor, nn.Parameter) for tensor in tensors)


def as_stored(product, *arguments):
    """A product of matrices in the tensors' own precision, whatever autocast says, and in float32 of half ones."""
    tensors = [argument for argument in arguments if torch.is_tensor(argument)]
    with torch.autocast(tensors[0].device.type, enabled=False):
        wide = [_widened(argument)[0] if torch.is_tensor(argument) else argument for argument in arguments]
        return product(*wide).to(tensors[0].dtype)


def _in_numba(tensor):
    return tensor.device.type == "cpu" and tensor.dtype in (torch.float32, torch.float64)


def _arrays(*tensors):
    """The tensors' memory as NumPy arrays; nothing is copied where they are contiguous."""
    return [tensor.detach().numpy() for tensor in tensors]


def _smaller(x, y):
    return x.clamp(max=y) if torch.is_tensor(x) else y.clamp(max=x)


def _larger(x, y):
    return x.clamp(min=y) if torch.is_tensor(x) else y.clamp(min=x)


NAMES = ("sqrt", "exp", "log", "sin", "cos", "tan", "sinh", "cosh", "tanh", "arctan", "erf", "abs", "sign", "pow")
FUNCTIONS = {name: getattr(torch, name) for name in NAMES} | {"minimum": _smaller, "maximum": _larger}


def torch_relation(kernel, sources, targets, strengths):
    """As `dynsim.kernels.relation`, in float32 inside where the tensors have less."""
    dtype, (sources, targets, strengths) = strengths.dtype, _widened(sources, targets, strengths)
    phi, total = kernels.array_functions(kernel, FUNCTIONS)[0], None
    for h in range(sources.shape[1]):
        part = strengths[:, :, h, None, None] * _at(_softened(kernel, sources[:, h], targets[:, h]), phi)
        total = part if total is None else total + part
    return total.to(dtype)


def torch_relation_forces(kernel, sources, targets, strengths, gradient):
    """As `dynsim.kernels.relation_forces`."""
    dtype = strengths.dtype
    sources, targets, strengths, gradient = _widened(sources, targets, strengths, gradient)
    on_sources, on_targets = torch.zeros_like(sources), torch.zeros_like(targets)
    on_strengths = torch.zeros_like(strengths)
    phi, slope = kernels.array_functions(kernel, FUNCTIONS)
    for h in range(sources.shape[1]):
        p, q = sources[:, h], targets[:, h]
        r2 = _softened(kernel, p, q)
        on_strengths[:, :, h] = (gradient * _at(r2, phi)).sum((2, 3))
        # Where two neurons meet phi has no gradient; it is taken as 0.
        weight = gradient * strengths[:, :, h, None, None] * torch.where(r2 > 0, _at(r2, slope), 0.0)
        if kernel.metric == "l1":
            weight = weight * (r2 - kernel.softening**2).clamp_min(0).sqrt()
        for k in range(p.shape[-1]):
            difference = q[:, None, :, None, k] - p[None, :, None, :, k]
            pull = weight * (difference if kernel.metric == "l2" else difference.sign())
            on_targets[:, h, :, k] = pull.sum((1, 3))
            on_sources[:, h, :, k] = -pull.sum((0, 2))
    return on_sources.to(dtype), on_targets.to(dtype), on_strengths.to(dtype)


def _widened(*tensors):
    half = tensors[0].dtype in (torch.float16, torch.bfloat16)
    return [tensor.float() if half else tensor for tensor in tensors]


def _at(r2, function):
    """A function of r^2 as a tensor, also where it is a constant."""
    return torch.as_tensor(function(r2), dtype=r2.dtype, device=r2.device).expand_as(r2)


def _softened(kernel, sources, targets):
    """rho^2 + eta^2 of sources (S, m, d) and targets (T, n, d) as (T, S, n, m)."""
    total = 0
    for k in range(sources.shape[-1]):
        difference = targets[:, None, :, None, k] - sources[None, :, None, :, k]
        total = total + (difference.square() if kernel.metric == "l2" else difference.abs())
    rho2 = total if kernel.metric == "l2" else total.square()
    return rho2 + kernel.softening**2


def product_without_weights(particles, x, bias, inference):
    """y = W x + bias of the particles of a full layer: by sorted sums, or tiles of W.

    Raises
    ------
    ValueError
        If the tensors are not on the processor in float32 or float64, or the kernel has no sorted sums.
    """
    strengths, kernel = particles.strengths, particles.kernel
    if x.device.type != "cpu" or strengths.dtype not in (torch.float32, torch.float64):
        came = f"{inference!r} on {x.device} in {strengths.dtype}"
        raise refusal("inference", came, "the processor and float32 or float64", "use inference='dense'")
    rows = x.reshape(-1, x.shape[-1])
    trained = torch.is_grad_enabled() and (x.requires_grad or any(p.requires_grad for p in particles.parameters()))
    if inference == "weight-free" and trained:
        if (kernel.profile, kernel.metric, kernel.softening) != ("linear", "l1", 0.0):
            wanted = "the linear kernel of l1 distances without softening"
            raise refusal("inference", f"'weight-free' with {kernel}", wanted, "use inference='dense'")
        y = 0
        for h in range(particles.copies):
            places = particles.places_in[0, h], particles.places_out[0, h]
            y = y + strengths[0, 0, h] * _SortedProduct.apply(kernel.scale, *places, rows)
    elif trained:
        return functional.linear(x, particles(), bias)  # a gradient of tiles needs all of them
    else:
        product = particles.product(inference, len(rows))
        y = torch.from_numpy(np.ascontiguousarray(product(rows.detach().numpy().T, None).T))
    if particles.left is not None:
        y = y + (rows @ particles.right[:, 0].T) @ particles.left[0].T
    if bias is not None:
        y = y + bias
    return y.reshape(*x.shape[:-1], y.shape[-1])


def full_layer(particles):
    """The particles of a full layer as a layer of `dynsim.layers` that holds copies of them."""
    return Full(*_arrays(particles.places_in[0], particles.places_out[0], particles.strengths[0, 0]), particles.kernel)


class _SortedProduct(torch.autograd.Function):
    @staticmethod
    def forward(context, scale, sources, targets, x):
        context.product = kernels.SortedProduct(*_arrays(sources, targets), scale=scale)
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
