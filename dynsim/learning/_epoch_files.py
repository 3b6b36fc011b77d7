"""What a training leaves after every epoch: places, the best model, metrics and a checkpoint."""

from __future__ import annotations

import os
from contextlib import contextmanager

from dynsim._check import as_instance
from dynsim._files import SetAside, expect_output, to_json, write_whole
from dynsim.trajectory import save_checkpoint

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
        self.options, self.record, self.earlier = None, None, SetAside()

    @contextmanager
    def open(self, model, trainer, *, seed, again):
        """Begin the files, or go on with them (`again`); nothing that is there is touched before the trajectory is.

        The best model is replaced by the first `write` only: the training may begin from it. Until then an earlier
        training's checkpoint is aside; it is put back if there is none, as after an error.
        """
        if self.trajectory is not None:
            self.record = TrainingRecord(
                self.trajectory, model, seed, epochs=trainer.epochs, after=trainer.epoch if again else None
            )
        try:
            if self.record is not None and not trainer.epoch:
                self.record.write(0, float("nan"), trainer.validate())
            if not again and self.checkpoint is not None:  # it must not be taken for this training's
                self.earlier = SetAside(self.checkpoint, f"{self.checkpoint}.previous")
            if self.metrics is not None:
                write_whole(self.metrics, "".join(map(_line, trainer.metrics)))
            yield self
            if self.record is not None and not trainer.stopped:
                self.record.finish()
            self.earlier.remove()  # also where there were no epochs
        finally:
            self.earlier.put_back()
            if self.record is not None:
                self.record.close()

    def write(self, trainer, model):
        """Write an epoch; `model` returns the model in its present state."""
        entry = trainer.metrics[-1]
        self.earlier.remove()
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
