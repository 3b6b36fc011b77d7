"""Counts of a backbone before and after its conversion, and accuracy on folders of images, one a class."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from dynsim._check import refusal
from dynsim.datasets import search_path
from dynsim.errors import DataError


def floats_of_particles(module, *, copies, dim):
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


def macs_of_conversion(module, image, *, layers):
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
        weights: products with the weights, as many with materialised ones. making: H d for each weight that is computed
        from places, once, whatever the number of images. weight_free: H d (n + m) for every relation of two sets and
        every position of the output, as sorted sums take them (linear kernel, l1 distances); layers that keep their
        weights count as they are. Only linear layers are counted, not norms or the two products of attention.
    """
    from dynsim.torch import count_macs

    found = {"weights": 0, "making": 0, "weight_free": 0}
    for name, macs in count_macs(module, image).items():
        weight = module.get_submodule(name).weight
        found["weights"] += macs
        if name not in layers:
            found["weight_free"] += macs
            continue
        copies, dim = layers[name]
        n, m, *window = weight.shape
        sets, positions = (window[0] * window[1] if window else 1), macs // weight.numel()
        found["making"] += copies * dim * weight.numel()
        found["weight_free"] += sets * copies * dim * (n + m) * positions
    return found


def find_folder(name, data_dir=None):
    """The folder `name`, as "imagenet/val", on the data sets' search path, or None."""
    if not name:
        return None
    candidates = [Path(name), *(folder / name for folder in search_path(data_dir))]
    return next((folder for folder in candidates if folder.is_dir()), None)


def image_folder(folder, module, *, train=False, batch=64, workers=0, seed=0):
    """Batches (images, labels) of a folder with one folder a class, prepared as timm says for this backbone.

    Raises
    ------
    DataError
        If it holds no classes or no images.
    ImportError
        If torchvision or timm is missing.
    """
    import torch

    from dynsim.torch import load_timm, load_torchvision

    timm, torchvision = load_timm(), load_torchvision()
    config = timm.data.resolve_model_data_config(module)
    transform = timm.data.create_transform(**config, is_training=train)
    try:
        images = torchvision.datasets.ImageFolder(str(folder), transform)
    except FileNotFoundError as error:
        raise DataError(f"{folder} must hold one folder of images a class ({error}).") from None
    generator = torch.Generator().manual_seed(seed)
    return torch.utils.data.DataLoader(
        images, batch, shuffle=train, num_workers=workers, drop_last=False, generator=generator
    )


def accuracy(module, batches, *, delta=0.0, seed=0):
    """Share of right answers in percent, every stored number perturbed by uniform noise in [-delta, delta].

    Stored are places, lambdas and ordinary weights (see `dynsim.torch.noisy`); norms and biases stay, as in
    `dynsim.evaluate`.
    """
    import torch

    from dynsim.torch import noisy

    right = total = 0
    with torch.no_grad(), noisy(module, delta, seed=seed):
        training = module.training
        module.eval()
        for images, labels in batches:
            right += int((module(images).argmax(1) == labels).sum())
            total += len(labels)
        module.train(training)
    if not total:
        raise refusal("images", "none", "at least one", error=DataError)
    return 100.0 * right / total


def top1(module, folder, deltas, data_dir, **options):
    """{delta: accuracy} on the folder, or None where there is no such folder."""
    found = find_folder(folder, data_dir)
    if found is None:
        return None
    batches = image_folder(found, module, **options)
    return {str(delta): float(np.round(accuracy(module, batches, delta=delta), 4)) for delta in deltas}
