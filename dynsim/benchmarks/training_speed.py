"""An epoch of LeNet-5, batches of 128 images of MNIST's size: ours in DyN form and with weights, PyTorch's."""

from __future__ import annotations

import math
import os

import numpy as np

from ._contestants import ratio, rounds_of

BATCH, STEPS, EPOCH = 128, 60, 54_000 // 128


def measure(rounds, full):
    """Copies (2, 3) and weights; `full` also (7, 7)."""
    contestants = {"dyn": (__name__, "ours", {"weights": False}), "weights": (__name__, "ours", {"weights": True})}
    # PyTorch may be faster with one thread than with all: it is measured at its best.
    cores = len(os.sched_getaffinity(0))
    threads = {f"torch, {count} threads": count for count in sorted({1, cores})}
    contestants |= {name: (__name__, "torch", {"threads": count}) for name, count in threads.items()}
    if full:
        contestants["dyn_7_7"] = (__name__, "ours", {"weights": False, "copies_fc": 7, "copies_conv": 7})
    found = rounds_of(contestants, rounds)
    tried = [found.pop(name) for name in threads]
    found["torch"] = min(tried, key=lambda one: one.get("seconds", math.inf))
    found |= {f"torch_of_{count}": one for count, one in zip(threads.values(), tried, strict=True)} if full else {}
    shares = {
        f"{name}_over_torch": ratio(found[name], found["torch"]) for name in found if not name.startswith("torch")
    }
    return {"batch": BATCH, "batches_per_epoch": EPOCH, "rows": [{**found, **shares}]}


def _data():
    generator = np.random.default_rng(0)
    images = generator.random((BATCH * STEPS, 1, 28, 28), dtype=np.float32)
    return images, generator.integers(0, 10, len(images))


def ours(weights, copies_fc=2, copies_conv=3):
    """The trainer's own loop: the order of images, the pass there and back, the motion."""
    from dynsim.datasets import Dataset
    from dynsim.learning import train
    from dynsim.models import lenet5

    images, labels = _data()
    # Nine tenths are trained on: as many batches as the others.
    more = np.concatenate([images, images[: len(images) // 9 + 9]])
    data = Dataset(
        "random",
        more,
        train_labels=np.resize(labels, len(more)),
        test_images=images[:10],
        test_labels=labels[:10],
        classes=10,
    )
    model = lenet5(copies_fc, copies_conv, weights=weights)
    train(model, data, epochs=1, batch=BATCH)
    result = train(model, data, epochs=3, batch=BATCH)
    steps = (len(more) - len(more) // 10) // BATCH
    return {"seconds": float(np.median([m["seconds"] for m in result.metrics])) * EPOCH / steps}


def torch(threads):
    """The same network in PyTorch with Adam, as fast as eager mode gets: data in tensors, no loader."""
    import torch
    from torch import nn

    from dynsim.layers import median_seconds

    torch.set_num_threads(threads)
    images, labels = (torch.from_numpy(array) for array in _data())
    model = nn.Sequential(
        *(nn.Conv2d(1, 6, 5, padding=2), nn.BatchNorm2d(6), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Conv2d(6, 16, 5), nn.BatchNorm2d(16), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten()),
        *(nn.Linear(400, 120), nn.BatchNorm1d(120), nn.ReLU()),
        *(nn.Linear(120, 84), nn.BatchNorm1d(84), nn.ReLU(), nn.Linear(84, 10)),
    )
    motion = torch.optim.Adam(model.parameters(), 2e-3)

    def epoch():
        order = torch.randperm(len(images))
        for step in range(STEPS):
            chosen = order[step * BATCH : (step + 1) * BATCH]
            motion.zero_grad()
            nn.functional.cross_entropy(model(images[chosen]), labels[chosen]).backward()
            motion.step()

    return {"seconds": median_seconds(epoch, 3) * EPOCH / STEPS, "threads": threads}
