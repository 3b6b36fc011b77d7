"""What conversion would store, before it is done, and multiply-accumulates of every layer for one image."""

from __future__ import annotations


def floats_of_particles(module, copies, dim):
    """Numbers that a module would have with `copies` places of dimension `dim` in every linear and convolutional layer.

    A layer (T, S sets, n outputs, m inputs) becomes H d (S m + T n) coordinates and T S H lambdas; one that would not
    become smaller keeps its weights, and so does all else. Works on the meta device, where nothing takes memory.

    Examples
    --------
    >>> import pytest; torch = pytest.importorskip("torch", reason="needs PyTorch: pip install 'dynsim[torch]'")
    >>> floats_of_particles(torch.nn.Linear(100, 50), copies=2, dim=4)  # 2 4 150 + 2 + 50
    1252
    """
    from torch import nn

    total = sum(parameter.numel() for parameter in module.parameters())
    for part in module.modules():
        if isinstance(part, nn.Linear | nn.Conv2d):
            n, m, *window = part.weight.shape
            t, s = window or (1, 1)
            total += min(0, copies * dim * (s * m + t * n) + t * s * copies - part.weight.numel())
    return total


def count_macs(module, image, layers):
    """Multiply-accumulates for one image: {"weights", "making", "weight_free"} sums over all linear layers.

    Parameters
    ----------
    module : torch.nn.Module
        With ordinary weights.
    image : torch.Tensor (1, channels, height, width)
    layers : dict
        {name: (copies, dim)} of those that become particles.

    Returns
    -------
    dict
        weights: products with the weights, as many with materialised ones. making: H d for each weight that is made
        from places, once, whatever the number of images. weight_free: H d (n + m) for every relation of two sets and
        every position of the output, as sorted sums take them (linear kernel, l1 distances); layers that keep their
        weights count as they are. What is no linear layer (norms, attention's own two products) counts nowhere.
    """
    import torch
    from torch import nn

    found, handles = {"weights": 0, "making": 0, "weight_free": 0}, []

    def hook(name):
        def add(part, inputs, output):
            n, m, *window = part.weight.shape
            sets, weights = (window[0] * window[1] if window else 1), part.weight.numel()
            positions = output.numel() // n
            found["weights"] += weights * positions
            if name not in layers:
                found["weight_free"] += weights * positions
                return
            copies, dim = layers[name]
            found["making"] += copies * dim * weights
            found["weight_free"] += sets * copies * dim * (n + m) * positions

        return add

    for name, part in module.named_modules():
        if isinstance(part, nn.Linear | nn.Conv2d):
            handles.append(part.register_forward_hook(hook(name)))
    training = module.training
    try:
        with torch.no_grad():
            module.eval()(image)
    finally:
        module.train(training)
        for handle in handles:
            handle.remove()
    return found
