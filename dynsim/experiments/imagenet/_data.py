"""Images in folders, one a class (ImageNet, WebVision, one's own), and accuracy on them, ideal and perturbed."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from dynsim.datasets import search_path
from dynsim.errors import DataError


def find_folder(name, data_dir=None):
    """The folder `name`, as "imagenet/val", on the data sets' search path, or None."""
    if not name:
        return None
    candidates = [Path(name), *(folder / name for folder in search_path(data_dir))]
    return next((folder for folder in candidates if folder.is_dir()), None)


def image_folder(folder, module, train=False, batch=64, workers=0, seed=0):
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
        raise DataError(f"{folder}: expected one folder a class, with images in it ({error}).") from None
    generator = torch.Generator().manual_seed(seed)
    return torch.utils.data.DataLoader(
        images, batch, shuffle=train, num_workers=workers, drop_last=False, generator=generator
    )


def accuracy(module, batches, delta=0.0, seed=0):
    """Share of right answers in percent, every stored number perturbed by uniform noise in [-delta, delta].

    Stored are places, lambdas and ordinary weights, of two axes or more or a layer of particles' own; norms and biases
    stay, as in `dynsim.evaluate`.
    """
    import torch

    from dynsim.torch import noisy

    right = total = 0
    with torch.no_grad(), noisy(module, delta, seed):
        training = module.training
        module.eval()
        for images, labels in batches:
            right += int((module(images).argmax(1) == labels).sum())
            total += len(labels)
        module.train(training)
    if not total:
        raise DataError("images: got none; expected at least one.")
    return 100.0 * right / total


def top1(module, folder, deltas, data_dir, **options):
    """{delta: accuracy} on the folder, or None where there is none: never a number that was not measured."""
    found = find_folder(folder, data_dir)
    if found is None:
        return None
    batches = image_folder(found, module, **options)
    return {str(delta): float(np.round(accuracy(module, batches, delta), 4)) for delta in deltas}
