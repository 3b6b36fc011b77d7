"""Training images parted into those to learn from and those to judge by; the test images are not looked at."""

from __future__ import annotations

import numpy as np

from dynsim._check import refusal
from dynsim.datasets import Dataset


def search_data(data: Dataset, seed: int, images: int) -> Dataset:
    """The data of a search: a tenth of the training images, by the seed, to judge, and (some of) the rest to train on.

    The test images of `data` are not looked at. Those to judge are what `dynsim.train` holds out with this seed.
    """
    order = np.random.default_rng(seed).permutation(len(data.train_images))
    held = max(1, len(order) // 10)
    judged, rest = order[:held], order[held:]
    if images > len(rest):
        raise refusal("search.images", images, f"at most {len(rest)}, or 0 for all of them")
    return _with_images(data, rest[: images or None], judged)


def without_test(data: Dataset) -> Dataset:
    """The same training images, of which one stands for the test images: for trainings that are not the last."""
    return _with_images(data, slice(None), slice(1))


def _with_images(data, trained, judged):
    images, labels = data.train_images, data.train_labels
    return Dataset(
        data.name, images[trained], train_labels=labels[trained], test_images=images[judged],
        test_labels=labels[judged], classes=data.classes, class_names=data.class_names,
    )  # fmt: skip
