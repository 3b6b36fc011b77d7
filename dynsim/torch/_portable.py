"""The relation in torch operations, for graphics cards and half precision, where Numba does not go.

This is the one place outside `dynsim.kernels` where the formulas of phi stand; its parity is tested. Copies and axes
are summed one after the other, so that no array is larger than the weights, and differences are taken before they
are squared: the product form of a distance loses all digits of neurons that lie close together.
"""

from __future__ import annotations

import torch


def relation(kernel, sources, targets, strengths):
    """As `dynsim.kernels.relation`, in float32 inside where the tensors have less."""
    dtype, (sources, targets, strengths) = strengths.dtype, _widened(sources, targets, strengths)
    total = None
    for h in range(sources.shape[1]):
        part = strengths[:, :, h, None, None] * _phi(kernel, _softened(kernel, sources[:, h], targets[:, h]))
        total = part if total is None else total.add_(part)
    return total.to(dtype)


def relation_forces(kernel, sources, targets, strengths, gradient):
    """As `dynsim.kernels.relation_forces`."""
    dtype = strengths.dtype
    sources, targets, strengths, gradient = _widened(sources, targets, strengths, gradient)
    on_sources, on_targets = torch.zeros_like(sources), torch.zeros_like(targets)
    on_strengths = torch.zeros_like(strengths)
    for h in range(sources.shape[1]):
        p, q = sources[:, h], targets[:, h]
        r2 = _softened(kernel, p, q)
        on_strengths[:, :, h] = (gradient * _phi(kernel, r2)).sum((2, 3))
        weight = gradient * strengths[:, :, h, None, None] * _slope(kernel, r2)
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
    return [tensor.detach().float() if half else tensor.detach() for tensor in tensors]


def _softened(kernel, sources, targets):
    """rho^2 + eta^2 of sources (S, m, d) and targets (T, n, d) as (T, S, n, m)."""
    total = 0
    for k in range(sources.shape[-1]):
        difference = targets[:, None, :, None, k] - sources[None, :, None, :, k]
        total = total + (difference.square() if kernel.metric == "l2" else difference.abs())
    rho2 = total if kernel.metric == "l2" else total.square()
    return rho2 + kernel.softening**2


def _phi(kernel, r2):
    c, length = kernel.scale, kernel.length
    if kernel.profile == "inverse":
        return c * r2.rsqrt()
    if kernel.profile == "linear":
        return c * r2.sqrt()
    if kernel.profile == "gaussian":
        return c * torch.exp(-0.5 / length**2 * r2)
    if kernel.profile == "exponential":
        return c * torch.exp(-r2.sqrt() / length)
    return c / r2


def _slope(kernel, r2):
    """phi'(r) / r, and 0 where two neurons meet."""
    c, length = kernel.scale, kernel.length
    if kernel.profile == "inverse":
        value = -c * r2.pow(-1.5)
    elif kernel.profile == "linear":
        value = c * r2.rsqrt()
    elif kernel.profile == "gaussian":
        value = -c / length**2 * torch.exp(-0.5 / length**2 * r2)
    elif kernel.profile == "exponential":
        r = r2.sqrt()
        value = -c / length * torch.exp(-r / length) / r
    else:
        value = -2 * c / r2.square()
    return torch.where(r2 > 0, value, 0.0)
