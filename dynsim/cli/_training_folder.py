"""A training and the folder that it leaves."""

from __future__ import annotations

import sys

import click

from dynsim._files import expect_claim, expect_output, from_json, making_folder, to_json

from ._computation import can_resume, same_command
from ._progress_bars import ProgressBar
from ._standard_error import say

CHECKPOINT = "training.checkpoint"
RESULTS = ("model.h5", "training.h5", CHECKPOINT, "metrics.jsonl")
FIGURES = {"trajectories": "paths.png", "observables": "learning.png"}


def expect_training_folder(output, *, overwrite=False, resume=False, source=None):
    """Refuse a folder that holds another training, or one that is in progress; touches nothing.

    Raises FileExistsError if there is a file of an earlier training and neither `overwrite` nor `resume` is given, or
    the training begins from it (`source`), another OSError if a file cannot be written, or another training or program
    uses the folder.
    """
    from dynsim.trajectory import TrainingProgress

    with making_folder(output), TrainingProgress(output):
        _expect_files(output, overwrite, resume, source)


def _expect_files(output, overwrite, resume, source=None):
    try:
        for name in (*RESULTS, *FIGURES.values()):
            expect_output(output / name, overwrite or resume, source=source)
        expect_claim(output / "training.h5", overwrite or resume)
    except FileExistsError as error:
        if (output / CHECKPOINT).exists():
            raise FileExistsError(f"{error} --resume continues the training that is there.") from None
        raise


def train_into(output, network, data, method="forces", *, overwrite=False, **options):
    """Train a network; leave model.h5, training.h5, metrics.jsonl and figures in a folder. Returns the report."""
    from dynsim.trajectory import TrainingProgress

    with making_folder(output), TrainingProgress(output) as told:
        _expect_files(output, overwrite, options.get("resume", False))
        result, moves = _train(output, network, data, method, told, **options)
        told.end(0, f"Test accuracy {result.test_accuracy:.2f} %.")
    if moves:
        _draw(output)
    return _report(output, network, result, method, options["seed"])


def _train(output, network, data, method, told, **options):
    """The result of `dynsim.train`, and whether there are places whose paths are in training.h5."""
    from dynsim import learning

    moves = any(parameter.kind == "places" for parameter in network.parameters.values())
    # What an earlier training wrote and this one does not goes with the first batch: then nothing is refused any more.
    replaced = [] if options.get("resume") else [*FIGURES.values(), *([] if moves else ["training.h5"])]
    paths = {"best": output / "model.h5", "metrics": output / "metrics.jsonl"}
    paths |= {"checkpoint": output / CHECKPOINT, "trajectory": output / "training.h5" if moves else None}
    before = _versions(output)
    with ProgressBar("batch", delay=0.0) as bar:

        def progress(done, total, **facts):
            if not told.begun:
                told.begin(epochs=options["epochs"], method=method)
            while replaced:
                (output / replaced.pop()).unlink(missing_ok=True)
            told.batch(done, total, **facts)
            return bar(done, total, **facts)

        def after_epoch(entry):
            told.epoch(entry)
            if not sys.stderr.isatty():
                say(_line(entry, options["epochs"]))

        try:
            result = learning.train(
                network, data, method=method, progress=progress, after_epoch=after_epoch, **paths, **options
            )
        except BaseException as error:
            kept = options.get("resume") or _versions(output)[CHECKPOINT] not in (None, before[CHECKPOINT])
            if not kept:
                _remove_new(output, before)
            if not isinstance(error, KeyboardInterrupt):
                raise
            if kept and moves:
                _draw(output)
            say(_interruption(output, kept, method))
            raise SystemExit(130) from None
    return result, moves


def _draw(output):
    """The figures of a training, as far as it is."""
    from dynsim.plots import plot

    for kind, name in FIGURES.items():
        plot(output / "training.h5", kind, output=output / name)


def _line(entry, epochs):
    """What is said of an epoch where there is no bar.

    >>> _line({"epoch": 2, "train_loss": 0.25, "validation_accuracy": 91.5, "seconds": 3.0}, 10)
    'epoch 2 of 10   loss 0.25   held-out accuracy 91.50 %   3.0 s'
    """
    loss, accuracy = f"loss {entry['train_loss']:.4g}", f"held-out accuracy {entry['validation_accuracy']:.2f} %"
    return f"epoch {entry['epoch']} of {epochs}   {loss}   {accuracy}   {entry['seconds']:.1f} s"


def _versions(output):
    """Which file each name of the folder stands for, None for none."""
    found = {}
    for name in RESULTS:
        path = output / name
        status = path.stat() if path.exists() else None
        found[name] = status and (status.st_ino, status.st_mtime_ns)
    return found


def _remove_new(output, before):
    """Remove what a training made that did not finish an epoch."""
    for name, version in _versions(output).items():
        if version != before[name]:
            (output / name).unlink(missing_ok=True)


def _interruption(output, kept, method):
    """What is left after Ctrl-C, and how to go on."""
    if not can_resume():
        return "Interrupted."
    if not kept:
        return "Interrupted before the first epoch was finished: nothing was kept."
    best = ""
    # A fit writes its model at the end only; one that is there is an earlier one.
    if method != "fit" and (output / "model.h5").exists() and (output / "metrics.jsonl").exists():
        lines = (output / "metrics.jsonl").read_bytes().splitlines()
        entries = [from_json(line, output / "metrics.jsonl") for line in lines]
        entry = max(reversed(entries), key=lambda entry: entry["validation_accuracy"], default=None)
        if entry is not None:
            best = f" {output / 'model.h5'} is that of epoch {entry['epoch']}, the best of {len(entries)} so far."
    return f"Interrupted.{best} Go on from the last finished epoch with: {same_command('--resume')}"


def _report(output, network, result, method, seed):
    from dynsim.models import count

    return {
        "test_accuracy": round(result.test_accuracy, 4),
        "validation_accuracy": round(result.validation_accuracy, 4),
        "epochs": result.epochs,
        "seconds_per_epoch": round(result.seconds_per_epoch, 3),
        "seed": seed,
        "method": method,
        "parameters": count(network),
        "output": str(output),
        **({"layers": result.layers} if result.layers else {}),
        **({"message": result.message} if result.message else {}),
    }


def print_training_costs(network, data, method, as_json, resume=False, reference=None, augment=None, **options):
    """Print what a training would do and cost; nothing is written."""
    from dynsim import learning
    from dynsim.models import count

    costs = learning.estimate(network, data, method=method, reference=reference, augment=augment, **options)
    settings = {"data": data.name, "method": method, **network.config, **options}
    if augment is not None:
        settings["augment"] = {"shift": augment.shift, "rotation": augment.rotation}
    if (distillation := settings.pop("distillation", None)) is not None:
        settings["distillation"] = distillation.described()
    report = {"settings": settings, "parameters": count(network), **costs}
    if as_json:
        click.echo(to_json(report))
        return
    click.echo(to_json(settings, indent=2))
    for name, value in report["parameters"].items():
        click.echo(f"{name:13} {value:,}")
    click.echo(f"{'steps':13} {costs['steps']:,} batches in {costs['epochs']} epochs")
    click.echo(f"{'seconds':13} about {costs['seconds']:.3g}, on this machine")
    click.echo(f"{'memory_bytes':13} about {costs['memory_bytes']:,}")
