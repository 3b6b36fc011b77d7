"""The recipe of a conversion experiment."""

from __future__ import annotations

from dataclasses import dataclass, field

from dynsim._check import as_choice, as_count, as_number, expect_keys, refusal

from ._cifar_data import find_file
from ._cifar_report import report
from ._cifar_task import KINDS, TEST, TRAINING, ConversionTask

KEYS = ("kind", "title", "seeds", "weights", "budgets", "methods", "include", "convert", "finetune", "deltas",
        "relative", "bits", "draws")  # fmt: skip
NEEDED = ("title", "weights", "budgets", "include")
CONVERT = ("copies", "steps", "restarts", "rank")
FINETUNE = ("epochs", "batch", "rate", "others", "temperature", "labels", "norms", "shift", "images", "held_out")


@dataclass
class ConversionRecipe:
    """The contents of the file, checked."""

    title: str
    weights: str
    budgets: list
    include: list
    seeds: list = field(default_factory=lambda: [0])
    methods: list = field(default_factory=lambda: list(KINDS))
    convert: dict = field(default_factory=dict)
    finetune: dict = field(default_factory=dict)
    deltas: list = field(default_factory=list)
    relative: list = field(default_factory=list)
    bits: list = field(default_factory=list)
    draws: int = 5
    data: str = "cifar10"
    kinds: tuple = KINDS

    def check(self, data_dir=None):
        """Raise what is missing before the work begins."""
        try:
            import torch  # noqa: F401
        except ImportError:
            raise ImportError("This experiment needs PyTorch: pip install 'dynsim[torch]'.") from None
        for name in (TRAINING, TEST, self.weights):
            find_file(data_dir, name)

    def tasks(self):
        """The original, then budget after budget particles and their baselines, with and without fine-tuning."""
        rows = [("original", None, False)] if "original" in self.methods else []
        for kind in ("particles", "low-rank", "rounded"):
            for number in range(len(self.budgets)):
                if kind in self.methods:
                    rows += [(kind, number, tuned) for tuned in (False, True) if not (tuned and kind == "rounded")]
        return [self._task(*row, seed) for row in rows for seed in self.seeds]

    def _task(self, kind, number, tuned, seed):
        budget = None if number is None else self.budgets[number]
        finetune = dict(self.finetune["all"], **self.finetune.get(str(budget), {})) if tuned else {}
        return ConversionTask(
            kind, seed, budget, tuned, self.weights, self.include, self.convert, finetune, self.deltas, self.relative,
            self.bits, self.draws,
        )  # fmt: skip

    def report(self, results, folder):
        """Write the table and figures; returns the Markdown."""
        return report(self, results, folder)


def load(given):
    """Check the contents of a TOML file; raises ValueError or TypeError where a key or a value does not fit."""
    expect_keys(given, KEYS, "experiment")
    for key in NEEDED:
        if key not in given:
            raise refusal("experiment", f"no {key}", f"{', '.join(NEEDED)} at least")
    recipe = ConversionRecipe(**{key: value for key, value in given.items() if key != "kind"})
    recipe.budgets = [as_number(budget, "budgets", above=0) for budget in recipe.budgets]
    recipe.seeds = [as_count(seed, "seeds", minimum=0) for seed in recipe.seeds]
    recipe.deltas = [as_number(delta, "deltas", above=0) for delta in recipe.deltas]
    recipe.relative = [as_number(delta, "relative", above=0) for delta in recipe.relative]
    recipe.bits = [as_count(bits, "bits", 2) for bits in recipe.bits]
    recipe.draws = as_count(recipe.draws, "draws")
    for method in recipe.methods:
        as_choice(method, KINDS, "methods")
    expect_keys(recipe.convert, CONVERT, "convert")
    expect_keys(recipe.finetune, ["all", *map(str, recipe.budgets)], "finetune")
    for name, options in recipe.finetune.items():
        expect_keys(options, FINETUNE, f"finetune.{name}")
    if recipe.finetune:
        missing = set(FINETUNE) - set(recipe.finetune.get("all", {}))
        if missing:
            raise refusal("finetune.all", f"no {', '.join(sorted(missing))}", ", ".join(FINETUNE))
    return recipe
