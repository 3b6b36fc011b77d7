"""The recipe of an experiment: which networks, which methods of learning, which seeds."""

from __future__ import annotations

import inspect
import tomllib
import warnings
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any

from dynsim import datasets, models
from dynsim._check import as_choice, as_count, as_instance, as_number, expect_keys, refusal
from dynsim._files import expect_input, from_toml

from ._teacher_task import TeacherTask, check_teachers, expect_teacher, taught, teacher_in, teacher_of
from ._training_table import report
from ._training_task import BEGUN, KINDS, Task

LARGEST = 64 * 2**20  # bytes of a TOML file
KEYS = ("title", "data", "model", "seeds", "methods", "options", "training", "rows", "deltas", "draws", "teacher")
TRAINING = (
    *("epochs", "batch", "rate", "motion", "smoothing", "decay", "noise", "sphere", "bits", "shift"),
    *("rotation", "fit_steps", "fit_images", "fit_rate", "rates"),
)
UNTAUGHT = ("fit", "alternating")  # methods that do not learn from the answers of another network
ROW = ("options", "published")
PUBLISHED = ("memory", "disk", "deviation", *KINDS)
ORDINARY = ("widths", "norm", "channels", "depth", "form", "pools", "margins")  # options that have to do with no places
OTHERS = {
    "imagenet": "dynsim.experiments.imagenet",
    "cifar10": "dynsim.experiments.cifar10",
    "agreement": "dynsim.experiments.agreement",
    "frontier": "dynsim.experiments.frontier",
}  # kinds of experiments with recipes of their own
RECIPES = Path(__file__).parent / "recipes"  # of the package
FOLDERS = (Path("experiments"), RECIPES)


@dataclass
class Recipe:
    """What a file says, checked. `training` maps a method to its options; "all" holds what is common."""

    title: str
    data: str
    model: str
    seeds: list
    methods: list
    rows: list
    options: dict = field(default_factory=dict)
    training: dict = field(default_factory=dict)
    deltas: list = field(default_factory=list)
    draws: int = 5
    teacher: dict = field(default_factory=dict)
    kinds: tuple = ("teacher", *KINDS)  # of tasks: some begin with the networks of those before

    @property
    def networks(self) -> str:
        """The networks in words."""
        return f"{self.model} {self.options}"

    @property
    def settings(self) -> dict:
        """{method: options of its training}."""
        found = {kind: self._training(kind) for kind in self.methods}
        return found | ({"teacher": self._teacher["training"]} if self.teacher else {})

    def _training(self, kind):
        return {**self.training.get("all", {}), **self.training.get(kind, {})}

    @property
    def _teacher(self):
        return teacher_of(self.teacher, self.model, {}, self.training.get("all", {}))

    def check(self, data_dir: str | Path | None = None) -> None:
        """Refuse to begin without the data set (DataError), or with a network to learn from that does not take it."""
        check_teachers(self.tasks(), datasets.load(self.data, data_dir))

    def report(self, results: dict, folder: str | Path) -> str:
        """Write the table and figures; returns the Markdown."""
        return report(self, results, folder=folder)

    def tasks(self) -> list[Task | TeacherTask]:
        """All trainings, those that others build on first."""
        found = {}
        for kind in sorted(self.methods, key=KINDS.index):
            for seed in self.seeds:
                for number, row in enumerate(self.rows):
                    task = self._task(kind, seed, None if kind == "weights" else number, row)
                    found.setdefault(task.name, task)
        teachers = (teacher_in(task.training, self.data, None) for task in found.values())
        return [*{task.name: task for task in teachers if task is not None}.values(), *found.values()]

    def _task(self, kind, seed, number, row):
        training = taught(self._training(kind), self._teacher)
        options = {**self.options, **({} if number is None else row.get("options", {}))}
        if number is None:  # the ordinary network has no copies: one for all rows
            options = {key: value for key, value in options.items() if key in ORDINARY}
        reference = taught(self._training("weights"), self._teacher) if kind in BEGUN else None
        given = (self.data, self.model, options, training, list(self.deltas), self.draws, reference)
        return Task(kind, seed, number, *given)


def read_toml(path: str | Path) -> dict:
    """Return what a TOML file says.

    Raises
    ------
    ValueError
        If it is too large or no TOML; the line is named.
    """
    path = expect_input(path, "a TOML file")
    if path.stat().st_size > LARGEST:
        raise refusal(path, f"{path.stat().st_size:,} bytes", f"a TOML file of at most {LARGEST:,}")
    try:
        return from_toml(path.read_text(encoding="utf-8-sig"), path)
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise refusal(path, f"what is not TOML: {error}", "a TOML file") from None


def names() -> list[str]:
    """Names of the experiments in ./experiments and in the package; a warning names a file that cannot be read.

    >>> "mnist-lenet5" in names()
    True
    """
    found = set()
    for path in (path for folder in FOLDERS for path in folder.glob("*.toml")):
        try:
            if "seeds" in read_toml(path):
                found.add(path.stem)
        except (ValueError, OSError) as error:
            warnings.warn(f"{error} It is left out.", stacklevel=2)
    return sorted(found)


def find(name: str | Path) -> Path:
    """The file of an experiment: a path, or a name that `names` lists."""
    candidates = [Path(name), *(folder / f"{name}.toml" for folder in FOLDERS)]
    for candidate in candidates:
        if candidate.is_file():
            return candidate
    if Path(name).exists():
        expect_input(name, "a TOML file")  # refuses it
    raise refusal("experiment", repr(str(name)), f"a TOML file or one of {', '.join(names())}")


def load(path: str | Path | dict) -> Any:
    """Read and check a recipe; `path` is a file or a dict.

    Raises
    ------
    ValueError, TypeError
        If a key is unknown or a value does not fit.

    Examples
    --------
    >>> load({"data": "digits", "model": "mlp", "rows": [{}]}).methods
    ['forces']
    """
    if isinstance(path, dict):
        return _checked(dict(path))
    given = read_toml(path)
    try:
        return _checked(given)
    except (ValueError, TypeError) as error:
        raise (TypeError if isinstance(error, TypeError) else ValueError)(f"{path}: {error}") from None


def _checked(given):
    if "kind" in given:
        expect_keys({as_instance(given["kind"], str, "kind"): None}, OTHERS, "kind")
        return import_module(OTHERS[given["kind"]]).load(given)
    expect_keys(given, KEYS, "experiment")
    for key in ("data", "model", "rows"):
        if key not in given:
            raise refusal("experiment", f"no {key}", f"{key} among the keys")
    as_choice(given["model"], models.BUILDERS, "model")
    recipe = Recipe(**{"title": given["model"], "seeds": [0], "methods": ["forces"], **given})
    as_instance(recipe.title, str, "title")
    as_choice(recipe.data, datasets.NAMES, "data")
    known = [*inspect.signature(models.BUILDERS[recipe.model]).parameters]
    expect_keys(recipe.options, known, "options")
    recipe.seeds = [as_count(seed, "seeds", minimum=0) for seed in as_instance(recipe.seeds, list, "seeds")]
    recipe.deltas = [as_number(delta, "deltas", minimum=0) for delta in as_instance(recipe.deltas, list, "deltas")]
    recipe.draws = as_count(recipe.draws, "draws")
    for method in as_instance(recipe.methods, list, "methods"):
        expect_keys({as_instance(method, str, "methods"): None}, KINDS, "methods")
    expect_keys(recipe.training, ["all", *KINDS], "training")
    for kind, options in recipe.training.items():
        expect_keys(options, [*TRAINING, "distillation"], f"training.{kind}")
    for number, row in enumerate(as_instance(recipe.rows, list, "rows")):
        expect_keys(row, ROW, f"rows[{number}]")
        expect_keys(row.get("options", {}), known, f"rows[{number}].options")
        published = row.get("published", {})
        expect_keys(published, PUBLISHED, f"rows[{number}].published")
        for key, value in published.items():
            as_number(value, f"rows[{number}].published.{key}")
    used = ("all", *recipe.methods)
    trainings = {f"training.{kind}": options for kind, options in recipe.training.items() if kind in used}
    expect_teacher(recipe.teacher, recipe.model, trainings, TRAINING)
    for kind, options in recipe.settings.items():
        if kind in UNTAUGHT and "distillation" in options:
            do = "say it in the tables of other methods"
            raise refusal("distillation", f"one for method {kind}", f"none for {' and '.join(UNTAUGHT)}", do)
    return recipe
