"""One row: a packaged network, made smaller in one way, and its answers beside the original's."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

from .._stored_result import StoredTask
from ._packaged_networks import packaged
from ._photographs import crops, find_images

KINDS = ("particles", "low-rank")
BATCH = 32  # images that pass at once


@dataclass(frozen=True)
class AgreementTask(StoredTask):
    """A network and a budget; `matched` is a folder of images without labels on which layers are matched, or empty."""

    kind: str
    network: str
    budget: float
    matched: str
    matched_crops: int
    images: str
    crops: int
    convert: dict
    seed: int

    needed = frozenset(
        ("parameters", "parameters_before", "share", "seconds", "agreement", "top5", "divergence", "count")
    )

    @property
    def name(self):
        """Name of its folder."""
        how = "matched" if self.matched else "data-free"
        return f"{self.network}-{self.kind}-{self.budget:g}-{how}-seed{self.seed}"

    def run(self, folder, data_dir=None, progress=None):
        """Make the network smaller, compare, and leave result.json in its folder; None if `progress` stopped it."""
        import torch

        from dynsim.torch import convert

        from .._low_rank_networks import low_rank

        place = self.place(folder)
        torch.manual_seed(self.seed)
        original, size = packaged(self.network)
        data = None
        if self.matched:
            found = crops(find_images(self.matched, data_dir), size, self.matched_crops, seed=self.seed + 1)
            data = list(found[torch.randperm(len(found))].split(BATCH))
        images = crops(find_images(self.images, data_dir), size, self.crops, seed=self.seed)
        began, fits = time.perf_counter(), place / "fits.checkpoint"
        if self.kind == "particles":
            options = {"data": data, "seed": self.seed, "checkpoint": fits, **self.convert}
            module, report = convert(original, budget=self.budget, progress=progress, **options)
            if report.options["stopped"]:
                return None
            share = report.share
        else:
            module, share = low_rank(original, self.budget, data=data)
        seconds = time.perf_counter() - began
        result = {
            "parameters_before": sum(p.numel() for p in original.parameters()),
            "parameters": sum(p.numel() for p in module.parameters()),
            "share": share,
            "seconds": round(seconds, 1),
            **compared(module, original, images),
        }
        result = self.store(folder, result)
        Path(fits).unlink(missing_ok=True)
        return result


def compared(module, original, images):
    """How far answers agree: the first class, the original's first among the first five, in percent, and KL."""
    import torch
    from torch.nn import functional

    from dynsim.torch import materialize

    answers = []
    for net in (module, original):
        net = materialize(net).eval().to(memory_format=torch.channels_last)
        with torch.no_grad():
            parts = images.to(memory_format=torch.channels_last).split(BATCH)
            answers.append(torch.cat([net(part) for part in parts]))
    ours, wanted = answers
    first = wanted.argmax(1, keepdim=True)
    logs = (scores.log_softmax(1) for scores in answers)
    return {
        "count": len(images),
        "agreement": 100.0 * float((ours.argmax(1, keepdim=True) == first).float().mean()),
        "top5": 100.0 * float((ours.topk(min(5, ours.shape[1]), 1).indices == first).any(1).float().mean()),
        "divergence": float(functional.kl_div(*logs, reduction="batchmean", log_target=True)),
    }
