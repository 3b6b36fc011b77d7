"""The recipe of a comparison of families of networks with equally many numbers."""

from __future__ import annotations

import inspect
import re
from dataclasses import dataclass, field

from dynsim import datasets, models
from dynsim._check import as_choice, as_count, as_flag, as_instance, as_number, expect_keys, refusal

from .._teacher_task import check_teachers, expect_teacher, taught, teacher_in, teacher_of
from .._training_recipe import TRAINING, find, read_toml
from ._frontier_report import report
from ._frontier_task import JUDGES, KINDS, FinalTask

KEYS = (
    "kind", "base", "title", "data", "model", "options", "budgets", "seeds", "judge", "bits", "training", "search",
    "families", "against", "retrain_bits", "teacher", "published",
)  # fmt: skip
NEEDED = ("title", "data", "budgets", "training", "families")
_ALL = tuple(key for key in TRAINING if key != "bits" and not key.startswith("fit"))  # `bits` are for packed files
COMMON = tuple(key for key in _ALL if key != "rate")  # the rate belongs to the settings that are searched for
TRIAL = (*(key for key in _ALL if key != "epochs"), "distillation")  # all families are trained equally long
SEARCH = {"seed": 100, "images": 0}
FAMILY = ("title", "model", "width", "options", "grid", "particles", "prune_from", "prune_after")
RETRAIN = ("epochs", "share")
PUBLISHED = ("name", "numbers", "accuracy", "bytes", "source")
MOST_BITS = 16


@dataclass
class FrontierRecipe:
    """What the file says, checked. `seeds` are those of the final trainings; the search has one of its own."""

    title: str
    data: str
    budgets: list
    training: dict
    families: dict
    model: str = "compact"
    options: dict = field(default_factory=dict)
    seeds: list = field(default_factory=lambda: [0])
    judge: str = "test"
    against: str | None = None
    bits: list = field(default_factory=list)
    search: dict = field(default_factory=dict)
    retrain_bits: dict = field(default_factory=dict)
    teacher: dict = field(default_factory=dict)
    published: list = field(default_factory=list)
    kinds: tuple = KINDS

    def check(self, data_dir=None):
        """Refuse to begin without the data set (DataError), or with a network to learn from that does not take it."""
        check_teachers(self.tasks(), datasets.load(self.data, data_dir))

    def tasks(self):
        """The large networks that others learn from; trials, of small networks first; trainings with what they chose.

        Where families have a single setting each there is nothing to try.
        """
        search = self.searched
        teachers, trials, finals = {}, [], []
        for budget in self.budgets:
            for name, family in self.families.items():
                own = self._own(name, family, budget)
                grid = [taught(choice, self._teacher) for choice in family["grid"]]
                given = {"grid": grid, "search": search, "judge": self.judge, "bits": self.bits}
                given["retrain_bits"] = self.retrain_bits if self.bits else {}
                more = [FinalTask(**own, seed=seed, **given) for seed in self.seeds]
                trials += more[0].trials()
                finals += more
        for task in trials + finals:
            for choice in task.grid if task.kind == "final" else [task.choice]:
                teacher = teacher_in({**task.training, **choice}, self.data, task.judged_by)
                if teacher is not None:
                    teachers[teacher.name] = teacher
        return [*teachers.values(), *trials, *finals]

    @property
    def _teacher(self):
        return teacher_of(self.teacher, self.model, self.options, self.training)

    def _own(self, name, family, budget):
        return {
            "family": name,
            "budget": budget,
            "data": self.data,
            "model": family.get("model", self.model),
            "width": family.get("width", "channels"),
            "options": {**self.options, **family.get("options", {})},
            "training": taught(self.training, self._teacher),
            "prune_from": family.get("prune_from"),
            "prune_after": family.get("prune_after", 0.5),
        }

    @property
    def searched(self):
        """What the search says, and what it need not say."""
        return {**SEARCH, **self.search}

    @property
    def networks(self):
        """The families in words."""
        return "; ".join(self.title_of(name) for name in self.families)

    @property
    def settings(self):
        """{kind of task: options of its training}, without those of the grid."""
        found = {"trial": {**self.training, **self.searched}, "final": self.training}
        return found | ({"teacher": self._teacher["training"]} if self.teacher else {})

    def title_of(self, name):
        """What a family is called in tables and figures."""
        return self.families[name].get("title", name)

    def is_particles(self, name):
        """Whether a family is one of particles, as its recipe says."""
        return self.families[name].get("particles", False)

    def report(self, results, folder):
        """Write tables and figures; returns the Markdown."""
        return report(self, results, folder)


def load(given):
    """Check the contents of a TOML file; raises ValueError or TypeError where a key or a value does not fit.

    With `base`, the name or path of another recipe of this kind, keys that are not given are those of that one.
    """
    expect_keys(given, KEYS, "experiment")
    searches = "search" in given  # and not in the base, whose families may be others
    if "base" in given:
        base = read_toml(find(as_instance(given["base"], str, "base")))
        if base.get("kind") != given["kind"] or "base" in base:
            raise refusal("base", repr(given["base"]), f"a recipe of kind {given['kind']} without a base")
        given = {**base, **given}
        del given["base"]
        expect_keys(given, KEYS, "base")
    for key in NEEDED:
        if key not in given:
            raise refusal("experiment", f"no {key}", f"{', '.join(NEEDED)} at least")
    recipe = FrontierRecipe(**{key: value for key, value in given.items() if key != "kind"})
    as_instance(recipe.title, str, "title")
    as_choice(recipe.data, datasets.NAMES, "data")
    as_choice(recipe.judge, JUDGES, "judge")
    recipe.budgets = _counts(recipe.budgets, "budgets", 1)
    recipe.seeds = _counts(recipe.seeds, "seeds", 0)
    recipe.bits = _counts(recipe.bits, "bits", 1, empty=True)
    if recipe.bits and max(recipe.bits) > MOST_BITS:
        raise refusal("bits", max(recipe.bits), f"1 to {MOST_BITS}")
    expect_keys(recipe.training, [*COMMON, "distillation"], "training")
    if "epochs" not in recipe.training:
        raise refusal("training", "no epochs", "how many, for all families")
    as_count(recipe.training["epochs"], "training.epochs")
    expect_keys(recipe.search, [*SEARCH, *COMMON], "search")
    for name, value in recipe.search.items():
        if name in ("epochs", *SEARCH):
            as_count(value, f"search.{name}", minimum=1 if name == "epochs" else 0)
    if not as_instance(recipe.families, dict, "families"):
        raise refusal("families", "none", "at least one")
    for name, family in recipe.families.items():
        _expect_family(recipe, name, family)
    expect_keys(recipe.retrain_bits, RETRAIN, "retrain_bits")
    if recipe.retrain_bits:
        if missing := [name for name in RETRAIN if name not in recipe.retrain_bits]:
            raise refusal("retrain_bits", f"no {missing[0]}", " and ".join(RETRAIN))
        as_count(recipe.retrain_bits["epochs"], "retrain_bits.epochs")
        as_number(recipe.retrain_bits["share"], "retrain_bits.share", above=0)
        for name, family in recipe.families.items():
            if without := [k for k, choice in enumerate(family["grid"]) if "rate" not in choice]:
                do = "say of which rate networks of few bits are to have a share"
                raise refusal(f"families.{name}.grid[{without[0]}]", "no rate", "one, beside retrain_bits", do)
    counts = {name: len(family["grid"]) for name, family in recipe.families.items()}
    if len(set(counts.values())) > 1:
        said = ", ".join(f"{count} of {name}" for name, count in counts.items())
        raise refusal("grid", said, "as many trials for every family", "give each the same search effort")
    if searches and recipe.judge == "test" and set(counts.values()) == {1}:
        do = 'give each several, or judge = "held-out"'
        raise refusal("search", "a table, and one setting of each family", "settings to choose from", do)
    if recipe.against is not None:
        as_choice(recipe.against, recipe.families, "against")
    expect_teacher(recipe.teacher, recipe.model, _trainings(recipe), _ALL)
    for number, point in enumerate(as_instance(recipe.published, list, "published")):
        _expect_published(point, f"published[{number}]")
    return recipe


def _counts(values, name, least, empty=False):
    found = [as_count(value, name, minimum=least) for value in as_instance(values, list, name)]
    if len(set(found)) < len(found) or not (found or empty):
        raise refusal(name, found, "different numbers" if found else "at least one")
    return found


def _expect_family(recipe, name, family):
    where = f"families.{name}"
    expect_keys(family, FAMILY, where)
    if not re.fullmatch(r"[A-Za-z0-9_-]+", name):
        raise refusal("families", repr(name), "letters, digits, - and _, since folders are named by it")
    as_instance(family.get("title", name), str, f"{where}.title")
    as_flag(family.get("particles", False), f"{where}.particles")
    model = as_choice(family.get("model", recipe.model), models.BUILDERS, f"{where}.model")
    known = [option for option in inspect.signature(models.BUILDERS[model]).parameters if option != "seed"]
    width = as_choice(family.get("width", "channels"), known, f"{where}.width")
    free = [option for option in known if option != width]  # the width follows from the budget
    expect_keys(recipe.options, free, "options")
    expect_keys(family.get("options", {}), free, f"{where}.options")
    if not as_instance(family.get("grid", []), list, f"{where}.grid"):
        raise refusal(f"{where}.grid", "none", "a list of trials, at least one")
    for number, choice in enumerate(family["grid"]):
        expect_keys(choice, ["options", *TRIAL], f"{where}.grid[{number}]")
        expect_keys(choice.get("options", {}), free, f"{where}.grid[{number}].options")
        if "rate" in choice:
            as_number(choice["rate"], f"{where}.grid[{number}].rate", above=0)
    if "prune_from" not in family:
        if "prune_after" in family:
            raise refusal(f"{where}.prune_after", "given without prune_from", "both, of a family that is pruned")
        return
    as_number(family["prune_from"], f"{where}.prune_from", minimum=1)
    if not 0 < as_number(family.get("prune_after", 0.5), f"{where}.prune_after") < 1:
        raise refusal(f"{where}.prune_after", family["prune_after"], "a share of the epochs between 0 and 1")
    searched = len(family["grid"]) > 1
    for said, options in (("training", recipe.training), ("search", {**recipe.training, **recipe.search})):
        if options["epochs"] < 2 and (searched or said == "training"):
            raise refusal(f"{said}.epochs", 1, f"2 or more, as {name} is pruned between two epochs")


def _trainings(recipe):
    """{where it is said: options of a training}."""
    found = {"training": recipe.training}
    for name, family in recipe.families.items():
        found |= {f"families.{name}.grid[{number}]": choice for number, choice in enumerate(family["grid"])}
    return found


def _expect_published(point, where):
    expect_keys(point, PUBLISHED, where)
    for key in ("name", "accuracy"):
        if key not in point:
            raise refusal(where, f"no {key}", "name, accuracy, and numbers or bytes")
    if not {"numbers", "bytes"} & set(point):
        raise refusal(where, "neither numbers nor bytes", "one of them, or both")
    for key in ("name", "source"):
        as_instance(point.get(key, ""), str, f"{where}.{key}")
    for key in ("numbers", "bytes", "accuracy"):
        if key in point:
            as_number(point[key], f"{where}.{key}", above=0)
