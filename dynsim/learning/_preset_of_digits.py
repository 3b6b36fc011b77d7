"""The preset `digits`: a network of particles that learns the embedded digits as a simulation."""

from __future__ import annotations

import numpy as np

from dynsim._check import as_choice
from dynsim.datasets import load
from dynsim.engine import presets

PRESETS = presets.PRESETS | {
    "digits": "a network 64-32-10 that learns 1,437 digits, all at once, by the flow of its places alone"
}


def preset_config(name: str) -> dict:
    """Return the configuration of a preset, of `dynsim.engine.presets` or the one that needs data, `digits`.

    Raises
    ------
    ValueError
        If there is no preset of this name.

    Examples
    --------
    >>> preset_config("digits")["signals"]
    1437
    """
    name = as_choice(name, PRESETS, "preset")
    return presets.preset_config(name) if name in presets.PRESETS else _digits()


def _digits():
    """Images as the signals of 64 clamped neurons; the strengths' two signs give weights of both signs.

    With places of the standard normal distribution in four dimensions they make weights of about He's scale at the
    hidden layer and three times that at the classes.
    """
    data = load("digits")
    images = np.asarray(data.train_images, dtype=float).reshape(len(data.train_images), -1)
    first, second = [0.4, -0.4, 0.4, -0.4], [1.6, -1.6, 1.6, -1.6]
    return {
        "dimension": 4,
        "copies": 4,
        "signals": len(images),
        "kernel": {"profile": "gaussian", "length": 1.5},
        "operators": {"A": 1.0, "activation": ["identity", "tanh", "identity", "identity"]},
        "groups": [
            {"name": "pixels", "neurons": 64, "clamped": images.T.tolist()},
            {"name": "hidden", "neurons": 32},
            {"name": "classes", "neurons": 10},
            {"name": "bias", "neurons": 1, "clamped": 1.0},
        ],
        "strengths": {
            "pixels->hidden": first,
            "hidden->classes": second,
            "bias->hidden": first,
            "bias->classes": second,
        },
        "teacher": {"group": "classes", "targets": np.asarray(data.train_labels).tolist(), "loss": "cross-entropy"},
        "run": {
            "until": 4000.0,
            "method": "rkc2",
            "rtol": 1e-3,
            "atol": 1e-3,
            "frames": 21,
            "observables": ["loss", "accuracy", "entropy"],
        },
    }
