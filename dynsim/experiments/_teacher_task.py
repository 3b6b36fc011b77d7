"""The large network whose answers the networks of an experiment learn besides the labels."""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from pathlib import Path

from dynsim import datasets, learning, models
from dynsim._check import as_choice, as_count, expect_keys, refusal
from dynsim.errors import DataError

from ._images_of_search import search_data, without_test
from ._network_of_recipe import network
from ._resumable_training import train_on, training_options
from ._stored_result import StoredTask

TEACHER, DISTILLATION = ("model", "options", "training"), ("share", "temperature")


def teacher_of(given: dict, model: str, options: dict, training: dict) -> dict:
    """What the network is that others learn from: what its table says, before what is common to all networks.

    A network of another model has none of their options.
    """
    common = {key: value for key, value in training.items() if key != "distillation"}
    own = given.get("model", model)
    return {
        "model": own,
        "options": {**(options if own == model else {}), **given.get("options", {})},
        "training": {**common, **given.get("training", {})},
    }


def taught(training: dict, teacher: dict) -> dict:
    """The options of a training with what the network is that it learns from, on which its result depends.

    >>> taught({"rate": 0.1}, {"model": "mlp"})
    {'rate': 0.1}
    """
    if "distillation" not in training:
        return training
    return {**training, "distillation": {**training["distillation"], "teacher": teacher}}


def teacher_in(training: dict, data: str, search: dict | None) -> TeacherTask | None:
    """The training of the network that is learnt from, or None."""
    if "distillation" not in training:
        return None
    return TeacherTask(data, **training["distillation"]["teacher"], search=search)


def with_teacher(options: dict, data: str, search: dict | None, folder: Path | None = None) -> dict:
    """Options of `dynsim.train` with the network that is learnt from, if there is one.

    It is the one that was trained in `folder`, or, for estimates, at its start.
    """
    teacher = teacher_in(options, data, search)
    if teacher is None:
        return options
    given = {key: value for key, value in options["distillation"].items() if key != "teacher"}
    model = teacher.build() if folder is None else teacher.trained(folder)
    return {**options, "distillation": learning.Distillation(model, **given)}


def check_teachers(tasks: list, data: datasets.Dataset):
    """Refuse, before anything is trained, a network to learn from that does not take the images or know the classes."""
    for task in tasks:
        if task.kind == "teacher":
            learning.Distillation(task.build()).expect(data)


def teacher_in_words(tasks: list, results: dict, where: str) -> list[str]:
    """Sentences of a report about the network that is learnt from, that of the last training if there are two."""
    found = [(task, results.get(task.name)) for task in tasks if task.kind == "teacher"]
    if not found or found[-1][1] is None:
        return []
    task, result = found[-1]
    text = (
        f"{where} learned the answers of a network of {result['numbers']:,} numbers ({task.model}) besides the labels; "
        f"that network classifies {result['accuracy']:.2f} per cent of the images correctly that its training held out."
    )
    return ["", text]


def expect_teacher(given: dict, model: str, trainings: dict, known: list | tuple):
    """Check the table of the network that is learnt from, and the options {where: options} of all trainings.

    `known` are the options that its own training may have.
    """
    expect_keys(given, TEACHER, "teacher")
    taught = {where: options["distillation"] for where, options in trainings.items() if "distillation" in options}
    for where, options in taught.items():
        expect_keys(options, DISTILLATION, f"{where}.distillation")
        learning.Distillation.check(**options)
        if not given:
            raise refusal(f"{where}.distillation", "no teacher", "a table [teacher] of the network to learn from")
    if given:
        if not taught:
            raise refusal("teacher", "a network from which none learns", "settings with distillation, or no teacher")
        builder = models.BUILDERS[as_choice(given.get("model", model), models.BUILDERS, "teacher.model")]
        expect_keys(given.get("options", {}), inspect.signature(builder).parameters, "teacher.options")
        training = given.get("training", {})
        expect_keys(training, known, "teacher.training")
        as_count(training.get("epochs", 1), "teacher.training.epochs")


@dataclass(frozen=True)
class TeacherTask(StoredTask):
    """Its training, on all training images or on those of a search; the test images are not read."""

    data: str
    model: str
    options: dict
    training: dict
    search: dict | None
    kind: str = "teacher"

    needed = frozenset(("accuracy", "numbers", "seconds_per_epoch"))

    @property
    def name(self):
        """Name of its folder: one network learns from the images of the search, another from all training images."""
        return "teacher-all" if self.search is None else "teacher-search"

    @property
    def alike(self):
        """What its cost depends on."""
        return self.kind, self.name

    def build(self) -> models.Model:
        """The network at its start."""
        return network(self.model, self.options)

    def trained(self, folder) -> models.Model:
        """The network that it left; raises DataError if it has not been run."""
        if self.result(folder) is None:
            raise refusal(self.name, "no result", "a trained network", "run it first", error=DataError)
        return models.load_model(self.place(folder) / "model.h5")

    def run(self, folder, data_dir=None, *, progress=None):
        """Train and leave model.h5; returns the result with the accuracy on what the training held out."""
        place = self.place(folder)
        options = training_options(self.training) | {"progress": progress}
        data = self._images(datasets.load(self.data, data_dir))
        model, trained = train_on(self.build, data, checkpoint=place / "training.checkpoint", **options)
        if trained.epochs < options["epochs"]:
            return None
        model.save(place / "model.h5")
        result = {"accuracy": trained.validation_accuracy, "numbers": models.numbers(model)}
        return self.store(folder, {**result, "seconds_per_epoch": trained.seconds_per_epoch})

    def estimate(self, data):
        """What its training costs."""
        model = self.build()
        costs = learning.estimate(model, self._images(data), **training_options(self.training))
        return {**costs, "parameters": models.count(model)}

    def _images(self, data):
        if self.search is not None:
            data = search_data(data, self.search["seed"], self.search["images"])
        return without_test(data)
