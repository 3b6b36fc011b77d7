"""The large network of a comparison, whose answers the networks of its families learn besides the labels."""

from __future__ import annotations

from dataclasses import dataclass

from dynsim import datasets, learning, models
from dynsim._check import refusal
from dynsim.errors import DataError

from .._resumable_training import train_on, training_options
from .._stored_result import StoredTask
from ._images_of_search import search_data, without_test
from ._widest_networks import network


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
