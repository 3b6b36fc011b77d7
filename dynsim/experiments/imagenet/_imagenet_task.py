"""One row of the table: a backbone at full size, converted, counted, and measured where that can be done."""

from __future__ import annotations

import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from dynsim._check import refusal
from dynsim._files import replacing
from dynsim.errors import DataError
from dynsim.kernels import Kernel

from .._stored_result import StoredTask
from ._imagenet_measures import find_folder, image_folder, macs_of_conversion, top1


@dataclass(frozen=True)
class ConvertTask(StoredTask):
    """A row: the backbone by its name in timm, where its weights come from, and how it becomes particles."""

    row: int
    backbone: str
    weights: str
    copies: int
    dim: int
    kernel: dict
    steps: int
    seed: int
    options: dict
    folders: dict
    deltas: list
    finetune: dict
    kind: str = "convert"

    needed = frozenset(
        ("parameters_before", "parameters", "bytes_before", "bytes", "macs", "seconds", "resumed", "peak_memory_bytes")
    ) | {"layers", "accuracy"}

    @property
    def name(self):
        """Name of its folder."""
        return f"row{self.row}-{self.backbone}"

    def run(self, folder, data_dir=None, progress=None):
        """Convert, count, measure, and leave result.json (and the trained model's places) in its folder.

        `progress` is that of `dynsim.torch.convert`; when it stops the conversion, there is no result (None).
        """
        import torch

        from dynsim.torch import convert, plain_convolutions

        place = self.place(folder)
        torch.manual_seed(self.seed)
        original = plain_convolutions(backbone(self.backbone, self.weights, **self.options))
        before = sum(parameter.numel() for parameter in original.parameters())
        fits = place / "fits.checkpoint"
        resumed = fits.exists()
        _forget_peak()
        began = time.perf_counter()
        options = {"copies": self.copies, "dim": self.dim, "kernel": Kernel.from_dict(self.kernel)}
        options |= {"steps": self.steps, "seed": self.seed, "checkpoint": fits}
        options["synthetic"] = self.weights != "random"  # weights at random hold nothing that images would show
        module, layers = convert(original, **options, progress=progress)
        if layers.options["stopped"]:
            return None
        seconds = time.perf_counter() - began
        memory = _peak()
        made = {layer.name: (layer.copies, layer.dim) for layer in layers.layers if layer.converted}
        size = original.pretrained_cfg["input_size"] if hasattr(original, "pretrained_cfg") else (3, 224, 224)
        after = sum(parameter.numel() for parameter in module.parameters())
        result = {
            "backbone": self.backbone,
            "weights": self.weights,
            "parameters_before": before,
            "parameters": after,
            "bytes_before": _bytes(original),
            "bytes": _bytes(module),
            "macs": macs_of_conversion(original, torch.zeros(1, *size), layers=made),
            "seconds": round(seconds, 1),
            "resumed": resumed,  # then the seconds are those of the last part
            "peak_memory_bytes": memory,
            "threads": torch.get_num_threads(),
            "layers": layers.to_dict()["layers"],
        }
        result |= self._measured(original, module, place, data_dir)
        if self.weights != "random":
            with replacing(place / "places.pt") as temporary:
                torch.save(module.state_dict(), temporary)
        result = self.store(folder, result)
        fits.unlink(missing_ok=True)
        return result

    def _measured(self, original, module, place, data_dir):
        """{"accuracy": {data set: {"weights", "data_free", "particles": {delta: percent}}}, "finetune": [epochs]}.

        None where it could not be measured: weights at random have learned nothing. Fine-tuning changes the module.
        """
        if self.weights == "random":
            return {"accuracy": dict.fromkeys(self.folders), "finetune": []}
        before = [self._accuracy(part, data_dir) for part in (original, module)]
        epochs = self._finetuned(original, module, place, data_dir)
        after = self._accuracy(module, data_dir) if epochs else before[1]
        names, columns = ("weights", "data_free", "particles"), zip(*before, after, strict=True)
        found = {
            name: None if None in parts else dict(zip(names, parts, strict=True))
            for name, parts in zip(self.folders, columns, strict=True)
        }
        return {"accuracy": found, "finetune": epochs}

    def _accuracy(self, module, data_dir):
        return [top1(module, folder, [0.0, *self.deltas], data_dir) for folder in self.folders.values()]

    def _finetuned(self, original, module, place, data_dir):
        """Distil the original into the places, if there are images of the recipe; returns the epochs' metrics."""
        from dynsim.torch import finetune

        options = dict(self.finetune)
        folder = find_folder(options.pop("folder", None), data_dir)
        if folder is None:
            return []
        loading = {name: options.pop(name) for name in ("batch", "workers") if name in options}
        batches = image_folder(folder, original, train=True, seed=self.seed, **loading)
        return finetune(module, original, loader=batches, checkpoint=place / "finetune.checkpoint", **options)


def backbone(name, weights="random", **options):
    """A backbone of timm by name, with random weights, those of timm ("timm"), or those of a file.

    Of a file see `dynsim.torch.load_weights`.

    Raises
    ------
    DataError
        If timm has no such backbone, or the file does not fit it.
    ImportError
        If timm or torchvision is missing, or torchvision was built for another PyTorch; the message says what to do.
    """
    from dynsim.torch import load_timm, load_weights

    timm = load_timm()
    if name not in timm.list_models():
        near = ", ".join(timm.list_models(f"*{name.split('_')[0]}*")[:5])
        wanted = f"a model that timm lists{f', as {near}' if near else ''}"
        raise refusal("backbone", repr(name), wanted, error=DataError)
    module = timm.create_model(name, pretrained=weights == "timm", **options)
    if weights in ("random", "timm"):
        return module
    if not Path(weights).is_file():
        raise refusal("weights", weights, "random, timm, or the path of a file", error=DataError)
    return load_weights(module, weights)


def _bytes(module):
    """Bytes of everything stored: parameters and the norms' averages."""
    return sum(tensor.numel() * tensor.element_size() for tensor in module.state_dict().values())


def _forget_peak():
    """Reset the largest memory of this process, where the system allows it (Linux)."""
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")


def _peak():
    """Largest memory of the process since then, in bytes; None where the system does not report it."""
    try:
        lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    except OSError:
        return None
    return next((1024 * int(line.split()[1]) for line in lines if line.startswith("VmHWM:")), None)
