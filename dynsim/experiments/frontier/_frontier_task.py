"""Trials that choose the settings of a family of networks at a budget, and the trainings with what was chosen."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass

from dynsim import datasets, export, learning, models
from dynsim._check import refusal
from dynsim._files import digest
from dynsim.errors import DataError, DivergedError

from .._images_of_search import search_data, without_test
from .._network_of_recipe import network
from .._resumable_training import prune_largest, train_on, training_options
from .._stored_result import StoredTask
from .._teacher_task import with_teacher
from ._widest_networks import widest

KINDS = ("teacher", "trial", "final")
JUDGES = ("test", "held-out")  # images that the final trainings are judged on
RETRAINED = 4  # bits up to which networks are trained on with numbers on a grid, where a recipe says so
WITHOUT_FIT = {"numbers": None, "parameters": None, "width": None}  # where even the narrowest network has too many


@dataclass(frozen=True)
class FrontierTask(StoredTask):
    """A family, a budget of numbers, and everything that a network of them depends on."""

    family: str
    budget: int
    data: str
    model: str
    width: str
    options: dict
    training: dict
    prune_from: float | None
    prune_after: float

    def found(self, choice: dict) -> int | None:
        """The largest width that fits with the settings of a trial, or None."""
        factor = self.prune_from or 1
        return widest(lambda width: self.build(choice, width, seed=0), int(factor * self.budget))

    def build(self, choice: dict, width: int, *, seed: int) -> models.Model:
        """The network of this width at its start, with the settings of a trial."""
        return network(self.model, {**self.options, **choice.get("options", {}), self.width: width, "seed": seed})

    def options_of(self, choice: dict, **others) -> dict:
        """Options of `dynsim.train`: those of all families, those of the search, and before both those of the trial."""
        given = {key: value for key, value in choice.items() if key != "options"}
        return training_options({**self.training, **others, **given})

    def kept(self, model: models.Model) -> int | None:
        """How many weights pruning leaves, or None if nothing else fits into the budget."""
        weights = sum(p.value.size for p in model.parameters.values() if p.kind == "weights")
        kept = self.budget - (models.numbers(model) - weights)
        return kept if kept > 0 else None

    def train(self, place, data, choice, *, seed, progress, between, **others):
        """Train a network of the family; returns model, result and width, None if no network fits or it was stopped.

        `between` are the data of what comes before pruning. Pruned networks are trained for a part of the epochs,
        pruned once, and trained on.
        """
        width, options = self.found(choice), self._with_teacher(self.options_of(choice, **others), place.parents[1])
        if width is None or (self.prune_from and self.kept(self.build(choice, width, seed=seed)) is None):
            return None, None, None
        options |= {"seed": seed, "progress": progress}
        checkpoint, epochs = place / "training.checkpoint", options["epochs"]

        def build():
            return self.build(choice, width, seed=seed)

        if self.prune_from:
            first = min(max(1, round(epochs * self.prune_after)), epochs - 1)
            full = place / "full.h5"
            model = self._full(build, between, full, checkpoint=checkpoint, **{**options, "epochs": first})
            if model is None:
                return None, None, width
            options["epochs"] = epochs - first

            def build():
                model = models.load_model(full)
                return prune_largest(model, self.kept(model))

            checkpoint = _checkpoint_from(place, "pruned", model)

        model, trained = train_on(build, data, checkpoint=checkpoint, **options)
        return model, (trained if trained.epochs == options["epochs"] else None), width

    def _with_teacher(self, options, folder=None):
        """The options with the network that is learnt from, if there is one: trained, or for estimates at its start."""
        return with_teacher(options, self.data, self.judged_by, folder)

    @staticmethod
    def _full(build, data, path, *, epochs, **options):
        """Train the network that will be pruned and write it; returns None if `progress` stopped that."""
        model, trained = train_on(build, data, epochs=epochs, **options)
        if trained.epochs < epochs:
            return None
        model.save(path)
        return model

    def costs(self, data, choice, *, seed, **others) -> dict:
        """What a training costs (see `dynsim.learning.estimate`), and the numbers of the network."""
        width = self.found(choice)
        if width is None:
            return {"epochs": 0, "steps": 0, "seconds": 0.0, "memory_bytes": 0, "parameters": {"stored_floats": 0}}
        model = self.build(choice, width, seed=seed)
        costs = learning.estimate(model, data, seed=seed, **self._with_teacher(self.options_of(choice, **others)))
        return {**costs, "parameters": models.count(model)}


def _checkpoint_from(place, name, model):
    """Path of the checkpoint of what goes on from a network: another one has another path."""
    return place / f"{name}-{digest('', list(model.arrays.values()))[:16]}.checkpoint"


@dataclass(frozen=True)
class TrialTask(FrontierTask):
    """A setting of the grid, judged on images that the search holds out of the training images."""

    number: int
    choice: dict
    search: dict
    kind: str = "trial"

    needed = frozenset(("accuracy", "width", "numbers", "seconds_per_epoch"))

    @property
    def name(self):
        """Name of its folder."""
        return f"trial-{self.family}-{self.budget}-{self.number}"

    @property
    def judged_by(self):
        """The search whose images judge."""
        return self.search

    @property
    def alike(self):
        """What its cost depends on, about: that of all trials is that of the first."""
        return self.kind, self.family, self.budget

    def _search(self):
        options = dict(self.search)
        return options.pop("seed"), options.pop("images"), options

    def run(self, folder, data_dir=None, *, progress=None):
        """Train on the images of the search; returns the result, or None if `progress` stopped the training.

        A setting whose training diverges is not chosen, as one that does not fit.
        """
        seed, images, options = self._search()
        data = search_data(datasets.load(self.data, data_dir), seed, images)
        settings = {"seed": seed, "progress": progress, "between": without_test(data), **options}
        absent = {**WITHOUT_FIT, "accuracy": None, "seconds_per_epoch": None}
        try:
            model, trained, width = self.train(self.place(folder), data, self.choice, **settings)
        except DivergedError as error:
            return self.store(folder, {**absent, "diverged": str(error)})
        if width is None:
            return self.store(folder, absent)
        if trained is None:
            return None
        result = {"accuracy": trained.test_accuracy, "width": width, "numbers": models.numbers(model)}
        result |= {"seconds_per_epoch": trained.seconds_per_epoch, "metrics": trained.metrics}
        return self.store(folder, result)

    def estimate(self, data):
        """What its training costs."""
        seed, images, options = self._search()
        return self.costs(search_data(data, seed, images), self.choice, seed=seed, **options)


@dataclass(frozen=True)
class FinalTask(FrontierTask):
    """The training with the setting that was best in the search, and the test images, read once.

    Where recipes are tried out, `judge` "held-out", those of the search are read in place of the test images.
    """

    seed: int
    grid: list
    search: dict
    judge: str
    bits: list
    retrain_bits: dict
    kind: str = "final"

    needed = frozenset(("accuracy", "numbers", "operations", "width", "chosen", "seconds_per_epoch", "packed"))

    @property
    def name(self):
        """Name of its folder."""
        return f"final-{self.family}-{self.budget}-seed{self.seed}"

    @property
    def judged_by(self):
        """The search whose images judge, or None where the test images do."""
        return self.search if self.judge == "held-out" else None

    @property
    def alike(self):
        """What its cost depends on."""
        return self.kind, self.family, self.budget

    def trials(self) -> list[TrialTask]:
        """The trials it chooses from: none where there is one setting."""
        if len(self.grid) == 1:
            return []
        own = {name: getattr(self, name) for name in FrontierTask.__dataclass_fields__}
        return [TrialTask(**own, number=k, choice=choice, search=self.search) for k, choice in enumerate(self.grid)]

    def chosen(self, folder) -> int | None:
        """Number of the best trial, the first of equal ones, or of the only setting; None if none fits the budget."""
        if len(self.grid) == 1:
            return 0
        results = {trial.name: trial.result(folder) for trial in self.trials()}
        if missing := [name for name, result in results.items() if result is None]:
            do = "run the trials first"
            raise refusal(self.name, f"no result of {', '.join(missing)}", "those of all trials", do, error=DataError)
        accuracies = [result["accuracy"] for result in results.values()]
        fitting = [number for number, accuracy in enumerate(accuracies) if accuracy is not None]
        return max(fitting, key=accuracies.__getitem__, default=None)

    def run(self, folder, data_dir=None, *, progress=None):
        """Train, judge, pack and judge again, and leave model.h5; returns the result, or None if it was stopped."""
        number, place = self.chosen(folder), self.place(folder)
        if number is None:
            return self._without_fit(folder)
        data, choice = datasets.load(self.data, data_dir), self.grid[number]
        if self.judged_by is not None:
            data = search_data(data, self.search["seed"], self.search["images"])
        settings = {"seed": self.seed, "progress": progress, "between": without_test(data)}
        model, trained, width = self.train(place, data, choice, **settings)
        if width is None:
            return self._without_fit(folder)
        if trained is None:
            return None
        model.save(place / "model.h5")
        packed, held_out = {}, search_data(data, self.seed, 0)  # what its own training held out
        for bits in self.bits:
            rounded = self._retrained(model, bits, place, data, choice, progress)
            if rounded is None:
                return None
            read = export.rounded(rounded, bits=bits)
            accuracy = learning.accuracy(read, data.test_images, labels=data.test_labels)
            found = {"bytes": export.packed_bytes(rounded, bits=bits), "accuracy": accuracy}
            found["validation_accuracy"] = learning.accuracy(read, held_out.test_images, labels=held_out.test_labels)
            packed[str(bits)] = found
        result = {
            "accuracy": trained.test_accuracy,
            "validation_accuracy": trained.validation_accuracy,
            "numbers": models.numbers(model),
            "parameters": models.count(model),
            "operations": models.operations(model)["dense"],
            "width": width,
            "chosen": number,
            "epochs": trained.epochs,
            "seconds_per_epoch": trained.seconds_per_epoch,
            "metrics": trained.metrics,
            "packed": packed,
        }
        return self.store(folder, result)

    def _without_fit(self, folder):
        absent = dict.fromkeys(("accuracy", "operations", "chosen", "seconds_per_epoch"))
        return self.store(folder, {**WITHOUT_FIT, **absent, "packed": {}})

    def _retrained(self, model, bits, place, data, choice, progress):
        """The network as it is packed at so many bits: as it is, or trained on with its numbers on a grid."""
        if not self.retrain_bits or bits > RETRAINED:
            return model
        options = self._with_teacher(self.options_of(choice), place.parents[1])
        options |= {"epochs": self.retrain_bits["epochs"], "rate": self.retrain_bits["share"] * options["rate"]}
        options |= {"bits": bits, "seed": self.seed, "progress": progress}
        checkpoint = _checkpoint_from(place, f"bits-{bits}", model)
        made, trained = train_on(lambda: deepcopy(model), without_test(data), checkpoint=checkpoint, **options)
        return made if trained.epochs == options["epochs"] else None

    def estimate(self, data):
        """What its training costs, with the first setting of the grid; without packing."""
        if self.judged_by is not None:
            data = search_data(data, self.search["seed"], self.search["images"])
        return self.costs(data, self.grid[0], seed=self.seed)
