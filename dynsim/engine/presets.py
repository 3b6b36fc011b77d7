"""Ready-made systems to begin with."""

from __future__ import annotations

from copy import deepcopy

import numpy as np

from dynsim._check import as_choice

from ._configuration import configure
from ._system import System

PRESETS = {
    "pair": "two neurons that circle and push each other onto an orbit; delay 0",
    "cluster": "60 neurons whose saturating signals gather them in a few clusters; delay 0.1",
    "pulse": "a layered network that passes a pulse on, one layer per delay of 1",
    "stable": "a delayed field with echo gain 0.8: it settles",
    "echo": "a delayed field with echo gain 3: it diverges, and the message says why",
    "learn": "neurons that move down the gradient of a loss until two spirals of samples have parted",
    "anneal": "the same neurons with mass and friction, at a temperature that falls",
}


def preset_config(name: str) -> dict:
    """Return the configuration of a preset, to be changed and given to `configure`.

    Raises
    ------
    ValueError
        If there is no preset of this name.

    Examples
    --------
    >>> preset_config("pulse")["delay"]
    1.0
    """
    return deepcopy(_CONFIGS[as_choice(name, PRESETS, "preset")])


def preset(name: str, seed: int = 0) -> tuple[System, tuple, dict]:
    """Return a ready-made (system, span, options); options go to `solve` as keywords.

    Parameters
    ----------
    name : str
        One of PRESETS.
    seed : int
        Of the random places.

    Raises
    ------
    ValueError
        If there is no preset of this name.

    Examples
    --------
    >>> from dynsim.engine import solve
    >>> from dynsim.engine.presets import preset
    >>> system, span, options = preset("pair", seed=1)
    >>> solve(system, span, **options).success
    True
    """
    ready = configure({**preset_config(name), "seed": seed})
    return ready.system, ready.span, ready.options


def _layer(k):
    """Layer k of the pulse's network: 8 neurons about x = k; the first one's signal is given."""
    group = {"name": f"layer{k}", "neurons": 8}
    group["places"] = {"kind": "uniform", "low": [k, -0.5, -0.5], "high": [k, 0.5, 0.5]}
    if k == 0:
        group["clamped"] = {"kind": "pulse", "at": 1.0, "width": 0.15}
    return group


def _field(gain, delay, until, **group):
    return {
        "dimension": 2,
        "delay": delay,
        "echo_gain": gain,
        "kernel": {"softening": 0.1},
        "operators": {"A": 1.0, "B": [[1.0, 0.5]]},
        "groups": [{"name": "field", "neurons": 12, "places": {"kind": "uniform"}, **group}],
        "run": {"until": until},
    }


def _spirals(samples=60):
    """Samples of two classes, (s, 2), on the arms of a spiral that turn once, and their labels."""
    radius = np.linspace(0.2, 1.5, samples)
    angle = 2 * np.pi * radius / 1.5
    arm = np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=1).round(3)
    return np.concatenate([arm, -arm]), np.repeat([0, 1], samples)


def _learner(**changed):
    """A network 2-16-2 with a neuron that always emits 1 as its bias; strengths have both signs, so weights do, too."""
    samples, labels = _spirals()
    first, second = [4.0, -4.0, 4.0, -4.0], [0.5, -0.5, 0.5, -0.5]
    sizes = {"input": 2, "bias": 1, "hidden": 16, "output": 2}
    groups = [{"name": name, "neurons": count} for name, count in sizes.items()]
    groups[0]["clamped"], groups[1]["clamped"] = samples.T.tolist(), 1.0
    return {
        "dimension": 2,
        "copies": 4,
        "signals": len(labels),
        "kernel": {"profile": "gaussian"},
        "operators": {"A": 1.0, "activation": ["identity", "identity", "tanh", "identity"]},
        "groups": groups,
        "strengths": {"input->hidden": first, "bias->hidden": first, "hidden->output": second},
        "teacher": {"group": "output", "targets": labels.tolist(), "loss": "cross-entropy"},
        **changed,
    }


_LEARNT = {"until": 60.0, "frames": 241, "observables": ["loss", "accuracy", "entropy"]}
_CONFIGS = {
    # q' = F q - R with R_i = q_j / r: opposite neurons at radius rho obey rho' = -0.2 rho + 1/2, an orbit of 2.5.
    "pair": {
        "dimension": 2,
        "signals": 2,
        "kernel": {"softening": 0.05},
        "operators": {"B": 1.0, "D": -1.0, "F": [[-0.2, -1.0], [1.0, -0.2]]},
        "groups": [
            {
                "name": "pair",
                "neurons": 2,
                "places": {"kind": "normal", "center": [[1.0, 0.0], [-0.6, 0.3]], "spread": 0.1},
            }
        ],
        "run": {"until": 40.0, "frames": 801},
    },
    # q' = E - q with E = tanh(A R) + q / 2: places stay within |q| <= 2 and follow the sign of their neighbours.
    "cluster": {
        "signals": 3,
        "delay": 0.1,
        "kernel": {"profile": "gaussian", "length": 0.7},
        "operators": {"A": 0.5, "B": 0.5, "E": 1.0, "F": -1.0, "activation": "tanh"},
        "groups": [{"name": "cluster", "neurons": 60, "places": {"kind": "uniform"}}],
        "run": {"until": 10.0, "rtol": 1e-4, "atol": 1e-6},
    },
    "pulse": {
        "delay": 1.0,
        "kernel": {"softening": 0.1},
        "operators": {"A": 1.0, "activation": "tanh"},
        "groups": [_layer(k) for k in range(6)],
        "strengths": {f"layer{k}->layer{k + 1}": 1.5 / 8 for k in range(5)},
        "run": {"until": 8.0, "method": "rk4", "dt": 0.02},
    },
    "stable": _field(0.8, 0.2, 10.0, drive=0.1),
    # 3^k passes the largest float, 2e308, at k = 646 delays.
    "echo": _field(3.0, 0.1, 100.0),
    "learn": _learner(run={"method": "rkc2", "rtol": 1e-3, "atol": 1e-3, **_LEARNT}),
    "anneal": _learner(
        mass=1.0,
        friction=0.5,
        temperature={"times": [0.0, 40.0], "values": [0.02, 0.0]},
        run={"method": "baoab", "dt": 0.05, **_LEARNT},
    ),
}
