"""One row of the table: a network with as many floats, fine-tuned or not, on the test images, ideal and perturbed."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from dynsim._check import refusal
from dynsim._files import replacing

from .._stored_result import StoredTask
from ._cifar_data import Batches, find_weights, read_batch

TRAINING, TEST = "data_batch_1.bin", "test_batch.bin"
MATCHED = 256  # images of a batch on which layers are matched
SHIFT, MIXED = 4, 0.5  # of further views of the same images: pixels, and the share of batches of sums of two
KINDS = ("original", "particles", "low-rank", "rounded")
FREE, ON_IMAGES, TUNED = "data-free", "matched", "fine-tuned"


@dataclass(frozen=True)
class ConversionTask(StoredTask):
    """A way to have fewer floats, how many, and everything it depends on."""

    kind: str
    seed: int
    budget: float | None
    training: str
    network: str
    weights: str
    train: dict
    include: list
    convert: dict
    matched: int
    views: int
    finetune: dict
    deltas: list
    relative: list
    bits: list
    draws: int

    @property
    def needed(self):
        """Keys of a result that the report reads."""
        sizes = {"seconds", "layers"} if self.kind == "particles" else set()
        return {"share", "bytes", "test_accuracy", "noise", "relative", "rounding"} | sizes

    @property
    def name(self):
        """Name of its folder."""
        if self.budget is None:
            return self.kind
        return f"{self.kind}-{self.budget:g}-{self.training}-seed{self.seed}"

    def run(self, folder, data_dir=None, progress=None):
        """Convert, fine-tune, read the test images once, and leave result.json and the network in its folder.

        `progress` is that of `dynsim.torch.finetune`; when it stops the training, there is no result (None).
        """
        import torch

        place = self.place(folder)
        torch.manual_seed(self.seed)
        original = self._original(folder, data_dir, progress)
        if original is None:
            return None
        module, found = self._made(original, folder, self._batches(data_dir))
        for network in (module, original):
            network.to(memory_format=torch.channels_last)
        if self.training == TUNED:
            found["metrics"] = self._tune(module, original, place, data_dir, progress)
            if len(found["metrics"]) < self.finetune["epochs"]:
                return None
            module.cpu()  # so that the file is read anywhere, and what is measured does not depend on a card
        with replacing(place / "module.pt") as temporary:
            torch.save(module.state_dict(), temporary)
        images, labels = read_batch(data_dir, TEST)
        found["test_accuracy"] = accuracy(module, images, labels)
        shown = module, images, labels
        found["noise"] = {str(delta): self._noisy(delta, *shown) for delta in self.deltas}
        found["relative"] = {str(delta): self._noisy(delta, *shown, relative=True) for delta in self.relative}
        bits = () if self.kind == "rounded" else self.bits
        found["rounding"] = {str(number): self._coarse(number, *shown) for number in bits}
        return self.store(folder, found)

    def _original(self, folder, data_dir, progress):
        """The network with its weights: of a file, or trained once for all tasks; None if `progress` stopped that."""
        from ._cifar_networks import load_resnet20
        from ._plain_network import trained

        if self.network == "resnet20":
            return load_resnet20(find_weights(data_dir, self.weights))
        images, labels = read_batch(data_dir, TRAINING)
        return trained(Path(folder) / "plain.pt", images, labels, progress=progress, **self.train)

    def _batches(self, data_dir):
        """Training images, without their labels, on which layers are matched, in all their views; or None."""
        import torch

        if self.training == FREE:
            return None
        images, labels = read_batch(data_dir, TRAINING)
        if self.matched > len(images):
            raise refusal("matched", self.matched, f"at most the {len(images)} training images")
        found = list(torch.from_numpy(images[: self.matched]).split(MATCHED))
        changed = Batches(images[: self.matched], labels[: self.matched], self.matched, SHIFT, seed=0, mixed=MIXED)
        for view in range(self.views - 1):
            changed.set_epoch(view)
            found += [part for batch, _ in changed for part in batch.split(MATCHED)]
        return found

    def _made(self, original, folder, data):
        """The network before fine-tuning, and its sizes."""
        from dynsim.torch import convert

        from .._low_rank_networks import low_rank
        from ._cifar_networks import rounded

        began = time.perf_counter()
        if self.kind == "original":
            return original, {"share": 1.0, "bytes": 1.0}
        if self.kind == "rounded":
            bits = max(2, round(32 * self.budget))
            return rounded(original, self.include, bits), {"share": 1.0, "bytes": bits / 32, "bits": bits}
        if self.kind == "low-rank":
            module, share = low_rank(original, self.budget, self.include, data)
            return module, {"share": share, "bytes": share, "seconds": time.perf_counter() - began}
        fits = Path(folder) / f"fits-{self.budget:g}-{FREE if data is None else ON_IMAGES}.h5"
        options = {"budget": self.budget, "include": self.include, **self.convert}
        module, report = convert(original, data=data, checkpoint=fits, **options)
        return module, {"share": report.share, "bytes": report.share, **report.to_dict()}

    def _tune(self, module, original, place, data_dir, progress):
        from dynsim.torch import finetune

        options = dict(self.finetune)
        names = ("batch", "shift", "mixed", "shown", "held_out")
        batch, shift, mixed, shown, held = (options.pop(name) for name in names)
        images, labels = read_batch(data_dir, TRAINING)
        cut = len(images) - held
        if not batch <= (shown or cut) <= cut:
            raise refusal(
                "finetune.shown", shown or f"0, all {cut}", f"{batch} (a batch) to {cut} (without those held out)"
            )
        loader = Batches(images[: shown or cut], labels[: shown or cut], batch, shift, self.seed, mixed)
        return finetune(
            module, original, loader=loader, **options, mixed=False, checkpoint=place / "training.pt",
            progress=progress,
            validate=(lambda trained: accuracy(trained, images[cut:], labels[cut:])) if held else None,
        )  # fmt: skip

    def _noisy(self, delta, module, images, labels, relative=False):
        from dynsim.torch import noisy

        found = []
        for draw in range(self.draws):
            with noisy(module, delta, seed=draw, include=self.include, relative=relative):
                found.append(accuracy(module, images, labels))
        return found

    def _coarse(self, bits, module, images, labels):
        from dynsim.torch import coarse

        with coarse(module, bits, include=self.include):
            return accuracy(module, images, labels)


def accuracy(module, images, labels):
    """Right answers in percent."""
    return 100.0 * float(np.mean(scores_of(module, images).argmax(1).numpy() == labels))


def scores_of(module, images, batch=250):
    """Scores of images, as a torch tensor; the weights that places stand for are computed once."""
    import torch

    from dynsim.torch import materialize

    module = materialize(module).eval().to(memory_format=torch.channels_last)
    device = next(module.parameters()).device
    with torch.no_grad():
        parts = torch.from_numpy(images).to(memory_format=torch.channels_last).split(batch)
        return torch.cat([module(part.to(device)).cpu() for part in parts])
