"""What a training leaves after every epoch: places, the best model, metrics and a checkpoint."""

from __future__ import annotations

import os
from contextlib import contextmanager
from pathlib import Path

from dynsim._check import as_instance
from dynsim._files import expect_output, to_json, write_whole
from dynsim.trajectory import remove_checkpoint, save_checkpoint

from ._training_record import TrainingRecord


class EpochFiles:
    """The files of a training, any of which may be None; the checkpoint comes last, so that it is never ahead of them.

    `best` is the path of the model, `options` what the checkpoint says of the training. Raises TypeError or OSError for
    a path that cannot be written.
    """

    def __init__(self, *, trajectory, best, metrics, checkpoint):
        self.trajectory, self.best, self.metrics, self.checkpoint = trajectory, best, metrics, checkpoint
        for name, path in vars(self).items():
            if path is not None:
                expect_output(as_instance(path, str | os.PathLike, name))
        self.options, self.record = None, None

    @contextmanager
    def open(self, model, trainer, *, seed, again):
        """Begin the files, or go on with them (`again`); nothing that is there is touched before the trajectory is."""
        if self.trajectory is not None:
            self.record = TrainingRecord(self.trajectory, model, seed, after=trainer.epoch if again else None)
        try:
            if self.record is not None and not trainer.epoch:
                self.record.write(0, float("nan"), trainer.validate())
            if not again:  # what an earlier training left must not be taken for this one's
                if self.checkpoint is not None:
                    remove_checkpoint(self.checkpoint)
                if self.best is not None:
                    Path(self.best).unlink(missing_ok=True)
            if self.metrics is not None:
                write_whole(self.metrics, "".join(map(_line, trainer.metrics)))
            yield self
        finally:
            if self.record is not None:
                self.record.close()

    def write(self, trainer, model):
        """Write an epoch; `model` returns the model in its present state."""
        entry = trainer.metrics[-1]
        if self.record is not None:
            self.record.write(trainer.epoch, entry["train_loss"], entry["validation_accuracy"])
        if self.best is not None and trainer.improved:
            model().save(self.best)
        if self.metrics is not None:
            with open(self.metrics, "a", encoding="utf-8") as file:
                file.write(_line(entry))
        if self.checkpoint is not None:
            save_checkpoint(self.checkpoint, {**trainer.state(), "options": self.options})


def _line(entry):
    return to_json(entry) + "\n"
