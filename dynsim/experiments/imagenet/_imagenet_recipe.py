"""The recipe of the ImageNet table."""

from __future__ import annotations

from dataclasses import dataclass, field

from dynsim._check import as_count, as_number, expect_keys, refusal
from dynsim.kernels import Kernel

from ._imagenet_report import report
from ._imagenet_task import ConvertTask

KEYS = ("kind", "title", "weights", "kernel", "steps", "seeds", "folders", "deltas", "options", "finetune", "rows")
FINETUNE = ("folder", "epochs", "batch", "rate", "labels", "workers")
ROW = ("backbone", "weights", "copies", "dim", "steps", "options", "published")
PUBLISHED = ("name", "parameters", "parameters_before", "macs", "macs_before", "macs_weight_free", "accuracy")


@dataclass
class ImageNetRecipe:
    """The contents of the file, checked."""

    title: str
    rows: list
    weights: str = "random"
    kernel: dict = field(default_factory=dict)
    steps: int = 2
    seeds: list = field(default_factory=lambda: [0])
    folders: dict = field(default_factory=dict)
    deltas: list = field(default_factory=list)
    options: dict = field(default_factory=dict)
    finetune: dict = field(default_factory=dict)
    kinds: tuple = ("convert",)

    @property
    def data(self):
        """Names of the image folders."""
        return ", ".join(self.folders) or "no images"

    def check(self, data_dir=None):
        """Nothing is required; without images nothing is measured on them."""

    def tasks(self):
        """One conversion a row."""
        return [
            ConvertTask(
                number, row["backbone"], row.get("weights", self.weights), row["copies"], row["dim"], self.kernel,
                row.get("steps", self.steps), self.seeds[0], {**self.options, **row.get("options", {})}, self.folders,
                list(self.deltas), self.finetune,
            )
            for number, row in enumerate(self.rows)
        ]  # fmt: skip

    def report(self, results, folder):
        """Write the table; returns the Markdown."""
        return report(self, results, folder)


def load(given):
    """Check the contents of a TOML file; raises ValueError or TypeError where a key or a value does not fit."""
    expect_keys(given, KEYS, "experiment")
    if not given.get("rows"):
        raise refusal("experiment", "no rows", "one row a backbone")
    options = {key: value for key, value in given.items() if key != "kind"}
    recipe = ImageNetRecipe(**{"title": "ImageNet", **options})
    recipe.kernel = Kernel.from_dict(recipe.kernel).to_dict()
    recipe.steps = as_count(recipe.steps, "steps")
    recipe.seeds = [as_count(seed, "seeds", minimum=0) for seed in recipe.seeds]
    expect_keys(recipe.finetune, FINETUNE, "finetune")
    recipe.deltas = [as_number(delta, "deltas", above=0) for delta in recipe.deltas]
    for number, row in enumerate(recipe.rows):
        expect_keys(row, ROW, f"rows[{number}]")
        expect_keys(row.get("published", {}), PUBLISHED, f"rows[{number}].published")
        for key in ("backbone", "copies", "dim"):
            if key not in row:
                raise refusal(f"rows[{number}]", f"no {key}", "backbone, copies and dim")
        as_count(row["copies"], f"rows[{number}].copies")
        as_count(row["dim"], f"rows[{number}].dim")
    return recipe
