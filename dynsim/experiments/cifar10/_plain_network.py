"""A network without norms, trained here: six convolutions and three linear layers, about a million numbers."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import nn
from torch.nn import functional

from dynsim._check import refusal
from dynsim._files import digest, replacing
from dynsim.errors import FileError
from dynsim.learning import one_cycle

from ._cifar_data import Batches

LONGEST = 1.0  # of the gradient of all numbers together


def plain(widths=(48, 48, 96, 96, 192, 192), hidden=512, classes=10):
    """Convolutions of 3 x 3, maxima of 2 x 2 after every second from the first on, and linear layers.

    Examples
    --------
    >>> sum(parameter.numel() for parameter in plain().parameters())
    1011386
    """
    parts, before = [], 3
    for number, width in enumerate(widths):
        parts += [nn.Conv2d(before, width, 3, padding=1), nn.ReLU()]
        if number % 2 == 0:
            parts.append(nn.MaxPool2d(2))
        before = width
    parts += [nn.AdaptiveAvgPool2d(1), nn.Flatten()]
    parts += [nn.Linear(before, hidden), nn.ReLU(), nn.Linear(hidden, hidden), nn.ReLU(), nn.Linear(hidden, classes)]
    network = nn.Sequential(*parts)
    for part in network:
        if isinstance(part, nn.Conv2d | nn.Linear):
            nn.init.kaiming_normal_(part.weight, nonlinearity="relu")  # deep, without norms
            nn.init.zeros_(part.bias)
    return network


def trained(path, images, labels, *, epochs, batch, rate, decay, smoothing, shift, progress=None):
    """The network, trained on the images by AdamW, or as `path` holds it; it goes on where it was stopped.

    Returns None when `progress(done, total, epoch=, loss=)`, called after every batch, returned true.

    Raises
    ------
    FileError
        If the file is of another training.
    """
    if batch > len(images):
        raise refusal("train.batch", batch, f"at most the {len(images)} training images")
    options = {"epochs": epochs, "batch": batch, "rate": rate, "decay": decay, "smoothing": smoothing, "shift": shift}
    options["data"] = digest("", [images, labels])
    torch.manual_seed(0)
    network = plain().to(memory_format=torch.channels_last)
    optimizer = torch.optim.AdamW(network.parameters(), weight_decay=decay)
    begun = _restore(Path(path), network, optimizer, options)
    batches = Batches(images, labels, batch, shift, seed=0)
    network.train()
    for epoch in range(begun, epochs):
        batches.set_epoch(epoch)
        for done, (inputs, truth) in enumerate(batches, epoch * len(batches)):
            for group in optimizer.param_groups:
                group["lr"] = one_cycle(done, epochs * len(batches), peak=rate)
            loss = functional.cross_entropy(network(inputs), truth, label_smoothing=smoothing)
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(network.parameters(), LONGEST)
            optimizer.step()
            facts = {"epoch": epoch + 1, "loss": float(loss.detach())}
            if progress is not None and progress(done + 1, epochs * len(batches), **facts):
                return None
        state = {"network": network.state_dict(), "optimizer": optimizer.state_dict()}
        with replacing(path) as temporary:
            torch.save({**state, "epochs": epoch + 1, "options": options}, temporary)
    return network.eval()


def _restore(path, network, optimizer, options):
    """The number of epochs that the file holds, whose state the network takes; 0 without a file."""
    if not path.exists():
        return 0
    try:
        stored = torch.load(path, weights_only=True)
        if stored["options"] != options:
            raise ValueError("it has other options or images")
        network.load_state_dict(stored["network"])
        optimizer.load_state_dict(stored["optimizer"])
        return int(stored["epochs"])
    except Exception as error:  # what a damaged file makes torch.load raise is not listed anywhere
        raise FileError(f"{path} is no state of this training ({error}); remove it to train anew.") from None
