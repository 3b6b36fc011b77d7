"""One training of an experiment: a folder that is either finished or goes on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from dynsim import datasets, learning, models
from dynsim._check import refusal
from dynsim.errors import DataError

from ._network_of_recipe import network
from ._resumable_training import prune_largest, train_on, training_options
from ._stored_result import StoredTask
from ._teacher_task import with_teacher

KINDS = ("weights", "forces", "fit", "alternating", "low-rank", "pruned")
BEGUN = ("fit", "pruned")  # with the network of "weights" of the same seed


@dataclass(frozen=True)
class Task(StoredTask):
    """A kind of training, a seed, a row of the table (None for all rows), and everything it depends on."""

    kind: str
    seed: int
    row: int | None
    data: str
    model: str
    options: dict
    training: dict
    deltas: list
    draws: int
    reference: dict | None = None  # the training of the ordinary network that it begins with

    needed = frozenset(("test_accuracy", "seconds_per_epoch", "parameters", "metrics", "noise"))

    @property
    def name(self) -> str:
        """Name of its folder."""
        return f"{self.kind}-seed{self.seed}" if self.row is None else f"{self.kind}-row{self.row}-seed{self.seed}"

    @property
    def alike(self) -> tuple:
        """What its cost depends on: trainings of another seed cost the same."""
        return self.kind, self.row

    def run(self, folder: str | Path, data_dir: str | Path | None = None, *, progress: Callable | None = None) -> dict:
        """Train, evaluate, and leave model.h5 and result.json in its folder; returns the result."""
        place = self.place(folder)
        data = datasets.load(self.data, data_dir)
        model, trained = self._train(Path(folder), place, data, progress)
        model.save(place / "model.h5")
        result = {
            "test_accuracy": trained.test_accuracy,
            "validation_accuracy": trained.validation_accuracy,
            "epochs": trained.epochs,
            "seconds_per_epoch": trained.seconds_per_epoch,
            "parameters": models.count(model),
            "metrics": trained.metrics,
            "layers": trained.layers,
            "noise": self._noise(model, data),
        }
        return self.store(folder, result)

    def estimate(self, data: datasets.Dataset) -> dict:
        """What its training will cost (see `dynsim.learning.estimate`), without noise; nothing is left behind.

        A fit is counted to a network that is there already, and the epochs of pruning are those of ordinary training.
        """
        ordinary = self.kind in ("weights", "low-rank", "pruned")
        model = self._build(weights=ordinary, rank=self._rank())
        method = self.kind if self.kind in learning.METHODS else "forces"
        reference = self._build(weights=True) if self.kind == "fit" else None
        options = with_teacher(training_options(self.training), self.data, None)
        costs = learning.estimate(model, data, method=method, reference=reference, seed=self.seed, **options)
        return {**costs, "parameters": models.count(model)}

    def _train(self, folder, place, data, progress):
        options = with_teacher(training_options(self.training), self.data, None, folder)
        options |= {"seed": self.seed, "progress": progress}
        if self.kind == "pruned":
            return self._pruned(folder, data, options)
        if self.kind in learning.METHODS:
            options["method"] = self.kind
        if self.kind == "fit":
            options["reference"] = self._ordinary(folder)
        if self.kind == "forces":
            options["trajectory"] = place / "training.h5"

        def build():
            return self._build(weights=self.kind in ("weights", "low-rank"), rank=self._rank())

        return train_on(build, data, checkpoint=place / "training.checkpoint", **options)

    def _build(self, **options):
        given = {k: v for k, v in options.items() if v is not None}
        return network(self.model, {**self.options, "seed": self.seed, **given})

    def _ordinary(self, folder):
        path = folder / "runs" / f"weights-seed{self.seed}" / "model.h5"
        if not path.exists():
            raise refusal(
                self.name, f"no {path}", "the ordinary network", "put weights among the methods", error=DataError
            )
        return models.load_model(path)

    def _floats(self):
        """Stored numbers of the row's network of particles, which the baselines may have, too."""
        return models.count(self._build(weights=False))["stored_floats"]

    def _rank(self):
        if self.kind != "low-rank":
            return None
        rank, floats = 1, self._floats()
        while models.count(self._build(weights=True, rank=rank + 1))["stored_floats"] <= floats and rank < 4096:
            rank += 1
        return rank

    def _pruned(self, folder, data, options):
        """The largest weights of the ordinary network, as many as there are numbers, trained on for a while."""
        model = self._ordinary(folder)
        weights = sum(p.value.size for p in model.parameters.values() if p.kind == "weights")
        kept = max(1, self._floats() - (models.count(model)["stored_floats"] - weights))
        prune_largest(model, kept)
        return model, learning.train(model, data, **options)

    def _noise(self, model, data):
        found = {}
        for delta in self.deltas:
            outcome = learning.evaluate(
                model, data.test_images, labels=data.test_labels, delta=delta, draws=self.draws, seed=self.seed
            )
            found[str(delta)] = outcome["accuracies"]
        return found
