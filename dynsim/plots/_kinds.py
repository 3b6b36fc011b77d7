"""The one table of all kinds of figures: what a kind shows, what it is drawn from, and which function draws it.

A new kind is a file with its function and a line here. Nothing heavy is imported before a figure is drawn.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module


def _always(source):
    return True


def _signals(trajectory):
    return trajectory.signals is not None


def _moving(trajectory):
    return trajectory.frames > 1 and float(trajectory.time[-1]) > float(trajectory.time[0])


@dataclass(frozen=True)
class Kind:
    """`home` is "module:function"; `needs(source)` says whether a source of one of `sources` has enough for it."""

    shows: str
    home: str
    sources: tuple = ("trajectory",)
    needs: Callable = _always
    otherwise: str = "it needs a frame"

    @property
    def draw(self):
        """The function that draws it, imported now."""
        module, name = self.home.split(":")
        return getattr(import_module(f"dynsim.plots.{module}"), name)


TABLE = {
    "trajectories": Kind("paths in two or three dimensions, with start and end", "_trajectories:draw_trajectories"),
    "signals": Kind(
        "received and emitted signals over time", "_signals:draw_signals",
        needs=_signals, otherwise="it needs signals R and E",
    ),
    "distances": Kind(
        "distances of pairs over time", "_distances:draw_distances",
        needs=lambda trajectory: trajectory.neurons > 1, otherwise="it needs two neurons",
    ),
    "entropy": Kind(
        "entropy of the distribution of distances over time", "_entropy:draw_entropy",
        needs=lambda trajectory: trajectory.neurons > 2, otherwise="it needs three neurons",
    ),
    "energy": Kind(
        "sums of |q'|^2, |R| and |E|, and the echo gain, over time", "_energy:draw_energy",
        needs=_moving, otherwise="it needs two frames at different times",
    ),
    "phase": Kind(
        "a coordinate or signal against its rate of change", "_phase:draw_phase",
        needs=lambda trajectory: len(set(trajectory.time.tolist())) >= 3,
        otherwise="it needs three frames at different times",
    ),
    "forces": Kind(
        "arrows: q' of a frame, or -dL/dq of a model's neurons on a data set", "_forces:draw_forces",
        sources=("trajectory", "model"),
        needs=lambda source: _has_places(source) if not hasattr(source, "frames") else _moving(source),
        otherwise="it needs two frames at different times, or a model with places",
    ),
    "neurons": Kind(
        "neurons before and after, in space, coloured by layer", "_neurons:draw_neurons",
        needs=lambda trajectory: trajectory.frames > 1, otherwise="it needs two frames",
    ),
    "observables": Kind(
        "loss, accuracy and what else was written with every frame", "_observables:draw_observables",
        needs=lambda trajectory: bool(trajectory.observables), otherwise="it needs observables such as a loss",
    ),
    "learning": Kind(
        "loss and accuracy over the epochs of a training", "_learning:draw_learning",
        sources=("trajectory", "lines"),
        needs=lambda source: bool(learned(source)), otherwise="it needs a training's loss or accuracy",
    ),
    "noise": Kind(
        "accuracy against the size of a perturbation", "_noise:draw_noise", sources=("lines",),
        needs=lambda lines: any("delta" in entry and "test_accuracy" in entry for entry in lines.entries),
        otherwise="it needs lines of dynsim evaluate --json with delta and test_accuracy",
    ),
    "weights": Kind(
        "the weights that places stand for", "_weights:draw_weights", sources=("model",),
        needs=lambda model: any(layer.weighted for layer in model.layers),
        otherwise="it needs a layer with weights",
    ),
    "layers": Kind("the layers of a model, and the neurons that they share", "_layers:draw_layers", sources=("model",)),
}  # fmt: skip


def _has_places(model):
    return any(parameter.kind == "places" for parameter in model.parameters.values())


def learned(source):
    """Names of what is measured epoch by epoch."""
    if hasattr(source, "observables"):
        return [name for name in source.observables if name.endswith(("loss", "accuracy"))]
    epochs = [entry for entry in source.entries if "epoch" in entry]
    names = dict.fromkeys(name for entry in epochs for name in entry)
    return [name for name in names if name.endswith(("loss", "accuracy"))]
