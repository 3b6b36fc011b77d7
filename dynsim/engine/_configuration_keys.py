"""The keys of a configuration: what each means and what it may be; a schema for editors."""

from __future__ import annotations

from copy import deepcopy

from dynsim.kernels import PROFILES

from ._equations import ACTIVATIONS
from ._observables import OBSERVABLES
from ._teacher import LOSSES
from .integrators import METHODS

_NUMBER, _POSITIVE = {"type": "number"}, {"type": "number", "exclusiveMinimum": 0}
_COUNT, _TEXT = {"type": "integer", "minimum": 1}, {"type": "string"}
_NUMBERS = {"anyOf": [_NUMBER, {"type": "array"}]}


def _table(**keys):
    return {"type": "object", "properties": keys, "additionalProperties": False}


def _kinds(**tables):
    """A table whose `kind` says which other keys it has."""
    return [
        {**_table(kind={"const": kind}, **keys), "required": ["kind", *needed]}
        for kind, (keys, needed) in tables.items()
    ]


_SIGNAL = {
    "anyOf": [
        _NUMBERS,
        *_kinds(
            pulse=({"at": _NUMBER, "width": _POSITIVE, "height": _NUMBERS, "offset": _NUMBERS}, ["at", "width"]),
            sine=({"frequency": _NUMBER, "phase": _NUMBER, "height": _NUMBERS, "offset": _NUMBERS}, ["frequency"]),
            step=({"at": _NUMBER, "height": _NUMBERS, "offset": _NUMBERS}, ["at"]),
            samples=({"times": {"type": "array"}, "values": {"type": "array"}}, ["times", "values"]),
        ),
    ]
}
_PLACES = {
    "anyOf": [
        {"type": "array"},
        *_kinds(
            normal=({"center": _NUMBERS, "spread": _NUMBERS}, []), uniform=({"low": _NUMBERS, "high": _NUMBERS}, [])
        ),
    ]
}

# {key: (schema, meaning, an example where it has no default)}
TOP = {
    "seed": ({"type": "integer", "minimum": 0}, "of the random places and of the noise at a temperature", None),
    "dimension": (_COUNT, "d, of the space", None),
    "copies": (_COUNT, "H, places of every neuron", None),
    "signals": (_COUNT, "s, components of R and E", None),
    "delay": (
        {"anyOf": [{"type": "number", "minimum": 0}, {"type": "array"}, {"type": "object"}]},
        "eps, in units of time: a number, a matrix [from][to], or a table in which pairs that are not named have 0",
        None,
    ),
    "speed": (_POSITIVE, "v, of signals: each pair has a delay of r / v besides", 10.0),
    "accuracy": (
        {"type": "number", "minimum": 1e-12, "exclusiveMaximum": 1},
        "relative error that pair sums may have, by trees where systems are large; otherwise they are exact",
        1e-8,
    ),
    "mass": (_NUMBERS, "m, of all neurons, of each group or of each neuron: they have velocities of their own", 1.0),
    "friction": (_NUMBERS, "gamma, as mass; 1 where it is not given", 0.5),
    "temperature": (
        {"anyOf": [{"type": "number", "minimum": 0}, _table(times={"type": "array"}, values={"type": "array"})]},
        "T, or times and values: noise, for methods that have it",
        0.1,
    ),
    "echo_gain": (_POSITIVE, "all strengths are scaled so that rho(a Phi) has this value at the start", 0.8),
}
KERNEL = {
    "profile": (_TEXT, f"phi(r): {', '.join(PROFILES)}, or an expression such as 'c / (1 + r**2)'", None),
    "metric": ({"enum": ["l2", "l1"]}, "l2 or l1 distances", None),
    "scale": (_NUMBER, "c, a factor", None),
    "softening": ({"type": "number", "minimum": 0}, "r becomes sqrt(r^2 + softening^2)", None),
    "length": (_POSITIVE, "of profiles that decay over a length", None),
}
OPERATORS = {
    "A": (_NUMBERS, "(s, s): received signal to emitted signal", None),
    "B": (_NUMBERS, "(s, d): place to emitted signal", None),
    "C": (_NUMBERS, "(s, d): velocity to emitted signal", None),
    "D": (_NUMBERS, "(d, s): received signal to velocity", None),
    "E": (_NUMBERS, "(d, s): emitted signal to velocity", None),
    "F": (_NUMBERS, "(d, d): place to velocity", None),
    "activation": (
        {"anyOf": [{"enum": list(ACTIVATIONS)}, {"type": "array", "items": {"enum": list(ACTIVATIONS)}}]},
        f"{', '.join(ACTIVATIONS)}; a list is one for each group",
        None,
    ),
}
GROUP = {
    "name": (_TEXT, "for strengths, figures and --set", "input"),
    "neurons": (_COUNT, "n, how many", 10),
    "places": (_PLACES, "at the start: normal (center, spread), uniform (low, high), or coordinates (n, d)", None),
    "drive": (_SIGNAL, "a signal added to what the neurons receive", {"kind": "sine", "frequency": 1.0}),
    "clamped": (
        _SIGNAL,
        "the signal that they emit, whatever they receive",
        {"kind": "pulse", "at": 1.0, "width": 0.1},
    ),
}
TEACHER = {
    "group": (_TEXT, "whose emitted signals are judged; the samples are the s signals", "output"),
    "targets": ({"type": "array"}, "what it should emit, (n, s), or for cross-entropy labels (s,)", [0]),
    "loss": ({"enum": list(LOSSES)}, "squared error or cross-entropy, of which all neurons go down the gradient", None),
    "rate": (_POSITIVE, "mu, the force is -mu dL/dq", None),
}
RUN = {
    "start": (_NUMBER, "beginning of the time span", None),
    "until": (_NUMBER, "its end", 1.0),
    "method": (
        {"enum": sorted(METHODS)},
        "adaptive: dopri5, tsit5, bs32, rkc2 (stiff); fixed step: rk4, heun, euler, verlet (with mass), and with noise "
        "euler_maruyama, sra1, baoab (with mass)",
        None,
    ),
    "dt": (_POSITIVE, "the step, of methods with a fixed one", 0.01),
    "rtol": (_POSITIVE, "relative tolerance of adaptive methods", 1e-6),
    "atol": (_POSITIVE, "absolute tolerance of adaptive methods", 1e-9),
    "max_steps": (_COUNT, "the run ends after so many steps", 100_000),
    "max_step": (_POSITIVE, "longest step of an adaptive method", 0.1),
    "first_step": (_POSITIVE, "first step of an adaptive method", 0.001),
    "frames": ({"type": "integer", "minimum": 2}, "how many are recorded, evenly spaced in time", 201),
    "every": (_COUNT, "record every n-th step", 1),
    "observables": (
        {"type": "array", "items": {"enum": list(OBSERVABLES)}, "uniqueItems": True},
        f"numbers written with every frame: some of {', '.join(OBSERVABLES)}",
        ["entropy"],
    ),
}
_STRENGTHS = "lambda[from, to]: a number, a matrix, or a table in which pairs that are not named have 0"


CONFIGURATION_KEYS = {"": TOP, "kernel": KERNEL, "operators": OPERATORS, "groups": GROUP, "teacher": TEACHER,
                      "run": RUN}  # fmt: skip


def configuration_schema() -> dict:
    """Return the JSON Schema of a configuration, with which editors complete and check TOML files.

    It knows keys and kinds of values; `configure` checks shapes, too.

    >>> sorted(configuration_schema()["required"])
    ['groups', 'run']
    """

    def described(keys):
        return {key: {**schema, "description": meaning} for key, (schema, meaning, _) in keys.items()}

    return deepcopy(
        {
            "$schema": "http://json-schema.org/draft-07/schema#",
            "title": "A simulation of dynsim",
            **_table(
                **described(TOP),
                kernel=_table(**described(KERNEL)),
                operators=_table(**described(OPERATORS)),
                groups={"type": "array", "minItems": 1, "items": _table(**described(GROUP))},
                strengths={"anyOf": [_NUMBERS, {"type": "object"}], "description": _STRENGTHS},
                teacher={**_table(**described(TEACHER)), "required": ["group", "targets"]},
                run={**_table(**described(RUN)), "required": ["until"]},
            ),
            "required": ["groups", "run"],
        }
    )
