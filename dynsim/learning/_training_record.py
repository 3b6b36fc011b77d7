"""Places over a training as a trajectory file."""

from __future__ import annotations

import numpy as np

from dynsim._check import refusal
from dynsim.errors import FileError
from dynsim.trajectory import TrajectoryWriter

OBSERVABLES = ("train_loss", "validation_accuracy")


class TrainingRecord:
    """Write the places of all neurons after every epoch; particles are neurons' copies, groups their subsystems.

    The file says how many `epochs` are planned, and has an outcome once `finish` was called.
    """

    def __init__(self, path, model, seed, *, epochs, after=None):
        self.places = [p for p in model.parameters.values() if p.kind == "places"]
        if not self.places:
            raise refusal("trajectory", "a path for a model without places", "None for a model with ordinary weights")
        if after is not None:  # a training that goes on after this epoch
            self.writer = TrajectoryWriter.append(path, after_step=after, flush_seconds=0)
            if self.writer.frames <= after:  # one for the beginning and for every epoch
                self.writer.close()
                got, do = f"places up to epoch {self.writer.frames - 1}", "restore it from a copy, or begin anew"
                raise refusal(path, got, f"those up to epoch {after}, as the checkpoint", do, error=FileError)
            self.writer.record("epochs", epochs)
            self.writer.record("outcome", {})
            return
        first = self.places[0].value
        groups = np.concatenate([np.full(p.value.size // first.shape[-1], g) for g, p in enumerate(self.places)])
        self.writer = TrajectoryWriter(
            path,
            neurons=len(groups),
            dimension=first.shape[-1],
            groups=groups,
            parameters={**model.config, "time_label": "epoch", "group_names": self._names(model)},
            seed=seed,
            provenance={"epochs": epochs},
            observables=OBSERVABLES,
            overwrite=True,
            dtype="float32",
            flush_seconds=0,  # a checkpoint is never ahead of this file
        )

    def write(self, epoch, loss, validation):
        """Write one frame; the epoch is its time."""
        rows = np.concatenate([p.value.reshape(-1, p.value.shape[-1]) for p in self.places])
        self.writer.write(epoch, float(epoch), rows, train_loss=loss, validation_accuracy=validation)

    def _names(self, model):
        """Names of the subsystems in the model, as "fc1 in"."""
        return list(model.subsystem_names.values())

    def finish(self):
        """Say that the training came to its end."""
        self.writer.record("outcome", {"status": 0, "message": "Reached the last epoch."})

    def close(self):
        """Finish the file."""
        self.writer.close()
