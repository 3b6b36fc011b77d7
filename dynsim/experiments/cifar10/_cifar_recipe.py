"""The recipe of a conversion experiment."""

from __future__ import annotations

from dataclasses import dataclass, field

from dynsim._check import as_choice, as_count, as_number, expect_keys, refusal

from ._cifar_data import find_batch, find_weights
from ._cifar_report import report
from ._cifar_task import FREE, KINDS, ON_IMAGES, TEST, TRAINING, TUNED, ConversionTask

KEYS = ("kind", "title", "seeds", "network", "weights", "train", "budgets", "methods", "include", "convert", "matched",
        "views", "finetune", "deltas", "relative", "bits", "draws")  # fmt: skip
NEEDED = ("title", "budgets", "include")
NETWORKS = ("resnet20", "plain")
TRAIN = ("epochs", "batch", "rate", "decay", "smoothing", "shift")
CONVERT = ("copies", "steps", "restarts", "rank", "seed")
FINETUNE = (
    "epochs", "batch", "rate", "others", "temperature", "labels", "norms", "shift", "mixed", "shown", "held_out",
)  # fmt: skip


@dataclass
class ConversionRecipe:
    """The contents of the file, checked. `seeds` are those of fine-tuning; a conversion is made once."""

    title: str
    budgets: list
    include: list
    network: str = "resnet20"
    weights: str = ""
    train: dict = field(default_factory=dict)
    matched: int = 0
    views: int = 1
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
        for name in (TRAINING, TEST):
            find_batch(data_dir, name)
        if self.weights:
            find_weights(data_dir, self.weights)

    def tasks(self):
        """The original, then budget after budget particles and their baselines: data-free, matched, fine-tuned."""
        found = [self._task("original", None, FREE, self.seeds[0])] if "original" in self.methods else []
        trainings = [FREE, *([ON_IMAGES] if self.matched else []), *([TUNED] if self.finetune else [])]
        for kind in ("particles", "low-rank", "rounded"):
            for budget in self.budgets if kind in self.methods else ():
                for training in [FREE] if kind == "rounded" else trainings:
                    seeds = self.seeds if training == TUNED else self.seeds[:1]
                    found += [self._task(kind, budget, training, seed) for seed in seeds]
        return found

    def _task(self, kind, budget, training, seed):
        finetune = self.finetune["all"] | self.finetune.get(str(budget), {}) if training == TUNED else {}
        matched, views = (0, 1) if training == FREE else (self.matched, self.views)
        convert = self.convert if kind == "particles" else {}
        return ConversionTask(
            kind, seed, budget, training, self.network, self.weights, self.train, self.include, convert, matched,
            views, finetune, self.deltas, self.relative, self.bits, self.draws,
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
    as_choice(recipe.network, NETWORKS, "network")
    if (recipe.network == "resnet20") != bool(recipe.weights):
        raise refusal("weights", repr(recipe.weights), "a file for resnet20 alone; plain is trained here")
    if recipe.train and recipe.network != "plain":
        raise refusal("train", "a table", "none for resnet20, which is not trained here")
    _expect_all(recipe.train, TRAIN, "train", needed=recipe.network == "plain")
    recipe.train = {name: _trained(name, value) for name, value in recipe.train.items()}
    recipe.matched, recipe.views = as_count(recipe.matched, "matched", minimum=0), as_count(recipe.views, "views")
    if recipe.views > 1 and not recipe.matched:
        raise refusal("views", recipe.views, "1 where layers are matched on no images")
    if recipe.finetune and not recipe.matched:
        raise refusal("matched", 0, "how many images layers are matched on before fine-tuning")
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
        for key in ("shown", "held_out"):
            as_count(options.get(key, 0), f"finetune.{name}.{key}", minimum=0)
        if options.get("mixed") and options.get("labels", recipe.finetune.get("all", {}).get("labels")):
            raise refusal(
                f"finetune.{name}", "labels of mixed images", "mixed = 0 or labels = 0: mixed images have none"
            )
    _expect_all(recipe.finetune.get("all", {}), FINETUNE, "finetune.all", needed=bool(recipe.finetune))
    return recipe


def _trained(name, value):
    """An option of the training of the plain network, checked."""
    if name in ("epochs", "batch", "shift"):
        return as_count(value, f"train.{name}", minimum=0 if name == "shift" else 1)
    return as_number(value, f"train.{name}", **({"above": 0} if name == "rate" else {"minimum": 0}))


def _expect_all(options, names, where, needed):
    """Refuse a table that has other names than these, or not all of them where it is needed."""
    expect_keys(options, names, where)
    missing = set(names) - set(options)
    if missing and needed:
        raise refusal(where, f"no {', '.join(sorted(missing))}", ", ".join(names))
