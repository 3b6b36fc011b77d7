"""The recipe of an agreement experiment, and its table."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from dynsim._check import as_choice, as_count, as_number, expect_keys, refusal
from dynsim._files import write_json, write_whole

from ._agreement_task import KINDS, AgreementTask
from ._packaged_networks import NAMES
from ._photographs import find_images

KEYS = (
    "kind",
    "title",
    "networks",
    "budgets",
    "methods",
    "images",
    "crops",
    "matched",
    "matched_crops",
    "convert",
    "seeds",
)
CONVERT = ("copies", "steps", "restarts", "rank", "include", "exclude")
TITLES = {"particles": "particles", "low-rank": "SVD"}


@dataclass
class AgreementRecipe:
    """The contents of the file, checked. `matched` lists folders; the empty one means without data."""

    networks: list
    budgets: list
    images: str
    title: str = "Agreement"
    crops: int = 16
    matched: list = field(default_factory=lambda: [""])
    matched_crops: int = 16
    methods: list = field(default_factory=lambda: list(KINDS))
    convert: dict = field(default_factory=dict)
    seeds: list = field(default_factory=lambda: [0])
    kinds: tuple = KINDS

    @property
    def data(self):
        """The images that answers are compared on."""
        return self.images

    def check(self, data_dir=None):
        """Raise what is missing before the work begins."""
        for name in (self.images, *filter(None, self.matched)):
            find_images(name, data_dir)

    def tasks(self):
        """Network after network and budget after budget."""
        return [
            AgreementTask(
                kind, network, budget, matched, self.matched_crops if matched else 0, self.images, self.crops,
                self.convert if kind == "particles" else {}, seed,
            )
            for network in self.networks for budget in self.budgets for matched in self.matched
            for kind in self.methods for seed in self.seeds
        ]  # fmt: skip

    def report(self, results, folder):
        """Write the table; returns the Markdown."""
        rows = [(task, results.get(task.name)) for task in self.tasks()]
        text = "\n".join(_table(self, rows)) + "\n"
        write_whole(Path(folder) / "report.md", text)
        listed = [{"name": task.name, "result": result} for task, result in rows if result is not None]
        write_json(Path(folder) / "report.json", {"title": self.title, "rows": listed}, indent=1)
        return text


def _table(recipe, rows):
    count = next((result["count"] for _, result in rows if result), 0)
    yield f"# {recipe.title}"
    yield ""
    yield f"Answers to {count} squares of images ({recipe.images}, {recipe.crops} of each) beside the original's:"
    yield "the same first class, the original's first class among the first five, and KL of the probabilities in nats."
    yield "Floats are those of all weights that were considered, as a share."
    yield ""
    yield "| network | method | floats | numbers, M | data | first class, % | first five, % | KL | seconds |"
    yield "|" + "---|" * 9
    for task, result in rows:
        data = f"matched on {task.matched}, {task.matched_crops} squares of each" if task.matched else "none"
        begin = f"| {task.network} | {TITLES[task.kind]} |"
        if result is None:
            yield f"{begin} {task.budget:g} | | {data} | not measured | | | |"
            continue
        sizes = f"{result['parameters_before'] / 1e6:.2f} -> {result['parameters'] / 1e6:.2f}"
        found = (
            f"{result['agreement']:.1f} | {result['top5']:.1f} | {result['divergence']:.3f} | {result['seconds']:.0f}"
        )
        yield f"{begin} {result['share']:.3f} | {sizes} | {data} | {found} |"


def load(given):
    """Check the contents of a TOML file; raises ValueError or TypeError where a key or a value does not fit."""
    expect_keys(given, KEYS, "experiment")
    for key in ("networks", "budgets", "images"):
        if not given.get(key):
            raise refusal("experiment", f"no {key}", "networks, budgets and images")
    recipe = AgreementRecipe(**{key: value for key, value in given.items() if key != "kind"})
    for name in recipe.networks:
        as_choice(name, tuple(NAMES), "networks")
    recipe.budgets = [as_number(budget, "budgets", above=0) for budget in recipe.budgets]
    recipe.crops, recipe.matched_crops = (
        as_count(count, name) for count, name in ((recipe.crops, "crops"), (recipe.matched_crops, "matched_crops"))
    )
    recipe.seeds = [as_count(seed, "seeds", minimum=0) for seed in recipe.seeds]
    for method in recipe.methods:
        as_choice(method, KINDS, "methods")
    expect_keys(recipe.convert, CONVERT, "convert")
    return recipe
