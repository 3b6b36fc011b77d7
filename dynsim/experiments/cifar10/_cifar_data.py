"""CIFAR-10 as the networks of these experiments take it: normalised, in batches that shift and flip the images."""

from __future__ import annotations

import numpy as np

from dynsim.datasets import find, find_gz, read_cifar10, search_path
from dynsim.errors import DataError

MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of the normalisation that the network was trained with


def find_batch(data_dir, name):
    """The file of a batch of CIFAR-10, as it is or as gz; raises DataError if there is none."""
    folder = find("cifar10", data_dir)
    path = folder and find_gz(folder, name)
    if path is None:
        raise DataError(f"cifar10: {name} is not in {folder or 'the data folders'}; run `dynsim data fetch cifar10`.")
    return path


def read_batch(data_dir, name):
    """Images (n, 3, 32, 32) float32, normalised, and labels (n,) int64, of a batch of CIFAR-10.

    Raises
    ------
    DataError
        If it is missing or damaged.
    """
    images, labels = read_cifar10(find_batch(data_dir, name))
    mean, deviation = (np.array(x, np.float32).reshape(3, 1, 1) for x in (MEAN, DEVIATION))
    return (images.astype(np.float32) / 255 - mean) / deviation, labels


def find_weights(data_dir, name):
    """The file of weights on the search path of data sets; raises DataError if there is none."""
    folders = search_path(data_dir)
    path = next((folder / name for folder in folders if (folder / name).is_file()), None)
    if path is None:
        raise DataError(f"{name} is not in {', '.join(map(str, folders))}; give its folder with --data-dir.")
    return path


class Batches:
    """Shuffled batches with flips and shifts by up to `shift` pixels.

    A share `mixed` of the batches has sums of two images each, with weights at random that add up to 1: answers of a
    trained network to these say more than those to images that it knows by heart (Beyer et al., CVPR 2022). Labels
    stay those of the first.
    """

    def __init__(self, images, labels, batch, shift, seed, mixed=0.0):
        self.images, self.labels, self.mixed = images, labels, mixed
        self.batch, self.shift, self.seed, self.epoch = batch, shift, seed, 0

    def __len__(self):
        return len(self.images) // self.batch

    def set_epoch(self, epoch):
        """Set the epoch, on which alone the order and the changes depend."""
        self.epoch = epoch

    def __iter__(self):
        import torch

        generator = np.random.default_rng([self.seed, self.epoch])
        order, reach = generator.permutation(len(self.images)), self.shift
        for k in range(len(self)):
            chosen = order[k * self.batch : (k + 1) * self.batch]
            flips = generator.integers(0, 2, len(chosen))
            moves = generator.integers(0, 2 * reach + 1, (len(chosen), 2))
            wide = np.pad(self.images[chosen], ((0, 0), (0, 0), (reach, reach), (reach, reach)))
            parts = []
            for image, flip, (down, right) in zip(wide, flips, moves, strict=True):
                part = image[:, down : down + 32, right : right + 32]
                parts.append(part[:, :, ::-1] if flip else part)
            batch = np.stack(parts)
            if self.mixed and generator.random() < self.mixed:
                weights = generator.uniform(0, 1, (len(batch), 1, 1, 1)).astype(np.float32)
                batch = weights * batch + (1 - weights) * batch[::-1]
            images = torch.from_numpy(batch).to(memory_format=torch.channels_last)
            yield images, torch.from_numpy(self.labels[chosen])
