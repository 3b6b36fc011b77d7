"""A training and the folder that it leaves."""

from __future__ import annotations

import json

import click

FIGURES = {"trajectories": "paths.png", "observables": "learning.png"}


def train_into(output, network, data, method="forces", **options):
    """Train a network; leave model.h5, training.h5, metrics.jsonl and figures in a folder. Returns the report."""
    from dynsim import learning
    from dynsim.models import count

    output.mkdir(parents=True, exist_ok=True)
    moves = any(parameter.kind == "places" for parameter in network.parameters.values())
    trajectory = output / "training.h5" if moves else None
    checkpoint = output / "training.checkpoint"
    try:
        with _Bar(options["epochs"]) as bar:
            result = learning.train(
                network, data, method, trajectory=trajectory, checkpoint=checkpoint, progress=bar.progress, **options
            )
    except KeyboardInterrupt:
        if checkpoint.exists():
            hint = "Go on from the last finished epoch with the same command and --resume."
            click.echo(f"Interrupted. {hint}", err=True)
            raise SystemExit(130) from None
        raise
    network.save(output / "model.h5")
    lines = "".join(json.dumps(entry) + "\n" for entry in result.metrics)
    (output / "metrics.jsonl").write_text(lines, encoding="utf-8")
    if moves:
        from dynsim.plots import plot

        for kind, name in FIGURES.items():
            plot(trajectory, kind, output / name)
    return {
        "test_accuracy": round(result.test_accuracy, 4),
        "validation_accuracy": round(result.validation_accuracy, 4),
        "epochs": result.epochs,
        "seconds_per_epoch": round(result.seconds_per_epoch, 3),
        "seed": options["seed"],
        "method": method,
        "parameters": count(network),
        "output": str(output),
        **({"layers": result.layers} if result.layers else {}),
    }


class _Bar:
    """A bar with time left over all batches, made at the first one (only then their number is known)."""

    def __init__(self, epochs):
        self.epochs, self.bar = epochs, None

    def __enter__(self):
        return self

    def progress(self, epoch, step, steps, loss):
        """Advance by a batch."""
        from tqdm import tqdm

        if self.bar is None:
            # Only on a terminal; a training that goes on does not begin at the first epoch.
            self.bar = tqdm(total=steps * self.epochs, initial=epoch * steps + step, unit="batch", disable=None)
        self.bar.update()
        self.bar.set_postfix(epoch=epoch + 1, loss=f"{loss:.3f}", refresh=False)

    def __exit__(self, *_):
        if self.bar is not None:
            self.bar.close()
