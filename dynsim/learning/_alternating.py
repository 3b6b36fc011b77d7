"""The paper's algorithm 1: an epoch of ordinary training, places fitted to the weights, the fit written back."""

from __future__ import annotations

from ._fit import fit
from ._trainer import Trainer


def alternating(model, reference, data, *, fit_steps, storage="float16", **options):
    """Return a Trainer of the weights in `reference` whose epochs end with a fit of the places of `model`.

    After every epoch the places are fitted to the weights, rounded to the storage precision, and the weights become
    what the places stand for; so the held-out accuracy is that of the places.
    """

    def project(trainer):
        # The first fit comes from far away; later ones follow the weights.
        fit(model, reference, steps=fit_steps, rate=0.02 if trainer.epoch == 0 else 0.01)
        for parameter in model.parameters.values():
            if parameter.kind == "places":
                parameter.value[...] = parameter.value.astype(storage)
        for layer, trained in zip(model.layers, reference.layers, strict=True):
            if hasattr(layer, "places_in"):
                trained.weights.value[...] = layer.materialize()

    return Trainer(reference, data, project=project, also=[model], **options)
