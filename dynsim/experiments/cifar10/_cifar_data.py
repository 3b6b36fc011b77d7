"""CIFAR-10 as binary records, whole or in part: a label and 3072 bytes, planes R, G, B."""

from __future__ import annotations

import gzip
import zlib

import numpy as np

from dynsim._check import refusal
from dynsim.datasets import search_path
from dynsim.errors import DataError

RECORD = 3073  # bytes
LARGEST = 10_000  # records of one file
MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of the normalisation that the network was trained with


def find_file(data_dir, *names):
    """The first of these files, as "cifar10/test_batch.bin", on the search path, as it is or as gz.

    Raises
    ------
    DataError
        If there is none.
    """
    folders = search_path(data_dir)
    for folder in folders:
        for name in names:
            for path in (folder / name, folder / f"{name}.gz"):
                if path.is_file():
                    return path
    raise DataError(f"{names[0]} is not in {', '.join(map(str, folders))}; give its folder with --data-dir.")


def read_records(path):
    """Images (n, 3, 32, 32) float32, normalised, and labels (n,) int64.

    Raises
    ------
    DataError
        If the file is no such file.
    """
    opener = gzip.open if path.suffix == ".gz" else open
    try:
        with opener(path, "rb") as file:
            data = file.read(LARGEST * RECORD + 1)
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise DataError(f"{path} is a damaged gz file ({error}); restore it from a copy.") from None
    if not data or len(data) % RECORD or len(data) > LARGEST * RECORD:
        raise refusal(path, f"{len(data)} bytes", f"records of {RECORD}, at most {LARGEST}", error=DataError)
    records = np.frombuffer(data, np.uint8).reshape(-1, RECORD)
    labels = records[:, 0].astype(np.int64)
    if labels.max() > 9:
        raise refusal(path, f"label {labels.max()}", "labels 0 to 9", error=DataError)
    images = records[:, 1:].reshape(-1, 3, 32, 32).astype(np.float32) / 255
    mean, deviation = (np.array(x, np.float32).reshape(3, 1, 1) for x in (MEAN, DEVIATION))
    return (images - mean) / deviation, labels


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
